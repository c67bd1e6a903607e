"""The paper item by item: where each equation, table and figure lives, and whether it holds."""

from aesm2.audit.catalogue import EQUATIONS, EXHIBITS, Equation, Exhibit
from aesm2.audit.findings import TOLERANCE, Audit, Finding
from aesm2.audit.live import audit, check

__all__ = [
    "EQUATIONS",
    "EXHIBITS",
    "TOLERANCE",
    "Audit",
    "Equation",
    "Exhibit",
    "Finding",
    "audit",
    "check",
]
