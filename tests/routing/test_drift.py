"""Routing drift: the divergence by hand, chance that is calibrated, and a change that is found."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aesm2.data.schema import Schema
from aesm2.errors import InputError
from aesm2.routing.drift import drift_words, routing_drift
from aesm2.routing.drift_chance import adjusted, compared, draws
from aesm2.routing.grouped import GROUPS, UNIT, GroupedLayer, RoutingSummary
from aesm2.routing.trace import LayerSpec

SCHEMA = Schema((4,), (("fr", "it"), ("0", "1")), ("country", "page"), ("ctr", "ctcvr"), (-1, 0))
SPECS = (
    LayerSpec("country.1", "scenario", 0, ("fr", "it"), 4, 8, 1, 1),
    LayerSpec("task.1", "task", None, ("ctr", "ctcvr"), 3, 8, 1, 1),
)
EVEN = {"country.1": [0.4, 0.3, 0.2, 0.1], "task.1": [0.5, 0.3, 0.2]}


def made(
    seed: int,
    rows: int,
    shares: dict[str, Any] | None = None,
    groups: int = GROUPS,
    alike: float = 0,
) -> RoutingSummary:
    """Rows that choose experts by `shares`; groups differ by Dirichlet noise of size `alike`."""
    rng, chosen = np.random.default_rng(seed), EVEN | (shares or {})
    held = np.zeros((GROUPS, 4), np.int64)
    held[:groups] = rng.poisson(rows / groups / 4, (groups, 4))
    layers = []
    for spec in SPECS:
        targets = 2 if spec.kind == "task" else 1
        counts = np.zeros((GROUPS, targets, 4, spec.experts), np.int64)
        for b, t, p in np.ndindex(GROUPS, targets, 4):
            own = np.array(chosen[spec.name])
            own = own[p] if own.ndim == 2 else own
            own = rng.dirichlet(own / alike) if alike else own
            counts[b, t, p] = rng.multinomial(held[b, p], own)
        layers.append(GroupedLayer(spec, counts, counts, (counts * UNIT).astype(np.int64)))
    return RoutingSummary(SCHEMA, held, tuple(layers))


def by_hand(a: list[float], b: list[float]) -> float:
    total = 0.0
    for p, q in zip(a, b, strict=True):
        m = (p + q) / 2
        total += (p * math.log(p / m) if p else 0) / 2 + (q * math.log(q / m) if q else 0) / 2
    return total


def test_the_divergence_is_that_by_hand() -> None:
    a, b = made(0, 4000), made(1, 3000, {"task.1": [0.2, 0.3, 0.5]})
    found = routing_drift(a, b, replicates=100)
    for own, x, y in zip(found.layers, a.layers, b.layers, strict=True):
        for t, s in np.ndindex(own.divergence.shape):
            paths = [2 * s, 2 * s + 1]  # country s with either page
            counts = [layer.specific[:, t, paths].sum((0, 1)).astype(float) for layer in (x, y)]
            shares = [c / c.sum() for c in counts]
            assert own.divergence[t, s] == pytest.approx(by_hand(*shares), abs=1e-12)
            np.testing.assert_allclose(own.shares[:, t, s], shares)
            assert own.rows[0, t, s] == a.rows[:, paths].sum()
    mix = found.mix
    shares = [log.rows.sum(0).reshape(2, 2).sum(1) / log.rows.sum() for log in (a, b)]
    assert mix.divergence == pytest.approx(by_hand(*shares), abs=1e-12)


def test_opposite_use_is_log_2() -> None:
    a = made(0, 2000, {"country.1": [1, 0, 0, 0]})
    found = routing_drift(a, made(1, 2000, {"country.1": [0, 1, 0, 0]}), replicates=100)
    assert found.layers[0].divergence == pytest.approx(math.log(2))
    assert found.to_frame()["js_share"].iloc[0] == pytest.approx(1)


def rejected(repetitions: int, rows: tuple[int, int], **more: Any) -> float:
    """Share of cells with p ≤ 0.05 where nothing drifted."""
    below = []
    for seed in range(repetitions):
        a, b = made(2 * seed, rows[0], **more), made(2 * seed + 1, rows[1], **more)
        found = routing_drift(a, b, replicates=200, seed=seed)
        below += [own.p.ravel() <= 0.05 for own in found.layers]
    return float(np.concatenate(below).mean())


def test_chance_is_calibrated() -> None:
    assert 0.01 <= rejected(12, (1500, 800)) <= 0.12


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("rows", [(1500, 1500), (6000, 800)])
@pytest.mark.parametrize("alike", [0.0, 0.1])
def test_chance_is_calibrated_in_200_repetitions(rows: tuple[int, int], alike: float) -> None:
    least = 0.0 if alike and rows[0] != rows[1] else 0.03  # groups that differ: on the safe side
    assert least <= rejected(200, rows, alike=alike) <= 0.075


def test_a_planted_change_is_found_where_it_is() -> None:
    moved = {"country.1": [[0.4, 0.3, 0.2, 0.1]] * 2 + [[0.3, 0.4, 0.2, 0.1]] * 2}
    found = routing_drift(made(0, 8000), made(1, 8000, moved), replicates=300)
    drifted = found.to_frame().query("drift")
    assert drifted["layer"].tolist() == ["country.1"]
    assert drifted["scenario"].tolist() == ["it"]
    assert found.found == 1
    said = drift_words(found)
    assert said[0] == "Drift in 1 of 6 cells (q ≤ 0.05)."
    assert "country.1, country it" in said[1]
    least = routing_drift(made(0, 8000), made(1, 8000, moved), replicates=300, least=0.5)
    assert least.found == 0
    assert "No drift: none of 6 cells" in drift_words(least)[0]


def test_traffic_that_moves_is_told_apart_from_routing() -> None:
    a, b = made(0, 8000), made(1, 8000)
    shifted = RoutingSummary(SCHEMA, b.rows * np.array([1, 1, 3, 3]), tuple(
        GroupedLayer(la.spec, *(getattr(la, n) * np.array([1, 1, 3, 3])[:, None]
                                for n in ("specific", "shared", "weight")))
        for la in b.layers
    ))  # fmt: skip
    found = routing_drift(a, shifted, replicates=300)
    assert found.mix.p < 1e-3
    assert found.found == 0


def test_an_expert_that_a_small_log_never_used_proves_little() -> None:
    """Six rows are expected and none is there: p is that of a Poisson, not nearly 0."""
    rng = np.random.default_rng(0)
    a, b = (np.zeros((GROUPS, 2)) for _ in range(2))
    a[:, 1] = rng.multinomial(30, np.full(GROUPS, 1 / GROUPS))
    a[:, 0], b[:, 0] = 70, 13.2
    plain = RoutingSummary(SCHEMA, np.full((GROUPS, 4), 20, np.int64), ())
    _, _, p = compared(a, b, draws(plain, plain, 2000, 0))
    assert 1e-3 < p < 0.1


def test_cells_with_little_are_not_tested() -> None:
    few = made(0, 40)
    found = routing_drift(few, made(1, 4000), replicates=100)
    assert np.isnan(found.layers[0].p).all() and found.tested == 0
    assert "No cell has rows enough" in drift_words(found)[0]
    narrow = routing_drift(made(0, 4000, groups=5), made(1, 4000), replicates=100)
    assert narrow.tested == 0 and math.isnan(narrow.mix.p)
    exists = np.ones((4, 2), bool)
    exists[:2, 1] = False  # ctcvr is not in fr
    found = routing_drift(made(0, 4000), made(1, 4000), exists=exists, replicates=100)
    assert np.isnan(found.layers[1].divergence[1, 0])
    assert not np.isnan(found.layers[1].p[0]).any()
    plain = found.to_json()
    assert None in [cell["p"] for cell in plain["cells"]]


def test_the_draws_are_those_of_the_seed() -> None:
    a, b = made(0, 2000), made(1, 2000)
    first, again, other = (
        routing_drift(a, b, replicates=100, seed=seed).layers[0].p for seed in (3, 3, 4)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_wrong_options_are_refused() -> None:
    a = made(0, 400)
    with pytest.raises(InputError, match="no scenario level 'city'"):
        routing_drift(a, a, by="city")
    with pytest.raises(InputError, match="level between 0 and 1"):
        routing_drift(a, a, level=0)
    with pytest.raises(InputError, match="rows in both logs"):
        routing_drift(a, made(0, 0))


def test_choices_that_no_layer_makes_are_refused() -> None:
    a = made(0, 400)
    bare = [replace(own, spec=replace(own.spec, shared=0)) for own in a.layers]
    alone = replace(a, layers=(bare[0], a.layers[1]))
    assert len(routing_drift(alone, alone, use="shared").layers) == 1
    none = replace(a, layers=tuple(bare))
    with pytest.raises(InputError, match="no layer of this model makes shared choices"):
        routing_drift(none, none, use="shared")
    assert len(routing_drift(none, none).to_frame())


def test_q_is_that_of_benjamini_and_hochberg() -> None:
    p = np.array([0.01, math.nan, 0.04, 0.03, 0.5])
    expected = [0.04, math.nan, 0.04 * 4 / 3, 0.04 * 4 / 3, 0.5]
    np.testing.assert_allclose(adjusted(p), expected)
