"""The smallest change of gate logits against SLSQP, against random changes, and by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from scipy.optimize import minimize
from scipy.special import logsumexp

from aesm2.data.batch import Batch
from aesm2.layers.selection import select
from aesm2.models import AESM2
from aesm2.routing.margins import Choosing, has_choice
from aesm2.routing.minimal import SmallestChange, smallest_change
from aesm2.routing.trace import LayerSpec, LayerTrace, trace
from tests.models import cases


def layer_of(logits: np.ndarray, target: int, specific: int, shared: int) -> LayerTrace:
    """One row's layer, its logits float64."""
    gates = torch.from_numpy(logits).unsqueeze(0)
    n, m = logits.shape
    names = tuple(f"g{j}" for j in range(m))
    spec = LayerSpec("level.1", "scenario", 0, names, n, 1, specific, shared)
    own = (torch.arange(m) == target).unsqueeze(0)
    return LayerTrace(
        spec, gates, torch.tensor([target]), *select(gates, own, specific, shared),
        torch.zeros(1, 1),
    )  # fmt: skip


def height(line: np.ndarray, target: int, choosing: Choosing) -> float:
    """What a choice ranks by, written out: −margin, or the divergence from even."""
    if choosing == "shared":
        return float(logsumexp(line) - line.mean())
    return float(logsumexp(np.delete(line, target)) - line[target])


def slow_norm(found: SmallestChange, masks: np.ndarray, seed: int) -> float:
    """The shortest change over all pairs by a general solver from several starts."""
    logits, target, choosing = found.gate_logits, found.target, found.choosing
    rng, best, m = np.random.default_rng(seed), np.inf, found.gate_logits.shape[1]
    for a in np.flatnonzero(masks):
        for b in np.flatnonzero(~masks):

            def over(x: np.ndarray, a: int = a, b: int = b) -> float:
                return height(logits[a] + x[:m], target, choosing) - height(
                    logits[b] + x[m:], target, choosing
                )

            for scale in (0.1, 1.0):
                done = minimize(
                    lambda x: x @ x / 2, scale * rng.normal(size=2 * m), jac=lambda x: x,
                    method="SLSQP", constraints={"type": "ineq", "fun": over},
                    options={"maxiter": 200},
                )  # fmt: skip
                if over(done.x) > -1e-7:
                    best = min(best, float(np.linalg.norm(done.x)))
    return best


@pytest.mark.parametrize("choosing", ["specific", "shared"])
@pytest.mark.parametrize(("gates", "scale"), [(2, 1.0), (3, 0.2), (4, 3.0), (6, 1.0)])
def test_no_solver_finds_a_smaller_one(choosing: Choosing, gates: int, scale: float) -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        layer = layer_of(scale * rng.normal(size=(5, gates)), int(rng.integers(gates)), 2, 2)
        found = smallest_change(layer, 0, 0, choosing)
        assert found is not None
        mask = (layer.specific if choosing == "specific" else layer.shared)[0].numpy()
        assert found.norm < slow_norm(found, mask, seed) + 1e-5
        assert mask[found.taken]
        assert not mask[found.left]
        for times, flipped in ((0.0, False), (0.9999, False), (1.0001, True)):
            assert found.flips(times) is flipped


@pytest.mark.parametrize("choosing", ["specific", "shared"])
def test_no_random_change_of_all_logits_flips_earlier(choosing: Choosing) -> None:
    rng = np.random.default_rng(5)
    layer = layer_of(rng.normal(size=(4, 3)), 1, 1, 2)
    found = smallest_change(layer, 0, 0, choosing)
    assert found is not None
    own = torch.tensor([[False, True, False]])
    noise = torch.from_numpy(rng.normal(size=(60_000, 4, 3)))
    noise[:30_000] = noise[:30_000] * 0.1 + torch.from_numpy(found.change) / found.norm
    noise *= (0.999 * found.norm) / noise.flatten(1).norm(dim=1)[:, None, None]
    moved = select(layer.gate_logits + noise, own, 1, 2)
    chosen, was = (
        (moved.specific, layer.specific) if choosing == "specific" else (moved.shared, layer.shared)
    )
    assert bool((chosen == was).all())


@settings(max_examples=20)
@given(cases.aesm2_cases())
def test_it_flips_just_past_and_not_just_before(case: tuple[AESM2, Batch]) -> None:
    model, batch = case
    for layer in trace(model, batch, pd.RangeIndex(len(batch))).layers:
        for choosing in ("specific", "shared"):
            found = smallest_change(layer, 0, 0, choosing)
            assert (found is None) is not has_choice(layer.spec, choosing)
            if found is None or found.norm < 1e-5:
                continue
            assert not found.flips(0.999)
            assert found.flips(1.001)
            moved = np.flatnonzero(np.abs(found.change).sum(1))
            assert set(moved) <= {found.taken, found.left}


def test_two_gates_by_hand() -> None:
    """φ is the difference of two logits: closing a gap of 1 moves four of them by a quarter."""
    layer = layer_of(np.array([[2.0, 0.0], [1.0, 0.0], [-3.0, 0.0]]), 0, 1, 0)
    found = smallest_change(layer, 0, 0, "specific")
    assert found is not None
    assert (found.taken, found.left) == (0, 1)
    np.testing.assert_allclose(found.change, [[-0.25, 0.25], [0.25, -0.25], [0, 0]], atol=1e-12)
    assert found.norm == pytest.approx(0.5)
    assert smallest_change(layer, 0, 0, "shared") is None


def test_an_expert_at_the_centroid_can_leave_it() -> None:
    layer = layer_of(np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]), 0, 1, 1)
    found = smallest_change(layer, 0, 0, "shared")
    assert found is not None
    assert found.flips(1.001)
    assert found.norm == pytest.approx(slow_norm(found, layer.shared[0].numpy(), 0), rel=1e-3)
