"""Reading records into tidy frames, smoothing, snapshots, differences of configurations."""

import math

import numpy as np
import pandas as pd
import pytest

import aesm2
from aesm2.config import Config, MLPConfig, TrainingConfig
from aesm2.training.history import (
    DIVERGENCES,
    LOSSES,
    VALIDATION,
    config_differences,
    divergence_frame,
    facts,
    loss_frame,
    nearest_snapshot,
    smoothed,
    snapshots,
    validation_frame,
)
from tests import small

TRAIN = {
    "kind": "train", "step": 6, "seconds": 1.5, "loss": {"ctr": 0.7, "ctcvr": 0.4},
    "kl_specific": {"tab.1": 2.0, "task.1": 1.0}, "kl_shared": {"tab.1": 0.5, "task.1": 0.1},
    "l2": 0.25, "rows_per_second": 100,
}  # fmt: skip
VALIDATED = {
    "kind": "validation", "step": 9, "seconds": 2.0, "score": 0.6,
    "metrics": [
        {"scope": "all", "scenario": "all", "task": "ctr", "n": 50, "auc": 0.61, "log_loss": 0.5},
        {"scope": "tab", "scenario": "0", "task": "ctr", "n": 3, "auc": None, "log_loss": 0.2},
    ],
}  # fmt: skip
SETTINGS = TrainingConfig(
    lambda_specific=0.1, lambda_shared=0.01, task_weights={"ctr": 0.5}, l2=1e-3
)


def terms(frame: pd.DataFrame) -> dict[str, float]:
    return dict(zip(frame["kind"] + " " + frame["term"], frame["value"], strict=True))


def test_terms_enter_the_loss_with_their_weights() -> None:
    frame = loss_frame([TRAIN], SETTINGS)
    assert terms(frame) == pytest.approx(
        {
            "task ctr": 0.35, "task ctcvr": 0.4, "specific λ_sp L_sp": 0.3,
            "shared λ_sh L_sh": 0.006, "l2 γ‖Θ‖²": 0.25, "total total": 1.306,
        }
    )  # fmt: skip
    assert set(frame["step"]) == {6}
    assert set(frame["seconds"]) == {1.5}


def test_a_record_that_lacks_a_term_has_no_total() -> None:
    old = {key: value for key, value in TRAIN.items() if key not in ("kl_shared", "seconds")}
    frame = loss_frame([old], SETTINGS)
    assert list(frame["kind"]) == ["task", "task", "specific", "l2"]
    assert frame["seconds"].isna().all()


def test_divergences_by_layer_and_role() -> None:
    frame = divergence_frame([TRAIN, VALIDATED])
    assert list(frame.itertuples(index=False, name=None)) == [
        (6, 1.5, "tab.1", "specific", 2.0),
        (6, 1.5, "task.1", "specific", 1.0),
        (6, 1.5, "tab.1", "shared", 0.5),
        (6, 1.5, "task.1", "shared", 0.1),
    ]


def test_validation_auc_is_times_100_and_missing_where_undefined() -> None:
    frame = validation_frame([TRAIN, VALIDATED])
    assert list(frame["value"].fillna(-1)) == pytest.approx([61.0, -1])
    assert list(frame["n"]) == [50, 3]
    assert list(frame["scenario"]) == ["all", "0"]


def test_facts() -> None:
    told = facts([TRAIN, TRAIN | {"step": 12, "rows_per_second": 300}, VALIDATED])
    assert (told.steps, told.seconds, told.rows_per_second) == (12, 2.0, 200.0)
    assert told.records == (2, 1)


def test_what_is_left_is_of_the_last_plan() -> None:
    """A branch may plan fewer steps than the run that it goes on from."""
    first = [{"step": s, "seconds": float(s), "last_step": 10_000} for s in range(20, 501, 20)]
    branch = [{"step": s, "seconds": float(s), "last_step": 1_000} for s in range(520, 801, 20)]
    assert facts([{"kind": "train"} | own for own in [*first, *branch]]).left == 200


@pytest.mark.parametrize(
    "history",
    [
        [],
        [{}],
        [{"kind": "train"}],
        [{"kind": "train", "step": None, "loss": {"ctr": 1}}],
        [{"kind": "train", "step": 1}],
        [{"kind": "train", "step": 1, "loss": None, "kl_specific": 3, "l2": "much"}],
        [{"kind": "validation", "step": 1}],
        [{"kind": "validation", "step": 1, "metrics": [None, {"scope": "all"}]}],
        [{"kind": "of the future", "step": 1}],
        [{"kind": "train", "step": 10**400}, {"kind": "train", "step": math.inf}],
        [{"kind": "train", "step": 1, "loss": {"ctr": 10**400}, "seconds": 10**400}],
        [None, 3],
    ],
)
def test_odd_histories_are_read_without_an_error(history: list) -> None:
    assert list(loss_frame(history, SETTINGS).columns) == list(LOSSES)
    assert list(divergence_frame(history).columns) == list(DIVERGENCES)
    assert list(validation_frame(history).columns) == list(VALIDATION)
    told = facts(history)
    assert told.steps in (0, 1)
    assert math.isnan(told.rows_per_second)
    for frame, by in ((loss_frame(history, SETTINGS), "term"), (divergence_frame(history), "role")):
        assert "smooth" in smoothed(frame, 0.5, [by])


