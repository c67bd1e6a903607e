"""A comparison from the command to the folder of evidence, on a small dataset."""

import functools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from aesm2.cli import app
from aesm2.cli import evidence as commands
from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from aesm2.evidence import cells
from aesm2.evidence.cells import Cell, Store
from aesm2.evidence.comparison import (
    chosen_trials,
    comparisons,
    curves_of,
    final_runs,
    lines_of,
    search,
)
from aesm2.evidence.folder import add_tables, read_evidence
from aesm2.evidence.impact import impact
from aesm2.evidence.measures import groups, measures
from aesm2.evidence.rows import Rows, encode_rows, load_rows, save_rows
from aesm2.evidence.significance import compare
from aesm2.evidence.study import TRIAL_SEED, Search, Study
from aesm2.evidence.tables import summary
from aesm2.evidence.usage import usage_and_distances
from aesm2.metrics import auc
from aesm2.simulation.presets import PRESETS
from aesm2.simulation.write import simulate
from tests import small
from tests.evidence import made
from tests.models import cases

STUDY = Study(
    models=("aesm2", "mlp"), seeds=2, epochs=2, batch_size=128, search=Search(trials=2)
)  # fmt: skip


@functools.cache
def rows():
    return encode_rows(Dataset.open(small.dataset()))


@functools.cache
def store() -> Store:
    return Store(small.folder() / "evidence-work", rows())


@functools.cache
def found():
    trials = search(store(), STUDY, 1)
    return trials, final_runs(store(), STUDY, trials, 2)


def test_rows_are_read_back_as_they_were(tmp_path: Path) -> None:
    save_rows(rows(), tmp_path)
    again = load_rows(tmp_path)
    assert (again.schema, again.hash) == (rows().schema, rows().hash)
    for split, batch in rows().batches.items():
        for part in ("fields", "scenarios", "labels"):
            assert getattr(again.batches[split], part).equal(getattr(batch, part))


def test_rows_of_one_scenario_keep_all_test_rows() -> None:
    own = rows().of_path(3)
    pages = len(rows().schema.levels[1])
    for split in ("train", "validation"):
        scenarios = own.batches[split].scenarios
        assert 0 < len(scenarios) < len(rows().batches[split])
        assert (scenarios[:, 0] * pages + scenarios[:, 1] == 3).all()
    assert len(own.batches["test"]) == len(rows().batches["test"])


def test_the_search_marks_the_best_trial_of_every_variant_on_validation() -> None:
    trials, _ = found()
    assert len(trials) == 4 * 2
    for variant, own in trials.groupby("variant"):
        assert own["trial"].tolist() == [0, 1]
        assert own.loc[own["chosen"], "score"].max() == own["score"].max()
        best = chosen_trials(trials)[variant]
        assert own.set_index("trial").loc[best, "score"] == own["score"].max()


def test_trials_never_see_the_test_rows_and_share_no_seed_with_final_runs() -> None:
    _, runs = found()
    kept = [json.loads(f.read_text()) for f in store().cells.glob("*.json")]
    of_trials = [r for r in kept if r["config"]["training"]["seed"] == TRIAL_SEED]
    assert len(of_trials) == 8
    assert all("lines" not in result for result in of_trials)
    assert len(list(store().cells.glob("*.npy"))) == len(kept) - 8
    seeds = {cell.config.training.seed for own in runs.values() for cell in own}
    assert seeds == {0, 1}


def test_a_finished_cell_is_never_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    trials, runs = found()
    monkeypatch.setattr(cells, "_run", None)  # a call of it would fail
    assert final_runs(store(), STUDY, trials, 1) == runs
    pd.testing.assert_frame_equal(search(store(), STUDY, 1), trials)


def test_a_cell_has_the_same_result_wherever_it_runs() -> None:
    _, runs = found()
    cell = runs["aesm2"][1]
    result, predicted, _ = cell.run(rows())
    assert predicted is not None
    np.testing.assert_array_equal(predicted, store().predictions(cell))
    kept = store().result(cell)
    assert [line["auc"] for line in result["lines"]] == pytest.approx(
        [line["auc"] for line in kept["lines"]], nan_ok=True
    )
    again = store().model(cell)
    assert not again.training


