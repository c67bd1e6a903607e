"""Training: repeatable, stopped at the best, and recorded as it was."""

import itertools
import math
import random
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

import aesm2
from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from aesm2.evaluation import overall_score
from aesm2.selfcheck import selfcheck
from aesm2.training import loop
from aesm2.training.run import Position, Run
from aesm2.training.step import RecordedSteps, Steps, steps
from tests import small

ALL_ROWS = 10_000  # a batch that holds the whole training split


def weights(checkpoint: Path) -> dict[str, Tensor]:
    return safetensors.torch.load_file(checkpoint / small.WEIGHTS)


def of_kind(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [line for line in small.lines(folder / "history.jsonl") if line["kind"] == kind]


def scores(folder: Path) -> dict[int, float]:
    return {line["step"]: line["score"] for line in of_kind(folder, "validation")}


def error(tmp_path: Path, **changes: Any) -> str:
    with pytest.raises(InputError) as caught:
        small.fit(tmp_path / "run", small.config(**changes))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def without_noise() -> dict[str, Any]:
    return {**small.CONFIG["model"], "noise_scale": 0.0}


def test_a_seed_repeats_bit_for_bit_and_another_does_not(tmp_path: Path) -> None:
    small.fit(tmp_path / "run", small.config())  # `run()` has the same name, which is in its hash
    assert small.result(tmp_path / "run") == small.result(small.run())
    small.fit(tmp_path / "other", small.config(seed=1))
    other = small.result(tmp_path / "other")
    assert other[small.WEIGHTS] != small.result(small.run())[small.WEIGHTS]
    assert other["records"][0][0]["loss"] != small.result(small.run())["records"][0][0]["loss"]


def test_the_weights_do_not_depend_on_the_global_generators_and_leave_them_alone(
    tmp_path: Path,
) -> None:
    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002
    random.seed(123)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    made = small.fit(tmp_path / "run", small.config())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.array_equal(np.random.get_state()[1], before[2][1])  # noqa: NPY002
    expected = (small.run() / "checkpoint" / small.WEIGHTS).read_bytes()
    assert (made / small.WEIGHTS).read_bytes() == expected


def test_it_trains_in_a_thread_where_no_signal_arrives(tmp_path: Path) -> None:
    thread = threading.Thread(target=small.fit, args=(tmp_path / "run", small.config()))
    thread.start()
    thread.join(60)
    assert small.result(tmp_path / "run") == small.result(small.run())


def test_the_checkpoint_holds_the_best_weights_not_the_last() -> None:
    measured = scores(small.run())
    best, last = max(measured, key=measured.__getitem__), max(measured)
    assert best != last  # or the test would show nothing
    opened = aesm2.load(small.run() / "checkpoint")
    assert opened.steps == best
    validation = opened.evaluation[opened.evaluation["split"] == "validation"]
    assert overall_score(validation) == pytest.approx(measured[best], abs=1e-9)
    rows = Dataset.open(small.dataset()).split("validation")
    assert overall_score(opened.evaluate(rows)) == pytest.approx(measured[best], abs=1e-9)
    state = safetensors.torch.load_file(small.run() / "state.safetensors")
    kept = weights(small.run() / "checkpoint")
    assert all(f"model.{key}" in state for key in kept)
    assert any(not torch.equal(value, state[f"model.{key}"]) for key, value in kept.items())


def test_the_best_weights_are_those_the_model_had_at_that_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at: dict[int, dict[str, Tensor]] = {}
    save = Run.save_state

    def watched(run: Run, tensors: dict[str, Tensor], position: Position) -> None:
        at[position.step] = {key: value.clone() for key, value in tensors.items()}
        save(run, tensors, position)

    monkeypatch.setattr(Run, "save_state", watched)
    made = small.fit(tmp_path / "run", small.config())
    best = aesm2.load(made).steps
    for step, tensors in at.items():
        equal = all(torch.equal(w, tensors[f"model.{key}"]) for key, w in weights(made).items())
        assert equal == (step == best)
    assert set(at) == set(scores(tmp_path / "run"))


@pytest.mark.parametrize("patience", [1, 2])
def test_training_stops_when_patience_runs_out(tmp_path: Path, patience: int) -> None:
    small.fit(tmp_path / "run", small.config(patience=patience, epochs=40, evaluate_every=2))
    measured = scores(tmp_path / "run")
    best = max(measured, key=measured.__getitem__)  # the first of equal ones
    assert max(measured) == best + 2 * patience < 40 * 6
    assert aesm2.load(tmp_path / "run" / "checkpoint").steps == best
    leading = -math.inf
    since = 0
    for score in list(measured.values())[:-1]:  # it did not go on where it should have stopped
        since = 0 if score > leading else since + 1
        leading = max(leading, score)
        assert since < patience


def test_of_equal_scores_the_first_is_the_best(tmp_path: Path) -> None:
    small.fit(tmp_path / "run", small.config(learning_rate=1e-30, patience=2))
    measured = scores(tmp_path / "run")
    assert len(set(measured.values())) == 1
    assert list(measured) == [5, 10, 15]
    assert aesm2.load(tmp_path / "run" / "checkpoint").steps == 5


def test_records_come_at_fixed_steps_and_at_the_end() -> None:
    train, validation = of_kind(small.run(), "train"), of_kind(small.run(), "validation")
    assert [line["step"] for line in train] == [4, 8, 12, 16, 18]
    assert [line["step"] for line in validation] == [5, 10, 15, 18]
    whole = (small.run() / "history.jsonl").read_text(encoding="utf-8")
    assert whole == (small.run() / "checkpoint" / "history.jsonl").read_text(encoding="utf-8")


def test_records_hold_every_term_and_every_scenario() -> None:
    opened = aesm2.load(small.run() / "checkpoint")
    history, layers = opened.history(), {layer.name for layer in opened.layers}
    assert [line["step"] for line in history] == [4, 5, 8, 10, 12, 15, 16, 18, 18]
    assert all(a["seconds"] <= b["seconds"] for a, b in itertools.pairwise(history))
    for line in history:
        if line["kind"] == "train":
            assert set(line["loss"]) == {"ctr", "ctcvr"}
            assert set(line["kl_specific"]) == set(line["kl_shared"]) == layers
            assert line["rows_per_second"] > 0
            assert line["l2"] > 0
        else:
            areas = {(m["scope"], m["scenario"], m["task"]): m for m in line["metrics"]}
            assert len(areas) == len(line["metrics"]) == 2 * (1 + 3 + 2)
            overall = [areas["all", "all", task]["auc"] for task in ("ctr", "ctcvr")]
            assert line["score"] == pytest.approx(sum(overall) / 2)
            assert areas["country", "fr", "ctr"]["n"] == 40


def test_by_default_it_is_measured_once_an_epoch(tmp_path: Path) -> None:
    small.fit(tmp_path / "run", small.config(evaluate_every=None))
    assert list(scores(tmp_path / "run")) == [6, 12, 18]


def test_recorded_terms_are_those_of_the_weights_before_the_step(tmp_path: Path) -> None:
    changes = {"model": without_noise(), "batch_size": ALL_ROWS, "record_every": 1, "l2": 0.01}
    once = aesm2.load(small.fit(tmp_path / "once", small.config(**changes, epochs=1)))
    small.fit(tmp_path / "twice", small.config(**changes, epochs=2))
    first, second = of_kind(tmp_path / "twice", "train")
    squares = sum(float(w.double().square().sum()) for w in once.model.state_dict().values())
    assert first["l2"] == pytest.approx(0.01 * squares, rel=1e-5)
    rows = Dataset.open(small.dataset()).split("train")
    predicted, trace = once.predict(rows).astype(float), once.trace(rows)
    labels = {"ctr": rows["click"], "ctcvr": rows["click"] * rows["buy"]}
    for task, label in labels.items():
        p = predicted[task]
        entropy = -(label * np.log(p) + (1 - label) * np.log(1 - p))
        assert second["loss"][task] == pytest.approx(entropy.mean(), rel=1e-5)
    for layer in trace.layers:
        tasks = 2 if layer.kind == "task" else 1
        specific = (layer.kl_specific * layer.specific).sum().item() / len(rows)
        shared = tasks * (layer.kl_shared * layer.shared).sum().item() / len(rows)
        assert second["kl_specific"][layer.name] == pytest.approx(specific, rel=1e-4)
        assert second["kl_shared"][layer.name] == pytest.approx(shared, rel=1e-4)
        assert specific > 0


def test_a_record_is_the_mean_over_the_rows_since_the_last(tmp_path: Path) -> None:
    for name, every in (("each", 1), ("some", 4)):
        small.fit(tmp_path / name, small.config(batch_size=100, epochs=3, record_every=every))
    each = {line["step"]: line for line in of_kind(tmp_path / "each", "train")}
    some = of_kind(tmp_path / "some", "train")
    assert list(each) == list(range(1, 13))
    assert [line["step"] for line in some] == [4, 8, 12]
    for line in some:
        steps = range(line["step"] - 3, line["step"] + 1)  # an epoch
        for name in ("loss", "kl_specific", "kl_shared"):
            for key, value in line[name].items():
                means = [each[step][name][key] for step in steps]
                assert value == pytest.approx(np.average(means, weights=[100, 100, 100, 84]), 1e-5)
                assert value != pytest.approx(np.mean(means), 1e-5)


def test_every_epoch_takes_every_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def watched(*arguments: Any) -> Steps | RecordedSteps:
        made = steps(*arguments)
        take = made.take
        made.take = lambda batch, *rest: seen.append(batch.fields) or take(batch, *rest)  # type: ignore[func-returns-value, method-assign]
        return made

    monkeypatch.setattr(loop, "steps", watched)
    small.fit(tmp_path / "run", small.config(epochs=2, batch_size=50))
    per_epoch = math.ceil(384 / 50)
    epochs = [torch.cat(seen[:per_epoch]), torch.cat(seen[per_epoch:])]
    assert not torch.equal(*epochs)
    ordered = [sorted(map(tuple, fields.tolist())) for fields in epochs]
    assert ordered[0] == ordered[1]
    assert len(ordered[0]) == 384


def test_snapshots_count_every_choice_of_every_validation_row() -> None:
    opened = aesm2.load(small.run() / "checkpoint")
    snapshots = opened.utilisation_history()
    assert [step for step, _ in snapshots] == [5, 10, 15, 18]
    for _, snapshot in snapshots:
        assert snapshot.rows.sum() == 128
        for layer, spec in zip(snapshot.layers, opened.layers, strict=True):
            assert layer.spec == spec
            targets = 2 if spec.kind == "task" else 1
            assert layer.specific.shape == (targets, 6, spec.experts)
            assert (layer.specific.sum(-1) == snapshot.rows * spec.specific).all()
            assert (layer.shared.sum(-1) == snapshot.rows * spec.shared).all()
            np.testing.assert_allclose(
                layer.weight.sum(-1), np.broadcast_to(snapshot.rows, (targets, 6)), atol=0.01
            )
    rows = Dataset.open(small.dataset()).split("validation")
    best = dict(snapshots)[opened.steps]
    for kept, counted in zip(best.layers, opened.utilisation(rows).layers, strict=True):
        np.testing.assert_array_equal(kept.specific, counted.specific)
        np.testing.assert_array_equal(kept.shared, counted.shared)


def test_without_the_auxiliary_loss_it_trains_and_still_records_the_divergences(
    tmp_path: Path,
) -> None:
    made = small.fit(tmp_path / "run", small.config(lambda_specific=0.0, lambda_shared=0.0))
    for line in of_kind(tmp_path / "run", "train"):
        assert all(value > 0 for value in line["kl_specific"].values())
        assert all(value > 0 for value in line["kl_shared"].values())
    assert (made / small.WEIGHTS).read_bytes() != small.result(small.run())[small.WEIGHTS]


def test_in_bfloat16_it_trains_and_keeps_float32_weights(tmp_path: Path) -> None:
    made = small.fit(tmp_path / "run", small.config(precision="bf16"))
    opened = aesm2.load(made)
    assert {w.dtype for w in weights(made).values()} == {torch.float32}
    assert all(w.isfinite().all() for w in weights(made).values())
    assert selfcheck(opened, repeats=1).passed
    plain = of_kind(small.run(), "train")[0]["loss"]
    found = of_kind(tmp_path / "run", "train")[0]["loss"]
    assert found != plain
    assert found == pytest.approx(plain, rel=0.05)


@pytest.mark.parametrize(
    "model",
    [
        {"name": "mlp", "embedding_dim": 4, "hidden": [8]},
        {
            "name": "mmoe",
            "embedding_dim": 4,
            "scenario": {"layers": 1, "experts": 3, "width": 6},
            "task": {"layers": 1, "experts": 2, "width": 6},
        },
    ],
)
def test_models_without_selection_train_and_say_that_there_is_nothing_to_trace(
    tmp_path: Path, model: dict[str, Any]
) -> None:
    made = small.fit(tmp_path / "run", small.config(model=model))
    opened = aesm2.load(made)
    assert opened.layers == ()
    assert opened.utilisation_history() == []
    assert all(line["kl_specific"] == {} for line in of_kind(tmp_path / "run", "train"))
    assert selfcheck(opened, repeats=1).passed
    rows = Dataset.open(small.dataset()).split("test")
    assert opened.predict(rows).shape == (88, 2)
    for look in (opened.trace, opened.utilisation):
        with pytest.raises(InputError, match=f"'{model['name']}' has no expert selection"):
            look(rows)


def test_task_weights_change_the_weights(tmp_path: Path) -> None:
    made = small.fit(tmp_path / "run", small.config(task_weights={"ctr": 0.1}))
    assert (made / small.WEIGHTS).read_bytes() != small.result(small.run())[small.WEIGHTS]


def test_a_weight_for_an_unknown_task_is_refused_before_the_run_starts(tmp_path: Path) -> None:
    message = error(tmp_path, task_weights={"ctr": 1.0, "cvr": 1.0})
    assert message == "training.task_weights: 'cvr' is no task (tasks: ctr, ctcvr)"
    small.fit(tmp_path / "run", small.config(epochs=1))  # the folder is free for the next try


RARE = {"record_every": 1000, "patience": 1, "epochs": 1000}  # it would stop before a record


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "training diverged by step 4: loss of ctr is inf, loss of ctcvr is inf"),
        (RARE, "training diverged by step 5: loss of ctr is inf, loss of ctcvr is inf"),
        (
            RARE | {"learning_rate": 1e38},
            "training diverged by step 5: loss of ctr is nan, loss of ctcvr is nan, L_sp of"
            " country.1 is nan and 5 more terms",
        ),
        (
            RARE | {"learning_rate": 1e38, "evaluate_every": 1},
            "training diverged by step 1: a prediction is nan",
        ),
    ],
)
def test_divergence_is_an_error_that_names_the_term(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    found = error(tmp_path, **{"learning_rate": 1e6, **changes})
    assert found == f"{message}; try a lower learning_rate"
    assert not Run(tmp_path / "run").checkpoint.exists()


def test_a_run_that_diverged_is_not_saved_where_it_is_paused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = iter([False] * 4)
    monkeypatch.setattr(Run, "halt_asked", lambda _: next(asked, True))
    assert "training diverged by step 4" in error(
        tmp_path, **(RARE | {"learning_rate": 1e38, "evaluate_every": 1000})
    )
    assert Run(tmp_path / "run").position() is None


def test_a_group_for_each_level_must_fit_the_dataset(tmp_path: Path) -> None:
    model = {**small.CONFIG["model"], "scenario": [small.CONFIG["model"]["scenario"]] * 3}
    message = error(tmp_path, model=model)
    assert message == "model.scenario describes 3 levels, the dataset has 2"
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there_is_refused_before_the_run_starts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'cuda:7' is not there"):
        aesm2.train(
            Dataset.open(small.dataset()), small.config(), tmp_path / "run", device="cuda:7"
        )
    assert not (tmp_path / "run").exists()


def test_validation_rows_of_one_class_leave_the_score_undefined(tmp_path: Path) -> None:
    """AUC is undefined for both tasks, so no weights are better than others: the last are kept."""
    dataset = small.write_dataset(tmp_path / "shop")
    log = small.rows()
    log.loc[log["day"].isin([7, 8]), ["click", "buy"]] = 0
    log.to_parquet(dataset / "log.parquet", index=False)
    made = small.fit(tmp_path / "run", small.config(), dataset=dataset)
    opened = aesm2.load(made)
    assert opened.steps == 18
    overall = opened.evaluation.query("split == 'validation' and scope == 'all'")
    assert overall["auc"].isna().all()