def test_a_real_history_is_read_whole() -> None:
    opened = aesm2.load(small.run() / "checkpoint", "cpu")
    history = opened.history()
    told = facts(history)
    assert told.records == (5, 4)
    assert told.steps == 18
    layers = [layer.name for layer in opened.layers]
    assert list(divergence_frame(history)["layer"].unique()) == layers
    frame = loss_frame(history, opened.config.training)
    parts = frame[frame["kind"] != "total"].groupby("step")["value"].sum()
    total = frame[frame["kind"] == "total"].set_index("step")["value"]
    assert np.allclose(parts, total)
    assert len(validation_frame(history)) == 4 * 2 * (1 + 3 + 2)


def slow_smooth(values: list[float], factor: float) -> list[float]:
    """Each value by its definition: a mean weighted by factor^age, over the values there are."""
    result = []
    for t, now in enumerate(values):
        weights = [factor ** (t - i) for i in range(t + 1)]
        known = [(w, v) for w, v in zip(weights, values, strict=False) if not math.isnan(v)]
        total = sum(w for w, _ in known)
        result.append(sum(w * v for w, v in known) / total if not math.isnan(now) else math.nan)
    return result


@pytest.mark.parametrize("factor", [0.3, 0.9])
@pytest.mark.parametrize("values", [[1.0, 2.0, 0.0, 5.0], [1.0, math.nan, 3.0, 4.0], [7.0]])
def test_smoothing_against_its_definition(values: list[float], factor: float) -> None:
    frame = pd.DataFrame({"term": "a", "value": values})
    found = smoothed(frame, factor, ["term"])["smooth"]
    assert np.allclose(found, slow_smooth(values, factor), equal_nan=True)


def test_series_are_smoothed_apart_and_none_is_none() -> None:
    frame = pd.DataFrame({"term": list("abab"), "value": [0.0, 10.0, 2.0, 20.0]})
    together = smoothed(frame, 0.5, ["term"])["smooth"]
    for name in "ab":
        alone = smoothed(frame[frame["term"] == name], 0.5, ["term"])["smooth"]
        assert together[frame["term"] == name].tolist() == alone.tolist()
    assert smoothed(frame, 0, ["term"])["smooth"].equals(frame["value"])
    with pytest.raises(ValueError, match="0 ≤ factor < 1"):
        smoothed(frame, 1, ["term"])


def test_snapshots_are_those_of_the_checkpoint() -> None:
    opened = aesm2.load(small.run() / "checkpoint", "cpu")
    lines = [
        {"step": step} | used.to_json() for step, used in reversed(opened.utilisation_history())
    ]
    found = snapshots(lines, opened.encoder.schema, opened.layers)
    assert [step for step, _ in found] == [5, 10, 15, 18]
    for (_, a), (_, b) in zip(found, opened.utilisation_history(), strict=True):
        assert a.to_json() == b.to_json()


def test_a_snapshot_keeps_the_layers_that_fit() -> None:
    opened = aesm2.load(small.run() / "checkpoint", "cpu")
    step, used = opened.utilisation_history()[0]
    line = {"step": step} | used.to_json()
    first, *others = opened.layers
    del line["layers"][first.name]
    found = snapshots([line], opened.encoder.schema, opened.layers)
    assert [layer.spec for layer in found[0][1].layers] == others
    odd = [
        {"step": 1}, {"step": None, **line}, {"step": 1, "layers": {}}, line | {"rows": [1]},
        line | {"rows": "many"}, line | {"layers": {first.name: {"specific": [[[1]]]}}},
        line | {"layers": {others[0].name: None}}, line | {"step": 10**400},
        line | {"rows": [10**400] * len(line["rows"])},
    ]  # fmt: skip
    odd[1]["step"] = None
    assert snapshots(odd, opened.encoder.schema, opened.layers) == []


def test_the_nearest_snapshot_is_the_earlier_of_two() -> None:
    opened = aesm2.load(small.run() / "checkpoint", "cpu")
    found = opened.utilisation_history()
    steps = {asked: nearest_snapshot(found, asked)[0] for asked in (0, 7, 8, 100)}
    assert steps == {0: 5, 7: 5, 8: 10, 100: 18}
    tie = [(4, found[0][1]), (8, found[1][1])]
    assert nearest_snapshot(tie, 6)[0] == 4


def test_only_settings_that_differ_are_listed() -> None:
    base = Config()
    other = base.model_copy(update={"training": TrainingConfig(lambda_shared=0, seed=3)})
    table = config_differences({"a": base, "b": other})
    assert table.to_numpy().tolist() == [
        ["training.lambda_shared", "0.001", "0"], ["training.seed", "0", "3"],
    ]  # fmt: skip
    assert config_differences({"a": base, "b": base}).empty
    assert config_differences({"a": base}).empty


def test_a_setting_that_a_model_has_not_is_a_dash() -> None:
    table = config_differences({"a": Config(), "b": Config(model=MLPConfig())})
    lines = {line["setting"]: line for line in table.to_dict(orient="records")}
    assert lines["model.name"] == {"setting": "model.name", "a": "aesm2", "b": "mlp"}
    assert lines["model.noise_scale"]["b"] == "–"
    assert lines["model.hidden"]["a"] == "–"