def test_a_cell_is_named_by_everything_that_decides_its_result() -> None:
    _, runs = found()
    cell = runs["mlp"][0]
    config = cell.config
    other = config.model_copy(update={"training": config.training.model_copy(update={"l2": 0.5})})
    keys = {
        cell.key("a"), cell.key("b"), Cell(config, path=0).key("a"),
        Cell(config, test=False).key("a"), Cell(other).key("a"), runs["mlp"][1].key("a"),
    }  # fmt: skip
    assert len(keys) == 6


def test_lines_are_the_measures_of_the_predictions() -> None:
    _, runs = found()
    lines = lines_of(store(), runs)
    assert len(lines) == 4 * 2 * 2 * (1 + 3 + 2 + 6 + 1)  # all, countries, pages, paths, weighted
    labels = rows().batches["test"].labels.numpy()
    own = lines[(lines["variant"] == "mlp+ids") & (lines["seed"] == 1)]
    overall = own[own["scope"] == "all"].set_index("task")["auc"]
    predicted = store().predictions(runs["mlp+ids"][1])
    for task, name in enumerate(rows().schema.tasks):
        wanted = auc(labels[:, task], predicted[:, task]).value
        assert overall[name] == pytest.approx(wanted, nan_ok=True)
    paths = own[(own["scope"] == "path") & (own["task"] == "ctr")]
    known = paths[paths["auc"].notna()]
    weighted = own[(own["scope"] == "weighted") & (own["task"] == "ctr")]["auc"].item()
    assert weighted == pytest.approx((known["auc"] * known["n"]).sum() / known["n"].sum())


def test_comparisons_are_paired_by_seed_in_every_cell() -> None:
    _, runs = found()
    frame = comparisons(store(), runs, ["aesm2"])
    assert set(frame["variant"]) == {"aesm2+ids", "mlp", "mlp+ids"}
    line = frame[(frame["variant"] == "mlp") & (frame["scope"] == "all") & (frame["task"] == "ctr")]
    a, b = (np.stack([store().predictions(c) for c in runs[n]])[..., 0] for n in ("aesm2", "mlp"))
    wanted = compare(rows().batches["test"].labels[:, 0].numpy(), a, b)
    assert line["difference"].item() == pytest.approx(wanted.difference)
    assert line["p"].item() == pytest.approx(wanted.p)
    assert (frame["p_adjusted"].dropna() >= frame["p"].dropna() - 1e-12).all()


@pytest.mark.parametrize(("levels", "paths"), [((3,), 0), ((2, 3), 6)])
def test_a_cell_is_compared_once(levels: tuple[int, ...], paths: int) -> None:
    """The fine-grained scenarios of a single level are its own; twice they would double Holm's."""
    shape = cases.schema(levels)
    inside = groups(Rows(shape, {"test": cases.batch(shape, 20)}, None, ""))
    assert len(inside) == 1 + sum(levels) + paths
    assert [scope for scope, _ in inside].count("path") == paths


def test_models_that_select_nothing_leave_a_folder_that_opens(tmp_path: Path) -> None:
    own = {name: cells for name, cells in found()[1].items() if name.startswith("mlp")}
    usage, distances = usage_and_distances(store(), own)
    tables = {"usage": usage, "distances": distances, "curves": curves_of(store(), own)}
    add_tables(tmp_path / "ev", made.ABOUT, tables, "aesm2 compare shop --models mlp")
    opened = read_evidence(tmp_path / "ev").tables
    assert {name: len(table) for name, table in opened.items()} == dict.fromkeys(tables, 0)


