"""Find the slices on which measures differ most from the rest, and test them on other rows.

A tree is grown on one half of the rows; its nodes are then tested on the other half, which played
no part in choosing them. All tests of a search share one control of false discoveries.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from aesm2.data.batch import Batch
from aesm2.data.encoder import Encoder
from aesm2.errors import InputError
from aesm2.slices.candidates import Candidate, Inputs, candidates, inputs
from aesm2.slices.conditions import Slice
from aesm2.slices.difference import RATE, Difference, benjamini_hochberg, difference
from aesm2.slices.measures import Measure
from aesm2.slices.rows import mask

DEEPEST = 3
FEWEST = 20  # rows of a slice in either half, however small a share is asked for


@dataclass(frozen=True)
class Search:
    """How to look. depth: conditions of a slice at most. support: least share of the rows.

    seed: divides the rows into halves. rate: of false discoveries among the discoveries.
    """

    depth: int = DEEPEST
    support: float = 0.02
    seed: int = 0
    rate: float = RATE

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= DEEPEST:
            raise InputError(f"a slice is found with 1 to {DEEPEST} conditions, not {self.depth}")
        if not 0 < self.support < 0.5:
            raise InputError(f"the least share of rows is between 0 and 0.5, not {self.support}")
        if not 0 < self.rate < 1:
            raise InputError(f"the rate of false discoveries is between 0 and 1, not {self.rate}")
        if self.seed < 0:
            raise InputError(f"the seed is 0 or more, not {self.seed}")


@dataclass(frozen=True)
class Line:
    """A slice that was tested for a measure.

    rows: of the slice, in both halves, that have the measure; share: of all that have it.
    difference: on the held-out half. q: see `benjamini_hochberg`, over all lines of the search.
    """

    measure: Measure
    slice: Slice
    rows: int
    share: float
    difference: Difference
    q: float


@dataclass(frozen=True)
class Found:
    """Result of a search: all lines that were tested, the largest effect of each measure first.

    grown, tested: rows of the two halves.
    """

    search: Search
    lines: tuple[Line, ...]
    grown: int
    tested: int

    @property
    def discoveries(self) -> tuple[Line, ...]:
        """Lines whose q is at most the rate."""
        return tuple(line for line in self.lines if line.q <= self.search.rate)

    def of(self, measure: Measure, every: bool = False) -> tuple[Line, ...]:
        """Return the discoveries of a measure, or every line of it."""
        lines = self.lines if every else self.discoveries
        return tuple(line for line in lines if line.measure == measure)

    def to_frame(self) -> pd.DataFrame:
        """Return one line a slice and measure; effects in the unit of the measure."""
        return lines_frame(self.lines)


def lines_frame(lines: tuple[Line, ...]) -> pd.DataFrame:
    """Return one line a slice and measure; see `Found.to_frame`."""
    columns = ["measure", "slice", "rows", "share", "held_out", "inside", "outside", "effect",
               "low", "high", "unit", "p", "q"]  # fmt: skip
    values = []
    for line in lines:
        of, scale = line.difference, line.measure.scale
        scaled = [v * scale for v in (of.inside, of.outside, of.effect, of.low, of.high)]
        values.append(
            [line.measure.name, str(line.slice), line.rows, line.share, of.rows, *scaled,
             line.measure.unit, of.p, line.q]
        )  # fmt: skip
    return pd.DataFrame(values, columns=columns)


def find(
    frame: pd.DataFrame,
    batch: Batch,
    encoder: Encoder,
    values: Mapping[Measure, np.ndarray],
    search: Search | None = None,
) -> Found:
    """Look for slices of rows on which measures differ from the rest.

    frame, batch: the same rows. values: see `measured`. Each measure has a tree of its own, grown
    on the rows that have it. Raises InputError where there are too few rows to divide.
    """
    search = search or Search()
    if len(frame) < 4 * FEWEST:
        raise InputError(
            f"{len(frame):,} rows are too few to look for slices: at least {4 * FEWEST} are needed"
        )
    order = np.random.default_rng(search.seed).permutation(len(frame))
    held_out = np.ones(len(frame), bool)
    held_out[order[: len(frame) // 2]] = False
    half = ~held_out  # on which the trees grow
    fewest = fewest_rows(search, int(half.sum()))
    encoded = inputs(frame[half], batch[torch.from_numpy(half)], encoder, fewest)
    masks: dict[Slice, np.ndarray] = {}
    tested: list[tuple[Measure, Slice, int, float, Difference]] = []
    for own, all_values in values.items():
        for candidate in _of_measure(encoded, all_values[half], search):
            if candidate.slice not in masks:
                masks[candidate.slice] = mask(candidate.slice, frame, encoder.description)
            inside, known = masks[candidate.slice], ~np.isnan(all_values)
            found = difference(all_values[held_out], inside[held_out])
            if min(found.rows, found.others) >= FEWEST:
                rows = int((inside & known).sum())
                tested.append((own, candidate.slice, rows, rows / int(known.sum()), found))
    q = benjamini_hochberg(np.array([found.p for *_, found in tested]))
    lines = [Line(*test, float(own)) for test, own in zip(tested, q, strict=True)]
    places = {own: place for place, own in enumerate(values)}
    lines.sort(key=lambda line: (places[line.measure], -abs(line.difference.effect)))
    return Found(search, tuple(lines), int(half.sum()), int(held_out.sum()))


def fewest_rows(search: Search, rows: int) -> int:
    """Return the least number of rows of a slice among so many."""
    return max(FEWEST, int(np.ceil(search.support * rows)))


def _of_measure(encoded: Inputs, target: np.ndarray, search: Search) -> list[Candidate]:
    known = ~np.isnan(target)
    part = Inputs(encoded.table[known], encoded.columns)
    fewest = fewest_rows(search, int(known.sum()))
    return candidates(part, target[known], search.depth, fewest, search.seed)
