"""Slices: rows that conditions on columns single out, and where a model does otherwise on them."""

from aesm2.slices.conditions import Condition, Missing, OneOf, Range, Slice
from aesm2.slices.difference import Difference, benjamini_hochberg, difference
from aesm2.slices.find import Found, Line, Search, find
from aesm2.slices.measures import Measure, measured, measures_of
from aesm2.slices.rows import checked, mask, parse, within
from aesm2.slices.simplify import conjoined, simplified
from aesm2.slices.words import sentence, single_sentence

__all__ = [
    "Condition",
    "Difference",
    "Found",
    "Line",
    "Measure",
    "Missing",
    "OneOf",
    "Range",
    "Search",
    "Slice",
    "benjamini_hochberg",
    "checked",
    "conjoined",
    "difference",
    "find",
    "mask",
    "measured",
    "measures_of",
    "parse",
    "sentence",
    "simplified",
    "single_sentence",
    "within",
]