def test_truth_is_measured_where_it_is_known(tmp_path: Path) -> None:
    simulate(PRESETS["alipay"], 3000, tmp_path / "sim", progress=False)
    opened = encode_rows(Dataset.open(tmp_path / "sim"))
    assert opened.truth is not None
    save_rows(opened, tmp_path / "rows")
    np.testing.assert_array_equal(load_rows(tmp_path / "rows").truth, opened.truth)
    lines = measures(opened.truth, opened)
    overall = lines[lines["scope"] == "all"]
    np.testing.assert_allclose(overall["truth_log_loss"], 0, atol=1e-6)
    worse = measures(np.full_like(opened.truth, 0.5), opened)
    assert worse[worse["scope"] == "all"]["truth_auc"].tolist() == [0.5, 0.5]
    assert (worse[worse["scope"] == "all"]["truth_log_loss"] > 0.05).all()
    assert (overall["truth_auc"] > 0.7).all()
    plain = measures(store().predictions(found()[1]["mlp"][0]), rows())
    assert plain["truth_auc"].isna().all()


def test_summary_by_hand() -> None:
    values = {("a", 0): 0.5, ("a", 1): 0.7, ("b", 0): 0.55, ("b", 1): 0.55}
    lines = pd.DataFrame(
        {"variant": v, "seed": s, "scope": scope, "scenario": scenario, "task": "ctr", "auc": x}
        for (v, s), x in values.items()
        for scope, scenario in (("country", "fr"), ("all", "all"))
    )
    means = summary(lines).set_index(["variant", "scope"])
    assert means.loc[("a", "all"), "mean"] == pytest.approx(0.6)
    half = 12.7062047 * 0.1414214 / 2**0.5  # t of 1 degree of freedom
    assert means.loc[("a", "all"), "high"] == pytest.approx(0.6 + half, rel=1e-6)


