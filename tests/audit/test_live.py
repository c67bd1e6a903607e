"""The audit agrees with sound models, and blames the right equation where one is broken."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

import aesm2
from aesm2.audit import TOLERANCE, Audit, audit, check
from aesm2.audit.findings import LEFT_OUT
from aesm2.config import AESM2Config, ExpertGroup, TrainingConfig
from aesm2.data.batch import Batch
from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from aesm2.layers import moe
from aesm2.layers.experts import Experts
from aesm2.layers.selection import Gates, Selection
from aesm2.models import AESM2
from aesm2.routing.trace import LayerTrace, RoutingTrace, trace
from tests import small
from tests.models import cases

TRAINING = TrainingConfig(
    lambda_specific=0.3, lambda_shared=0.7, l2=0.01, task_weights={"task0": 0.1}
)
GROUP = ExpertGroup(layers=2, experts=6, specific=2, shared=2, width=5)
EQUATIONS = set(range(1, 23))


def model(levels: tuple[int, ...] = (3, 2), **changes: Any) -> AESM2:
    """Two levels of two layers, two task layers."""
    group = changes.pop("group", GROUP)
    config = AESM2Config(
        embedding_dim=3, context_dim=2, scenario=group, task=group, tower=(4,), **changes
    )
    return cases.spread(AESM2(config, cases.schema(levels)), 1)


def traced(of: AESM2, rows: Batch) -> RoutingTrace:
    return trace(of, rows, pd.RangeIndex(len(rows)))


def audited(of: AESM2, rows: Batch) -> Audit:
    return check(of, rows, traced(of, rows), TRAINING)


def blamed(of: AESM2, rows: Batch, change: Callable[[LayerTrace], LayerTrace], at: int) -> Audit:
    """The audit where layer `at` of the trace is changed."""
    whole = traced(of, rows)
    layers = list(whole.layers)
    layers[at] = change(layers[at])
    return check(of, rows, replace(whole, layers=tuple(layers)), TRAINING)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"levels": (1, 3)},  # a layer with one gate
        {"scenario_context": "gate"},
        {"scenario_features": True},
        {"group": ExpertGroup(layers=1, experts=2, specific=2, shared=2, width=3)},  # all are both
        {"group": ExpertGroup(layers=1, experts=4, specific=0, shared=1, width=3)},
    ],
    ids=str,
)
@pytest.mark.parametrize("rows", [1, 200])  # dense, and sparse where that pays
def test_a_sound_model_agrees_on_every_equation(changes: dict[str, Any], rows: int) -> None:
    of = model(**changes)
    found = audited(of, cases.batch(of.schema, rows))
    assert found.differing == ()
    assert {f.about.equation for f in found.findings} == EQUATIONS - {3}
    assert max(f.difference for f in found.findings) < TOLERANCE
    assert found.verdict().endswith("all agree within 1e-5")


@settings(max_examples=25)
@given(cases.aesm2_cases())
def test_random_models_agree(case: tuple[AESM2, Batch]) -> None:
    assert audited(*case).differing == ()


def test_every_quantity_is_compared_in_every_layer_and_task() -> None:
    of = model()
    lines = audited(of, cases.batch(of.schema, 3)).frame()
    count = lines.groupby(["layer", "task"]).size().to_dict()
    names = ["level0.1", "level0.2", "level1.1", "level1.2", "task.1", "task.2"]
    assert all(count[name, ""] == (16 if name.startswith("level") else 8) for name in names)
    assert all(count[f"task.{n}", f"task{t}"] == 8 for n in (1, 2) for t in (0, 1))
    g = lines.query("equation == 8").set_index("layer")
    assert g.loc["level0.1", "compared"] == 3 * 6 * 3  # rows × experts × gates


def test_without_labels_their_losses_are_left_out() -> None:
    of = model()
    rows = cases.batch(of.schema, 3)
    found = audited(of, Batch(rows.fields, rows.scenarios))
    assert found.agrees
    assert set(found.left_out) == {3, 19, 22}
    unknown = audited(of, replace(rows, labels=torch.full_like(rows.labels, torch.nan)))
    assert unknown.agrees
    assert 19 in unknown.left_out
    lines = found.by_equation().set_index("equation")
    assert lines.loc[19, "status"] == LEFT_OUT
    assert lines.loc[19, "why"] == "these rows have no labels"


def test_what_concerns_one_layer_and_task() -> None:
    of = model()
    found = audited(of, cases.batch(of.schema, 1)).restricted("task.1", "task1")
    assert {f.about.layer for f in found.findings} == {"", "task.1"}
    assert {f.about.task for f in found.findings} == {"", "task1"}
    assert set(found.left_out) == {3, 8, 15}


# ---- a wrong number is blamed on its equation --------------------------------------------------


def shifted(name: str) -> Callable[[LayerTrace], LayerTrace]:
    """Add 1e-3 to one number of a layer's trace."""

    def change(layer: LayerTrace) -> LayerTrace:
        values = getattr(layer, name).clone()
        values.view(-1)[0] += 1e-3
        return replace(layer, **{name: values})

    return change


