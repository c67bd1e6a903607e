"""Five funnels of strangers, each from its file to explained routing in three commands."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import aesm2
from aesm2 import cli
from aesm2.data.description import Description, read_description
from tests import small
from tests.data.funnels import FUNNELS
from tests.training.test_run import toml

Command = Callable[..., str]
LEVELS = {
    "shop": {"country": ("AT", "CH", "DE", "LI")},
    "feed": {"region": ("Asia", "Europe"), "country": ("fr", "in", "it", "jp", "kr")},
    "letter": {"scenario": ("everywhere",)},
    "portal": {"country": ("fr", "it"), "page": ("home", "offers", "search")},
    "market": {"site": ("app", "partner", "web")},
}
TASKS = {  # task → what it follows
    "shop": {"impression": None, "clicked": "impression", "in_cart": "clicked",
             "purchase": "in_cart"},
    "feed": {"is_like": None, "is_share": None},
    "letter": {"opened": None, "click": "opened"},
    "portal": {"viewed": None, "click": None, "order": "click"},
    "market": {"is_click": None, "sale": "is_click", "lead": "is_click"},
}  # fmt: skip
FEATURES = {
    "shop": {"user_id": "categorical", "price": "numeric", "age": "numeric"},
    "feed": {"userId": "categorical", "videoId": "categorical", "videoSeconds": "numeric",
             "hour": "numeric"},
    "letter": {"member": "categorical", "subject_length": "numeric", "topic": "categorical"},
    "portal": {"customer": "categorical", "product_price": "numeric", "channel": "categorical",
               "position": "categorical", "tab": "categorical"},
    "market": {"query": "categorical", "seller": "categorical", "match": "numeric"},
}  # fmt: skip
MORE: dict[str, dict[str, Any]] = {  # what else must be found
    "shop": {"source.dates": {"Date": "%d.%m.%Y"}, "task.3.positive": ("ja",),
             "source.missing": {"?", "-", "unknown", -999}, "task.3.value": "price"},
    "feed": {"source.dates": {"day": "%b %d, %Y"}, "source.missing": {-999}},
    "letter": {"split.random.key": "member", "task.0.positive": ("Y", "y", "yes"),
               "level.0.column": None},
    "portal": {"split.column": "created_at", "never_features": ("order_value",),
               "task.2.value": "order_value"},
    "market": {"split.column": "ts", "source.missing": {"\\N"}, "task.1.only": {"site": ("app",)},
               "task.2.only": {"site": ("partner", "web")}, "never_features": ("gmv",),
               "task.1.value": "gmv"},
}  # fmt: skip


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run the command line in this process; it must succeed. Returns what it prints."""

    def run(line: str) -> str:
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        assert not ended.value.code, err
        return out

    return run


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    configured = small.config(epochs=3, batch_size=128, evaluate_every=None)
    (tmp_path / "small.toml").write_text(toml(configured), encoding="utf-8")
    return tmp_path


def at(described: Description, path: str) -> Any:
    found: Any = described
    for part in path.split("."):
        found = found[int(part)] if part.isdigit() else getattr(found, part)
    return set(found) if path == "source.missing" else found


@pytest.mark.parametrize("name", FUNNELS)
def test_from_a_file_to_explained_routing(name: str, here: Path, command: Command) -> None:
    table = FUNNELS[name](here).name
    (here / "dataset.toml").write_text(command(f"aesm2 describe {table}"), encoding="utf-8")
    described = read_description(here)
    assert {level.name: level.scenarios for level in described.level} == LEVELS[name]
    assert {task.name: task.follows for task in described.task} == TASKS[name]
    assert {n: feature.kind for n, feature in described.fields.items()} == FEATURES[name]
    assert {path: at(described, path) for path in MORE[name]} == MORE[name]

    command("aesm2 train . --config small.toml --run run --device cpu")
    printed = command("aesm2 evaluate run/checkpoint .")
    assert printed.count("\nall,all,") == len(TASKS[name])
    command("aesm2 trace run/checkpoint . --out trace.parquet")
    checks_routing(aesm2.load("run/checkpoint", "cpu"), pd.read_parquet("trace.parquet"))


def checks_routing(checkpoint: aesm2.Checkpoint, trace: pd.DataFrame) -> None:
    """Every row has K specific and K shared experts in each layer, and weights that sum to 1."""
    layers = {layer.name: layer for layer in checkpoint.layers}
    assert set(trace["layer"]) == set(layers)
    by_choice = trace.groupby(["row", "layer", "target"])
    for column, k in (("specific", "specific"), ("shared", "shared")):
        counted = by_choice[column].sum().reset_index()
        wanted = counted["layer"].map({name: getattr(layer, k) for name, layer in layers.items()})
        assert (counted[column] == wanted).all()
    assert by_choice["mixing_weight"].sum().sub(1).abs().max() < 1e-5
    assert trace[["kl_specific", "kl_shared"]].ge(0).all(axis=None)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell")
@pytest.mark.long
def test_in_a_shell_with_a_redirection(here: Path) -> None:
    FUNNELS["letter"](here)
    aesm2_ = f"{shlex.quote(sys.executable)} -W error -m aesm2.cli"
    describe = f"{aesm2_} describe letter.csv > dataset.toml"
    train = f"{aesm2_} train . --run run --config small.toml"
    done = subprocess.run(
        ["bash", "-ec", f"{describe}\n{train}"], capture_output=True, text=True, cwd=here
    )
    assert done.returncode == 0, done.stderr
    assert "test opened: AUC" in done.stdout


def test_four_levels_where_the_comments_are_taken_away(here: Path, command: Command) -> None:
    """The candidates stand in the draft: an editor does the rest."""
    FUNNELS["portal"](here)
    text = command("aesm2 describe portal.parquet")
    for name in ("channel", "tab"):
        start = text.index(f'# [[level]]\n# name = "{name}"')
        end = text.index("\n\n", start)
        text = text[:start] + text[start:end].replace("# ", "") + text[end:]
    (here / "dataset.toml").write_text(text, encoding="utf-8")
    assert {level.name for level in read_description(here).level} == {
        "country", "page", "channel", "tab",
    }  # fmt: skip
    command("aesm2 train . --config small.toml --run run --device cpu")
    command("aesm2 trace run/checkpoint . --out trace.parquet")
    checks_routing(aesm2.load("run/checkpoint", "cpu"), pd.read_parquet("trace.parquet"))


def test_where_a_task_does_not_exist_nothing_is_predicted_or_measured(
    here: Path, command: Command
) -> None:
    FUNNELS["market"](here)
    command("aesm2 describe market --out .")
    command("aesm2 train . --config small.toml --run run --device cpu")
    opened = aesm2.load("run/checkpoint", "cpu")
    rows = aesm2.Dataset.open(here).split("test")
    predicted = opened.predict(rows)
    assert predicted["sale"].notna().eq(rows["site"] == "app").all()
    assert predicted["lead"].notna().eq(rows["site"] != "app").all()
    measured = opened.evaluation.query("split == 'test' and scope == 'site'")
    counts = measured.set_index(["scenario", "task"])["n"]
    assert counts["app", "lead"] == counts["web", "sale"] == 0
    assert counts["app", "sale"] == (rows["site"] == "app").sum()