def test_evidence_is_added_to_and_never_mixed(tmp_path: Path) -> None:
    about, first, second = made.ABOUT, made.runs(), made.transfer()
    add_tables(tmp_path / "e", about, {"runs": first}, "aesm2 compare")
    (tmp_path / "e" / "notes.txt").write_text("mine")
    add_tables(tmp_path / "e", about, {"transfer": second}, "aesm2 transfer")
    opened = read_evidence(tmp_path / "e")
    assert opened.name == "hand"
    pd.testing.assert_frame_equal(opened.tables["runs"], first)
    pd.testing.assert_frame_equal(opened.tables["transfer"], second)
    assert opened.made("transfer").startswith("aesm2 transfer; commit ")
    assert (tmp_path / "e" / "notes.txt").read_text() == "mine"
    with pytest.raises(InputError, match="holds evidence of other rows"):
        add_tables(tmp_path / "e", {"name": "x", "rows": {"test": 4}}, {}, "")
    (tmp_path / "e" / "runs.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"runs\.parquet: cannot be read"):
        read_evidence(tmp_path / "e")
    with pytest.raises(InputError, match="no such file"):
        read_evidence(tmp_path)


def run(*arguments: str | Path) -> str:
    """What a command prints on standard output."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_only_leaves_alone_the_commands_that_train_another_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def searched(_: Store, study: Study, __: int) -> None:
        asked.append(list(study.variants(2)))
        raise InputError("that is enough")

    monkeypatch.setattr(commands, "search", searched)
    (tmp_path / "study.toml").write_text('only = ["aesm2", "mmoe+ids"]\n')
    shared = [small.dataset(), "--out", tmp_path / "ev", "--work", tmp_path / "work",
              "--study", tmp_path / "study.toml"]  # fmt: skip
    for command, more in (
        ("compare", []), ("compare", ["--models", "mlp"]), ("transfer", []), ("ablate", []),
    ):  # fmt: skip
        CliRunner().invoke(app, [str(a) for a in (command, *shared, *more)])
    assert asked == [
        ["aesm2", "mmoe+ids"], ["mlp", "mlp+ids"], ["esmm", "esmm+ids"], ["aesm2", "aesm2+ids"],
    ]  # fmt: skip


def test_the_commands_write_a_whole_folder(tmp_path: Path) -> None:
    shared = ["--out", tmp_path / "ev", "--work", tmp_path / "work", "--quick", "--jobs", "1"]
    made = {}
    for command, more in (("compare", ["--models", "aesm2,mlp"]), ("transfer", []), ("ablate", [])):
        made[command] = run(command, small.dataset(), *shared, *more)
    opened = read_evidence(tmp_path / "ev")
    assert set(opened.tables) == {
        "trials", "runs", "comparisons", "costs", "curves", "usage", "distances", "transfer",
        "ablation", "ablation_comparisons", "ablation_curves",
    }  # fmt: skip
    assert "| AESM² + ids |" in made["compare"]
    assert "| w/o auxiliary loss |" in made["ablate"]
    tables = opened.tables
    usage = tables["usage"]
    whole = usage[(usage["layer"] == "country.1") & (usage["seed"] == 0)]
    picks = whole.groupby(["variant", "path"])[["specific", "rows"]].agg(
        {"specific": "sum", "rows": "first"}
    )
    assert (picks["specific"] == 2 * picks["rows"]).all()
    assert set(tables["ablation_curves"]["role"]) == {"specific", "shared"}
    native = tables["transfer"]
    assert len(native) == len(native["train"].unique()) * 6 * 2 * 2


def test_searches_of_a_simulated_dataset_are_replayed(tmp_path: Path) -> None:
    preset = PRESETS["alipay"].model_copy(update={"users": 500, "items": 300, "queries": 100})
    simulate(preset, 3000, tmp_path / "sim", progress=False)
    shared = ["--out", tmp_path / "ev", "--work", tmp_path / "work", "--quick", "--jobs", "1"]
    printed = run("replay", tmp_path / "sim", *shared, "--models", "aesm2,mlp")
    table = read_evidence(tmp_path / "ev").tables["replay"]
    assert set(zip(table["reference"], table["variant"], strict=True)) == {
        (a, b) for a in ("aesm2", "aesm2+ids") for b in ("aesm2", "aesm2+ids", "mlp", "mlp+ids")
        if a != b
    }  # fmt: skip
    assert len(table) == 6 * 2 * 5 * 4  # pairs, seeds, all and four paths, metrics
    bought = table[table["metric"] == "ctcvr"]
    assert (bought["ceiling"] >= bought["uplift"] - 1e-9).all()
    gain = 100 * (bought["value"] / bought["baseline"] - 1)
    np.testing.assert_allclose(bought["uplift"], gain, atol=1e-9)
    assert ((bought["low"] <= bought["uplift"]) & (bought["uplift"] <= bought["high"])).mean() > 0.9
    mirrored = table.set_index(["reference", "variant", "seed", "scenario", "metric"])["value"]
    other = table.set_index(["variant", "reference", "seed", "scenario", "metric"])["baseline"]
    both = mirrored.index.intersection(other.index)
    assert len(both) == 2 * 2 * 5 * 4
    np.testing.assert_allclose(mirrored.loc[both], other.loc[both])
    shop = impact(table, "aesm2", "mlp")
    assert (shop["seeds"] == 2).all()
    of_all = shop[(shop["scenario"] == "all") & (shop["measure"] == "clicks")]
    own = mirrored.loc["aesm2", "mlp", :, "all", "ctr"] - table[
        (table["reference"] == "aesm2") & (table["variant"] == "mlp")
        & (table["scenario"] == "all") & (table["metric"] == "ctr")
    ].set_index("seed")["baseline"]  # fmt: skip
    assert of_all["extra"].item() == pytest.approx(1000 * 10 * own.mean())
    assert "aesm2+ids" in printed


def test_logged_data_are_not_replayed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`aesm2 simulate` writes one"):
        run("replay", small.dataset(), "--out", tmp_path / "ev", "--work", tmp_path / "work")
    assert not (tmp_path / "ev").exists()


def test_bad_input_ends_with_one_line(tmp_path: Path) -> None:
    process = small.command(
        "compare", small.dataset(), "--out", tmp_path / "ev", "--models", "aesm2,gbdt"
    )
    _, err = process.communicate()
    assert process.returncode == 2
    assert "--models: no model 'gbdt'" in err
    assert "Traceback" not in err
    assert not (tmp_path / "ev").exists()
