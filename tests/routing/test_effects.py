"""Before and after over rows: flips, measures, traces."""

import numpy as np
import pandas as pd
import pytest

from aesm2.data.batch import Batch
from aesm2.errors import InputError
from aesm2.evaluation import measure
from aesm2.routing.counterfactual import differences
from aesm2.routing.effects import effect, traces
from aesm2.routing.interventions import Force, KnockOut, Noise, Retarget, Swap
from aesm2.routing.trace import layer_specs
from tests.models import cases
from tests.routing.test_interventions import model


def test_flips_count_rows_whose_sets_changed() -> None:
    own = model()
    batch, doing = (
        cases.batch(own.schema, 120),
        (KnockOut("level0.1", 1), Retarget("level1.1", "s0")),
    )
    found = effect(own, batch, doing)
    before, after = traces(own, batch, pd.RangeIndex(120), doing)
    flips = found.flips()
    for spec, old, new in zip(layer_specs(own), before.layers, after.layers, strict=True):
        for number, target in enumerate(spec.gates if spec.kind == "task" else ("",)):
            a, b = old.of_task(number), new.of_task(number)
            specific = [not a.specific[r].equal(b.specific[r]) for r in range(120)]
            shared = [not a.shared[r].equal(b.shared[r]) for r in range(120)]
            flipped = np.array(specific) | np.array(shared)
            mine = flips[(flips["layer"] == spec.name) & (flips["target"] == target)]
            line = mine.set_index(["scope", "scenario"]).loc[("all", "all")]
            assert (line["specific"], line["shared"]) == (sum(specific), sum(shared))
            assert line["share"] == pytest.approx(flipped.mean())
            assert line["low"] < line["share"] < line["high"]
            own_rows = batch.scenarios[:, 1].numpy() == 1
            line = mine.set_index(["scope", "scenario"]).loc[("level1", "s1")]
            assert (line["rows"], line["flipped"]) == (own_rows.sum(), flipped[own_rows].sum())
    np.testing.assert_allclose(found.after, after.log_probability.exp().numpy(), rtol=1e-5)


def test_retargeting_moves_no_shared_set_of_its_layer() -> None:
    own = model()
    found = effect(own, cases.batch(own.schema, 200), (Retarget("level0.1", "s2"),))
    flips = found.flips().set_index(["layer", "scenario"])
    assert flips.loc[("level0.1", "all"), "shared"] == 0
    assert flips.loc[("level0.1", "all"), "specific"] > 20
    assert flips.loc[("level0.1", "s2"), "flipped"] == 0  # they are there already


def test_measures_are_those_of_the_plain_evaluation() -> None:
    own = model()
    batch = cases.batch(own.schema, 300)
    found = effect(own, batch, (Force("level0.1", 4, "specific"), Swap("level1", "s0")))
    table = found.measures()
    old, new = (measure(p, batch, own.schema, paths=False) for p in (found.before, found.after))
    keys = ["scope", "scenario", "task"]
    joined = table.merge(old, on=keys).merge(new, on=keys, suffixes=("_old", "_new"))
    assert len(joined) == len(table) == 2 * (1 + 3 + 2)
    np.testing.assert_allclose(joined["auc_x"], 100 * joined["auc_y"])
    np.testing.assert_allclose(joined["auc_change"], 100 * (joined["auc"] - joined["auc_y"]))
    np.testing.assert_allclose(
        joined["log_loss_change"], joined["log_loss"] - joined["log_loss_y"], atol=1e-9
    )
    assert (table["auc_low"] <= table["auc_change"]).all()
    assert (table["auc_change"] <= table["auc_high"]).all()


def test_no_noise_flips_nothing_and_much_flips_most() -> None:
    own = model()
    batch = cases.batch(own.schema, 400)
    rates = [
        effect(own, batch, (Noise(scale, 1),)).flips().query("scenario == 'all'")["share"].mean()
        for scale in (0.0, 0.02, 0.5)
    ]
    assert rates[0] == 0
    assert rates[0] < rates[1] < rates[2]
    again = effect(own, batch, (Noise(0.5, 1),)).flips()
    assert again.query("scenario == 'all'")["share"].mean() == rates[2]


def test_nothing_changes_nothing() -> None:
    own = model()
    found = effect(own, cases.batch(own.schema, 30), ())
    np.testing.assert_array_equal(found.before, found.after)
    assert (found.flips()["flipped"] == 0).all()
    assert (found.measures()["auc_change"] == 0).all()
    before, after = traces(own, cases.batch(own.schema, 2), pd.RangeIndex(2), ())
    assert (differences(before, after)["moved_weight"] == 0).all()


def test_what_it_cannot_do_is_said() -> None:
    own = model()
    batch = cases.batch(own.schema, 10)
    unlabelled = effect(own, Batch(batch.fields, batch.scenarios), (KnockOut("task.1", 0),))
    with pytest.raises(InputError, match="no labels"):
        unlabelled.measures()
    with pytest.raises(InputError, match="no rows to intervene on"):
        effect(own, batch[:0], ())
    with pytest.raises(InputError, match="no expert 9"):
        effect(own, batch, (KnockOut("task.1", 9),))
