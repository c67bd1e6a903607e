"""How close the calls of a selection were, against a loop."""

import math

import pandas as pd
import torch
from hypothesis import given

from aesm2.data.batch import Batch
from aesm2.layers.selection import Selection, select
from aesm2.models import AESM2
from aesm2.routing.gap import selection_gap
from aesm2.routing.trace import RoutingTrace, trace
from tests.models import cases


def slow_gap(traced: RoutingTrace, row: int) -> float:
    found = math.inf
    for layer in traced.layers:
        for task in range(len(layer.gates) if layer.kind == "task" else 1):
            seen = layer.of_task(task)
            for score, mask in ((seen.kl_specific, seen.specific), (seen.kl_shared, seen.shared)):
                taken = [float(s) for s, m in zip(score[row], mask[row], strict=True) if m]
                left = [float(s) for s, m in zip(score[row], mask[row], strict=True) if not m]
                if taken and left:
                    found = min(found, min(left) - max(taken))
    return found


@given(cases.aesm2_cases())
def test_against_a_loop(case: tuple[AESM2, Batch]) -> None:
    model, batch = case
    traced = trace(model, batch, pd.RangeIndex(len(batch)))
    found = selection_gap(traced.layers, len(batch))
    expected = torch.tensor([slow_gap(traced, row) for row in range(len(batch))])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def chosen(logits: list[list[float]], specific: int, shared: int) -> Selection:
    gates = torch.tensor([logits])
    target = torch.zeros(1, gates.shape[-1], dtype=torch.bool)
    target[0, 0] = True
    return select(gates, target, specific, shared)


def test_a_tie_has_no_gap() -> None:
    assert selection_gap([chosen([[1.0, 0.0], [1.0, 0.0], [0.5, 0.0]], 1, 1)], 1).tolist() == [0.0]


def test_where_nothing_was_left_or_taken_there_is_no_gap_to_measure() -> None:
    assert selection_gap([], 2).tolist() == [math.inf, math.inf]
    every = chosen([[1.0, 0.0], [2.0, 0.0]], 2, 2)
    assert selection_gap([every], 1).tolist() == [math.inf]
    none_shared = chosen([[1.0, 0.0], [2.0, 0.0]], 1, 0)
    expected = (none_shared.kl_specific[0, 0] - none_shared.kl_specific[0, 1]).item()
    assert selection_gap([none_shared], 1).tolist() == [expected]
