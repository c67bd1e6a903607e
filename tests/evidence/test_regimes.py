"""The regime map: its plan, a short run of it, its leads by hand, its figure."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from aesm2.cli import app
from aesm2.errors import InputError
from aesm2.evidence.regimes import MANIFEST, Point, leads, read_map, read_plan, tally
from aesm2.plots.regimes import regimes_figure, regimes_table, regimes_words
from aesm2.plots.style import stamp_of
from aesm2.simulation.world import World

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "configs" / "evidence" / "regimes.toml"
PLAN = """
out = "made"
[base]
scenarios = 2
rows = 500
experts = 2
[vary]
experts = [2, 3]
conflict = [0, 1]
[study]
models = ["aesm2", "mlp"]
only = ["aesm2", "mlp+ids"]
seeds = 2
[study.size]
scenario = { layers = 1, width = 4 }
task = { layers = 1, width = 4 }
"""


def lines() -> pd.DataFrame:
    """Two factors; at conflict 0 AESM² is 1 and 3 points above the better baseline."""
    aucs = {  # (factor, value, base): variant: AUC × 100 of two seeds
        ("conflict", 0.0, False): {"aesm2": (71, 75), "mmoe": (70, 72), "ple": (60, 80)},
        ("conflict", 1.0, True): {"aesm2": (70, 70), "mmoe": (69, 71), "ple": (60, 60)},
        ("experts", 8.0, True): {"aesm2": (70, 70), "mmoe": (69, 71), "ple": (60, 60)},
        ("experts", 2.0, False): {"aesm2": (60, 60.2), "mmoe": (62, 62.2), "ple": (1, 1)},
    }
    return pd.DataFrame(
        {"factor": factor, "value": value, "base": base, "variant": variant, "seed": seed,
         "scope": scope, "scenario": scope, "task": "ctr",
         "truth_auc": auc / 100 if scope == "all" else 0.5}
        for (factor, value, base), own in aucs.items()
        for variant, pair in own.items()
        for seed, auc in enumerate(pair)
        for scope in ("all", "weighted")
    )  # fmt: skip


def test_leads_by_hand() -> None:
    found = leads(lines()).set_index(["factor", "value"])
    first = found.loc[("conflict", 0.0)]
    assert (first["baseline"], first["seeds"]) == ("mmoe", 2)
    half = 12.7062047 * math.sqrt(2) / math.sqrt(2)  # t of 1 degree of freedom · S / √n
    assert first[["lead", "low", "high"]].tolist() == pytest.approx([2, 2 - half, 2 + half])
    assert found.loc[("experts", 2.0), ["lead", "low", "high"]].tolist() == pytest.approx([-2] * 3)
    assert found["base"].tolist() == [False, True, True, False]


def test_tally_by_hand() -> None:
    found = tally(lines()).set_index("baseline")
    assert found.index.tolist() == ["", "mmoe", "ple"]
    assert found["points"].tolist() == [3, 3, 3]  # the base point counts once
    assert found.loc["mmoe", ["ahead", "behind"]].tolist() == [0, 1]
    assert found.loc["mmoe", "lead"] == pytest.approx((2 + 0 - 2) / 3)
    assert found.loc["ple", ["ahead", "behind"]].tolist() == [2, 0]  # the base, and n = 2
    assert found.loc["ple", "lead"] == pytest.approx((3 + 10 + 59.1) / 3)


def test_leads_of_one_seed_have_no_interval() -> None:
    one = lines()
    found = leads(one[one["seed"] == 0])
    assert found[["low", "high"]].isna().all(axis=None)
    assert found["lead"].tolist() == pytest.approx([1, 1, 1, -2])


def test_figure_and_words_by_hand() -> None:
    found = leads(lines())
    figure = regimes_figure(found, "AUC × 100", "made up")
    conflict, experts = figure.data
    assert list(conflict.y) == pytest.approx([2, 0])
    assert list(experts.y) == pytest.approx([0, -2])
    assert list(figure.layout.xaxis2.ticktext) == ["<b>8</b>", "2"]
    assert conflict.error_y.array[0] == pytest.approx(12.7062047)
    assert "best baseline: MMoE" in conflict.hovertext[0]
    assert stamp_of(figure) == "made up"
    words = regimes_words(found)  # the base point counts once
    assert "ahead of its best baseline in 0 of 3 points and tasks, behind in 1" in words
    assert "largest at conflict between scenarios = 0 (+2.00 points, CTR)" in words
    assert regimes_table(found)["best baseline"].tolist() == ["MMoE"] * 4


def test_a_map_is_made_read_and_finished_runs_kept(tmp_path: Path) -> None:
    file = tmp_path / "regimes.toml"
    file.write_text(PLAN, encoding="utf-8")
    arguments = ["regimes", str(file), "--work", str(tmp_path / "work"), "--jobs", "1", "--quick"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "made").exists()  # a quick map is never written over a full one
    found = read_map(tmp_path / "work" / "quick")
    assert set(found.lines["variant"]) == {"aesm2", "mlp+ids"}
    assert set(found.lines["scope"]) == {"all", "weighted"}
    of_point = found.lines.groupby(["factor", "value", "variant", "scope"])["seed"].nunique()
    assert of_point.eq(2).all()
    assert len(of_point) == 4 * 2 * 2  # points, variants, scopes
    assert found.lines["truth_auc"].between(0, 1).all()
    cells = sorted((tmp_path / "work").glob("*/cells/*.json"))
    before = [cell.stat().st_mtime_ns for cell in cells]
    again = CliRunner().invoke(app, arguments)
    assert again.stdout == result.stdout
    assert [cell.stat().st_mtime_ns for cell in cells] == before


def test_worlds_are_what_the_point_says() -> None:
    point = Point(scenarios=3, imbalance=9, conflict=2)
    preset = point.preset()
    counts = [line.impressions for line in preset.traffic]
    assert np.allclose(np.array(counts) / counts[-1], [9, 3, 1], rtol=1e-5)
    assert preset.dials.conflict == 2
    assert all(line.clicks == line.impressions // 4 for line in preset.traffic)
    World.make(preset, 0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("conflict = [0, 1]", "weather = [1]", "no factor 'weather'"),
        ("experts = [2, 3]", "experts = [3]", "vary.experts: has not the base's own value"),
        ("conflict = [0, 1]", "conflict = [1, 1]", "expected two values"),
        ("conflict = [0, 1]", "conflict = [1, 9]", "less than or equal to 5"),
        ("experts = 2\n", "experts = 2\nselected = 3\n", "selected = 3 is more than"),
        ('only = ["aesm2", "mlp+ids"]', 'only = ["mlp", "mlp+ids"]', "study.only: expected aesm2"),
        ('only = ["aesm2", "mlp+ids"]', 'only = ["aesm2"]', "'aesm2' has no other variant"),
        ('only = ["aesm2", "mlp+ids"]', 'only = ["aesm2", "ple"]', "'ple' is no variant"),
    ],
)
def test_a_wrong_plan_says_what_is_wrong(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = tmp_path / "regimes.toml"
    file.write_text(PLAN.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_plan(file)


def test_the_models_of_a_point_follow_its_n_and_k() -> None:
    plan = read_plan(SHIPPED)
    study = plan.study_at(plan.at("selected", 2))
    models = study.variants(1)
    assert list(models) == ["aesm2", "mlp+ids", "mmoe", "ple"]
    values = models["aesm2"].model_dump()
    assert (values["scenario"]["experts"], values["scenario"]["specific"]) == (8, 2)
    assert models["mmoe"].model_dump()["scenario"]["experts"] == 4
    assert models["mlp+ids"].model_dump()["hidden"][0] == 4 * 32


def test_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps({"format": 0}), encoding="utf-8")
    with pytest.raises(InputError, match="compute it again"):
        read_map(tmp_path)