def swapped(name: str) -> Callable[[LayerTrace], LayerTrace]:
    """Give the first row the experts that are not chosen."""

    def change(layer: LayerTrace) -> LayerTrace:
        mask = getattr(layer, name).clone()
        first = mask.view(-1, mask.shape[-1])[0]
        first.copy_(first.roll(1))
        return replace(layer, **{name: mask})

    return change


@pytest.mark.parametrize(
    ("change", "at", "equations"),
    [
        (shifted("kl_specific"), 0, {11}),
        (shifted("kl_shared"), 0, {13}),
        (shifted("mixing_weights"), 0, {1, 4, 14}),
        (shifted("output"), 5, {1, 17}),
        (shifted("output"), 3, {1, 15}),
        (swapped("shared"), 0, {12, 14, 15}),
        (swapped("specific"), 0, {10, 14, 15}),
    ],
    ids=["kl_specific", "kl_shared", "weights", "last output", "output", "shared", "specific"],
)
def test_a_wrong_number_of_the_trace(change: Any, at: int, equations: set[int]) -> None:
    of = model()
    rows = cases.batch(of.schema, 1)
    found = blamed(of, rows, change, at)
    after = {16, 17, 18} if at else set()  # they read the number
    later = {20, 21, 22}  # sums over layers
    assert equations <= set(found.differing) <= equations | after | later
    names = [layer.name for layer in traced(of, rows).layers]
    places = {f.about.layer for f in found.findings if not f.ok} - {""}
    assert places <= set(names[at : at + 2])


@pytest.mark.parametrize(
    ("name", "equations"),
    [
        ("embedding.weight", {1, 8, 15}),
        ("scenario_layers.0.gate.weight", {8}),
        ("scenario_layers.0.gate_context.weight", {8}),
        ("scenario_layers.2.experts.linear.weight", {1, 15}),
        ("task_layers.0.gate", {16}),
        ("task_layers.1.gate_own", {16}),
        ("task_embedding", {16}),
        ("task_layers.1.experts.linear.bias", {1, 17}),
        ("towers.1.bias", {18}),
    ],
)
def test_another_weight_than_the_model_used(name: str, equations: set[int]) -> None:
    """A weight that differs from what made the trace is blamed on the equations that read it."""
    of = model()
    rows = cases.batch(of.schema, 1)
    whole = traced(of, rows)
    with torch.no_grad():
        weights = dict(of.named_parameters())[name]
        weights += 0.5
    found = check(of, rows, whole, TRAINING)
    assert set(found.differing) == equations


# ---- broken code is blamed ---------------------------------------------------------------------


def multiplied_mask(*arguments: Any) -> tuple[Gates, Selection]:
    """The mask of the authors' released code: unselected logits are multiplied, not masked."""
    gates, chosen = moe_chosen(*arguments)
    own = torch.where(gates.target.unsqueeze(-2), gates.logits, 0.0).sum(-1)
    kept = chosen.specific | chosen.shared
    weights = torch.where(kept, own, own * -1e9).softmax(-1)
    return gates, chosen._replace(mixing_weights=weights)


def highest_shared(*arguments: Any) -> tuple[Gates, Selection]:
    """Takes the least shared experts."""
    gates, chosen = moe_chosen(*arguments)
    worst = chosen.kl_shared.argsort(dim=-1, descending=True)[..., : gates.shared]
    shared = torch.zeros_like(chosen.shared).scatter_(-1, worst, True)
    own = torch.where(gates.target.unsqueeze(-2), gates.logits, 0.0).sum(-1)
    masked = own.masked_fill(~(chosen.specific | shared), -torch.inf)
    return gates, chosen._replace(shared=shared, mixing_weights=masked.softmax(-1))


