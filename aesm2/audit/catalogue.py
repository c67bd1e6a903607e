"""Every equation, table and figure of the paper, and where each lives here.

The paper is Zou et al., "Automatic Expert Selection for Multi-Scenario and Multi-Task Search",
SIGIR 2022. The sentences are ours.
"""

from aesm2.audit.equations import EQUATIONS
from aesm2.audit.exhibits import EXHIBITS
from aesm2.audit.items import STATUSES, Equation, Exhibit, Kind, Status

__all__ = ["EQUATIONS", "EXHIBITS", "STATUSES", "Equation", "Exhibit", "Kind", "Status"]
