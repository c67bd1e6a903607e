"""The sweep against the naive loop: a whole prediction under each knock-out, measured plainly."""

import numpy as np
import pytest
import torch

from aesm2.config import AESM2Config, ExpertGroup, MLPConfig
from aesm2.data.batch import Batch
from aesm2.errors import InputError
from aesm2.evaluation import measure
from aesm2.inference import outputs
from aesm2.models import AESM2, MLP
from aesm2.routing import knockout
from aesm2.routing.effects import effect
from aesm2.routing.interventions import KnockOut
from aesm2.routing.knockout import knockouts
from aesm2.routing.trace import layer_specs
from tests.models import cases

SHAPES = {
    "one of each": ((3,), 1, {}),
    "two layers, two levels": ((3, 2), 2, {}),
    "gates with their own": ((3,), 1, {"scenario_context": "gate"}),
    "scenarios as features": ((2, 2), 1, {"scenario_features": True}),
    "one gate": ((1,), 1, {}),
}


def model(levels: tuple[int, ...], layers: int, **changes: object) -> AESM2:
    group = ExpertGroup(layers=layers, experts=5, specific=2, shared=1, width=6)
    task = ExpertGroup(layers=layers, experts=3, specific=1, shared=1, width=5)
    config = AESM2Config(
        embedding_dim=3, context_dim=3, scenario=group, task=task, tower=(4,), **changes
    )
    schema = cases.schema(levels, fields=(400, 500))  # no two rows alike: rounding breaks ties
    return cases.spread(AESM2(config, schema))


def labelled(own: AESM2, rows: int) -> Batch:
    """Rows of which some have no label, and those of one scenario have one class only."""
    batch = cases.batch(own.schema, rows, 3)
    labels = batch.labels.clone()
    labels[::11, 1] = float("nan")
    labels[batch.scenarios[:, 0] == 1, 0] = 1
    return Batch(batch.fields, batch.scenarios, labels)


@pytest.mark.parametrize("name", SHAPES)
def test_every_cell_is_that_of_the_naive_loop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    levels, layers, changes = SHAPES[name]
    own = model(levels, layers, **changes)
    batch = labelled(own, 400)
    monkeypatch.setattr(knockout, "MOST_NUMBERS", 6 * 5 * 2 * 150)  # several chunks
    told: list[float] = []
    found = knockouts(own, batch, told.append)
    assert told == sorted(told)
    assert 0 < told[0] < 0.5
    assert told[-1] == 1
    specs = layer_specs(own)
    assert found.experts == tuple((spec.name, k) for spec in specs for k in range(spec.experts))
    frame, x = found.to_frame(), 0
    assert len(frame) == found.auc_change.size
    plain = measure(effect(own, batch, ()).after, batch, own.schema, paths=False)
    for number, spec in enumerate(specs):
        for expert in range(spec.experts):
            once = effect(own, batch, (KnockOut(spec.name, expert),))
            by_hand = measure(once.after, batch, own.schema, paths=False)
            mine = frame[(frame["layer"] == spec.name) & (frame["expert"] == expert)]
            keys = ["scope", "scenario", "task"]
            new, old = (
                table.set_index(keys).add_suffix(suffix).reset_index()
                for table, suffix in ((by_hand, "_new"), (plain, "_old"))
            )
            joined = mine.merge(new, on=keys).merge(old, on=keys)
            assert len(joined) == len(mine) == len(plain)
            np.testing.assert_array_equal(joined["n"], joined["n_old"])
            np.testing.assert_allclose(
                joined["auc_change"], 100 * (joined["auc_new"] - joined["auc_old"]), atol=1e-9
            )
            np.testing.assert_allclose(
                joined["log_loss_change"], joined["log_loss_new"] - joined["log_loss_old"],
                atol=2e-6,
            )  # fmt: skip
            same = once.measures().set_index(keys).loc[list(map(tuple, mine[keys].to_numpy()))]
            for column in ("auc_low", "auc_high", "log_loss_low", "log_loss_high"):
                np.testing.assert_allclose(mine[column], same[column], atol=1e-3)
            ((_, output),) = outputs(own, batch)
            chosen = output.routings[number].selection
            takes = (chosen.specific | chosen.shared)[..., expert].view(-1, 400).any(0).numpy()
            assert found.share[x, 0] == pytest.approx(takes.mean())
            x += 1


def test_one_class_is_undefined_and_the_only_expert_cannot_go() -> None:
    own = model((3,), 1)
    batch = labelled(own, 300)
    found = knockouts(own, batch).to_frame()
    single = found[(found["scenario"] == "s1") & (found["task"] == "task0")]
    assert single["auc_change"].isna().all()
    assert single["log_loss_change"].notna().all()
    assert found[found["scenario"] == "s0"]["auc_change"].notna().all()
    lone = ExpertGroup(layers=1, experts=1, specific=1, shared=1, width=4)
    config = AESM2Config(embedding_dim=3, context_dim=3, scenario=lone, task=lone, tower=())
    lonely = cases.spread(AESM2(config, cases.schema((3,))))
    assert knockouts(lonely, labelled(lonely, 50)).to_frame()["log_loss_change"].isna().all()


def test_the_model_keeps_its_weights_and_its_mode() -> None:
    own = model((3,), 1).train()
    before = [p.detach().numpy().tobytes() for p in own.parameters()]
    knockouts(own, labelled(own, 100))
    assert own.training
    assert [p.detach().numpy().tobytes() for p in own.parameters()] == before
    assert torch.is_grad_enabled()


def test_rows_without_labels_and_models_without_selection_are_refused() -> None:
    own = model((3,), 1)
    batch = labelled(own, 20)
    with pytest.raises(InputError, match="needs rows with labels"):
        knockouts(own, Batch(batch.fields, batch.scenarios))
    with pytest.raises(InputError, match="needs rows with labels"):
        knockouts(own, batch[:0])
    plain = MLP(MLPConfig(), own.schema)
    with pytest.raises(InputError, match="no expert selection to knock out of"):
        knockouts(plain, batch)