moe_chosen = moe.chosen


@pytest.mark.parametrize(
    ("broken", "equations"), [(multiplied_mask, {14, 15, 17}), (highest_shared, {12})]
)
def test_a_broken_selection(
    monkeypatch: pytest.MonkeyPatch, broken: Any, equations: set[int]
) -> None:
    monkeypatch.setattr(moe, "chosen", broken)
    of = model()
    assert set(audited(of, cases.batch(of.schema, 20)).differing) == equations


def test_experts_without_activation(monkeypatch: pytest.MonkeyPatch) -> None:
    def linear(self: Experts, x: Tensor) -> Tensor:
        return torch.einsum("kwi,ri->rkw", self.linear.weight, x) + self.linear.bias

    monkeypatch.setattr(Experts, "outputs", linear)
    of = model()
    assert set(audited(of, cases.batch(of.schema, 20)).differing) == {1, 2, 15, 17}


def test_a_missing_factor_of_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "aesm2.models.aesm2.along_chain",
        lambda logits, parents: torch.nn.functional.logsigmoid(logits),
    )
    of = model()
    assert audited(of, cases.batch(of.schema, 20)).differing == (18,)


def test_another_gate_than_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows routed by the scenario of another row."""
    of = model((3,), group=replace_layers(GROUP, 1))
    rows = cases.batch(of.schema, 30)
    wrong = Batch(rows.fields, rows.scenarios.roll(1, 0), rows.labels)
    found = check(of, rows, traced(of, wrong), TRAINING)
    assert {8, 10, 11, 14, 15} <= set(found.differing)


def replace_layers(group: ExpertGroup, layers: int) -> ExpertGroup:
    return group.model_copy(update={"layers": layers})


def test_noise_is_not_in_the_audit() -> None:
    """In evaluation mode there is none; a trace that had it would differ in Eq. 8 and 16."""
    of = model(noise_scale=0.5)
    rows = cases.batch(of.schema, 5)
    assert audited(of, rows).agrees


def test_probabilities_are_compared_by_their_own_size() -> None:
    """A hundredth of a small probability is a difference, however small the number."""
    of = model()
    rows = cases.batch(of.schema, 1)
    whole = traced(of, rows)
    off = replace(whole, log_probability=whole.log_probability + 1e-3)
    assert 18 in check(of, rows, off, TRAINING).differing
    small_aux = TRAINING.model_copy(update={"lambda_specific": 1e-6, "lambda_shared": 1e-6})
    wrong = replace(whole.layers[0], kl_specific=whole.layers[0].kl_specific * 1.01)
    trace_ = replace(whole, layers=(wrong, *whole.layers[1:]))
    assert 21 in check(of, rows, trace_, small_aux).differing


def test_of_a_checkpoint() -> None:
    checkpoint = aesm2.load(small.run() / "checkpoint", "cpu")
    frame = Dataset.open(small.dataset()).split("test").iloc[:2]
    found = audit(checkpoint, checkpoint.encode(frame, labels=True), frame.index)
    assert found.agrees
    assert found.rows == 2
    names = tuple(f"row {name}," for name in frame.index)
    assert found.frame(8)["where"].map(lambda place: place.startswith(names)).all()
    with pytest.raises(InputError, match="no rows"):
        empty = frame.iloc[:0]
        audit(checkpoint, checkpoint.encode(empty), empty.index)


def test_a_model_without_selection(tmp_path: Any) -> None:
    small.fit(tmp_path / "plain", small.config(model={"name": "mlp"}, epochs=1))
    plain = aesm2.load(tmp_path / "plain" / "checkpoint", "cpu")
    frame = Dataset.open(small.dataset()).split("test").iloc[:1]
    with pytest.raises(InputError, match="'mlp' has no expert selection to audit"):
        audit(plain, plain.encode(frame), frame.index)


def test_infinities_and_shapes_are_differences() -> None:
    of = model()
    rows = cases.batch(of.schema, 1)

    def lost(layer: LayerTrace) -> LayerTrace:
        return replace(layer, mixing_weights=torch.full_like(layer.mixing_weights, torch.nan))

    found = blamed(of, rows, lost, 0)
    assert 14 in found.differing
    assert np.isinf(max(f.difference for f in found.findings))
