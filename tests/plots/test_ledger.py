"""The ledger's numbers, words and figures, by their values."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aesm2.config import AESM2Config, ExpertGroup
from aesm2.models import AESM2
from aesm2.plots.ledger import (
    CHOOSING,
    Ledger,
    divergence_figure,
    expert_formula,
    expert_sentences,
    gap_sentence,
    ledger,
    masked_gate_figure,
    number,
    output_figure,
    output_sentence,
    set_words,
    weight_figure,
)
from aesm2.plots.style import Role
from aesm2.routing.trace import RoutingTrace, trace
from tests.models import cases


def traced(
    levels: tuple[int, ...] = (3, 2),
    scenario: ExpertGroup | None = None,
    task: ExpertGroup | None = None,
    parents: tuple[int, ...] = (-1, 0),
) -> RoutingTrace:
    shape = cases.schema(levels=levels, parents=parents)
    config = AESM2Config(scenario=scenario or ExpertGroup(), task=task or ExpertGroup())
    batch = cases.batch(shape, 6)
    return trace(cases.spread(AESM2(config, shape)), batch, pd.RangeIndex(6))


def every_ledger(of: RoutingTrace) -> list[Ledger]:
    return [ledger(layer, 2, 1) for layer in of.layers]


@pytest.fixture(scope="module")
def ledgers() -> list[Ledger]:
    return every_ledger(traced())


def test_a_ledger_is_one_row_of_the_trace_as_its_task_sees_it() -> None:
    whole = traced()
    for layer in whole.layers:
        of = ledger(layer, 2, 1)
        own = layer.of_task(1)
        assert of.target == int(own.target[2])
        np.testing.assert_allclose(of.mixing_weights, own.mixing_weights[2], rtol=1e-6)
        np.testing.assert_allclose(of.row_softmax.sum(-1), 1)
        np.testing.assert_allclose(of.own_logits, own.gate_logits[2, :, of.target], rtol=1e-6)
        assert of.gate_words.endswith(of.gate)
        assert of.gate_words != of.gate
    assert ledger(whole.layers[-1], 2, 0).target == 0


def test_ranks_agree_with_what_was_chosen(ledgers: list[Ledger]) -> None:
    for of in ledgers:
        for choosing in CHOOSING:
            score, mask, k = of.score(choosing)
            ranks = of.ranks(choosing)
            assert sorted(ranks) == list(range(1, of.spec.experts + 1))
            np.testing.assert_array_equal(ranks <= k, mask)
            assert (np.diff(score[np.argsort(ranks)]) >= -1e-6).all()


def test_equal_divergences_rank_the_chosen_first(ledgers: list[Ledger]) -> None:
    n = ledgers[0].spec.experts
    mask = np.arange(n) >= n - ledgers[0].spec.specific
    of = replace(ledgers[0], kl_specific=np.zeros(n), specific=mask)
    np.testing.assert_array_equal(of.ranks("specific") <= of.spec.specific, mask)


def test_words_carry_the_numbers(ledgers: list[Ledger]) -> None:
    for of in ledgers:
        for expert in range(of.spec.experts):
            first, second, third = expert_sentences(of, expert)
            assert number(float(of.kl_specific[expert])) in first
            assert f"rank {of.ranks('specific')[expert]} of {of.spec.experts}" in first
            assert ("→ chosen as specific" in first) == bool(of.specific[expert])
            assert ("→ chosen as shared" in second) == bool(of.shared[expert])
            assert ("masked" in third) == (of.roles[expert] is Role.UNSELECTED)
            assert "*" not in first + second + third, "plain words: names may hold any sign"
            assert number(float(of.kl_specific[expert])) in expert_formula(of, expert)


def test_the_gap_is_the_distance_to_the_first_one_left(ledgers: list[Ledger]) -> None:
    for of in ledgers:
        for choosing in CHOOSING:
            score, mask, _ = of.score(choosing)
            gap = score[~mask].min() - score[mask].max()
            assert f"the gap is {number(gap)} nats" in gap_sentence(of, choosing)


def test_sets_name_their_members_with_glyphs(ledgers: list[Ledger]) -> None:
    for of in ledgers:
        words = set_words(of, "shared")
        for k in np.flatnonzero(of.shared):
            assert f"{of.roles[k].glyph} expert {k}" in words
        assert words.count("expert") == of.spec.shared


def test_divergences_and_their_line(ledgers: list[Ledger]) -> None:
    for of in ledgers:
        for choosing, role in (("specific", Role.SPECIFIC), ("shared", Role.SHARED)):
            score, mask, k = of.score(choosing)
            figure = divergence_figure(of, choosing, 1, "stamp")
            (drawn,) = [t for t in figure.data if t.name == "experts"]
            np.testing.assert_array_equal(drawn.x, score)
            np.testing.assert_array_equal(drawn.customdata, np.arange(of.spec.experts))
            shapes = [role.symbol if m else Role.UNSELECTED.symbol for m in mask]
            assert list(drawn.marker.symbol) == shapes
            (dashed,) = [s for s in figure.layout.shapes if s.line.dash == "dash"]
            assert dashed.x0 == np.sort(score)[k - 1]
            texts = [a.text for a in figure.layout.annotations]
            assert "stamp" in texts
            assert f"K = {k}" in texts


def test_masked_gates_show_raw_logits_and_minus_infinity(ledgers: list[Ledger]) -> None:
    for of in ledgers:
        (drawn,) = [t for t in masked_gate_figure(of, None, "").data if t.name == "experts"]
        np.testing.assert_array_equal(drawn.x, of.own_logits)
        masked = ["−∞" in text for text in drawn.text]
        assert masked == [role is Role.UNSELECTED for role in of.roles]


def test_weights_sum_to_1_and_tell_roles_by_colour_and_glyph(ledgers: list[Ledger]) -> None:
    for of in ledgers:
        (bars,) = weight_figure(of, 0, "").data
        assert math.isclose(sum(bars.x), 1, rel_tol=1e-5)
        assert list(bars.marker.color) == [role.colour for role in of.roles]
        assert all(t.startswith(r.glyph) for t, r in zip(bars.text, of.roles, strict=True))


def test_the_output_and_its_norm(ledgers: list[Ledger]) -> None:
    (bars,) = output_figure(ledgers[0], "").data
    np.testing.assert_array_equal(bars.y, ledgers[0].output)
    assert number(float(np.linalg.norm(bars.y))) in output_sentence(ledgers[0])


def test_the_selected_expert_is_marked(ledgers: list[Ledger]) -> None:
    figure = divergence_figure(ledgers[0], "shared", 3, "")
    ticks = figure.layout.yaxis.ticktext
    assert [("▶" in t) for t in ticks] == [k == 3 for k in range(len(ticks))]
    plain = divergence_figure(ledgers[0], "shared", None, "")
    assert not any("▶" in t for t in plain.layout.yaxis.ticktext)


EDGES = {
    "one gate": traced(levels=(1,), parents=(-1,)),
    "all experts": traced(scenario=ExpertGroup(experts=3, specific=3, shared=3)),
    "none specific": traced(scenario=ExpertGroup(experts=4, specific=0, shared=2)),
    "many experts": traced(scenario=ExpertGroup(experts=24, specific=2, shared=2)),
    "three free tasks": traced(parents=(-1, -1, -1)),
    "one expert": traced(
        scenario=ExpertGroup(experts=1, specific=1, shared=1),
        task=ExpertGroup(experts=1, specific=1, shared=1),
    ),
}


@pytest.mark.parametrize("name", EDGES)
def test_every_shape_can_be_told_and_drawn(name: str) -> None:
    task = min(1, len(EDGES[name].layers[-1].gates) - 1)
    for layer in EDGES[name].layers:
        of = ledger(layer, 0, task)
        for choosing in CHOOSING:
            divergence_figure(of, choosing, 0, "")
            assert gap_sentence(of, choosing).startswith(("K = ", "One gate"))
            assert set_words(of, choosing)
        for figure in (masked_gate_figure, weight_figure):
            assert len(figure(of, 0, "").layout.yaxis.tickvals) == of.spec.experts
        assert all("nan" not in s for s in expert_sentences(of, 0))
        assert len(of.frame()) == of.spec.experts


def test_edges_are_said_in_words() -> None:
    first = {name: ledger(of.layers[0], 0, 0) for name, of in EDGES.items()}
    assert "One gate" in gap_sentence(first["one gate"], "specific")
    assert "one gate" in expert_sentences(first["one gate"], 0)[0]
    assert "takes every expert" in gap_sentence(first["all experts"], "shared")
    assert gap_sentence(first["none specific"], "specific").startswith("K = 0")
    assert set_words(first["none specific"], "specific") == "none"
    assert "K = 0" in expert_sentences(first["none specific"], 0)[0]


@given(st.floats(allow_nan=False))
def test_numbers_are_short_and_read_back(value: float) -> None:
    text = number(value)
    assert len(text) <= 9
    if math.isfinite(value):
        back = float(text.replace("−", "-"))
        assert math.isclose(back, value, rel_tol=0.06, abs_tol=5e-324)
    else:
        assert "∞" in text


def test_tables_name_gates(ledgers: list[Ledger]) -> None:
    of = ledgers[0]
    assert list(of.matrix(of.gate_logits).columns) == ["expert", *of.spec.gates]
    np.testing.assert_array_equal(of.matrix(of.gate_logits).iloc[:, 1:], of.gate_logits)
