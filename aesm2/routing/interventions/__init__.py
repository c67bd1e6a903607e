"""Interventions: choosing experts in a model's stead, without touching the model.

An intervention is a value; several make a tuple. What a tuple means does not depend on its order,
since each kind has its own place in the course of a layer:

    swap      the row comes from another scenario of a level: embeddings, gate context and target
    noise     is added to G (Eq. 8); several noises add up
    retarget  j of a scenario layer is another gate, and nothing else changes
    set K     K of Eq. 10 and 12
    knock out an expert can be in neither set; the next best takes its place. Where fewer than K
              experts are left, K is their number
    force     an expert is in a set; it displaces the K-th, unless it was chosen anyway
    fix       both sets are given, for every row

Mixing weights are always those of Eq. 14 over the experts that were chosen in the end.
"""

from aesm2.routing.interventions.choose import intervene, swapped
from aesm2.routing.interventions.plan import validate
from aesm2.routing.interventions.text import parse, to_text, words
from aesm2.routing.interventions.values import (
    Fix,
    Force,
    Intervention,
    Interventions,
    KnockOut,
    Noise,
    Retarget,
    SetK,
    Swap,
)

__all__ = [
    "Fix", "Force", "Intervention", "Interventions", "KnockOut", "Noise", "Retarget", "SetK",
    "Swap", "intervene", "parse", "swapped", "to_text", "validate", "words",
]  # fmt: skip
