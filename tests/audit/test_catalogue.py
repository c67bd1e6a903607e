"""The catalogue is whole, and everything that it names exists."""

import importlib
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from aesm2.audit import EQUATIONS, EXHIBITS, Equation, Exhibit
from aesm2.audit.beside import STUDIES, beside, laid_out
from aesm2.audit.catalogue import STATUSES
from aesm2.cli import app
from aesm2.errors import InputError
from aesm2.evidence.folder import read_evidence
from aesm2.evidence.paper import published
from tests.evidence import made

ROOT = Path(__file__).parents[2]
SECTIONS = ["3.2"] * 4 + ["3.3"] * 14 + ["3.4"] * 4  # of equations 1 to 22


def found(name: str) -> object:
    module, _, path = name.partition(":")
    thing: object = importlib.import_module(module)
    for part in path.split("."):
        thing = getattr(thing, part)
    return thing


def test_it_is_whole() -> None:
    assert [e.section for e in EQUATIONS] == SECTIONS
    assert [e.number for e in EQUATIONS] == list(range(1, 23))
    numbers = {kind: [e.number for e in EXHIBITS if e.kind == kind] for kind in ("table", "figure")}
    assert numbers == {"table": list(range(1, 10)), "figure": list(range(1, 8))}


@pytest.mark.parametrize("item", [*EQUATIONS, *EXHIBITS], ids=lambda item: item.name)
def test_what_it_names_exists(item: Equation | Exhibit) -> None:
    assert all(callable(found(name)) or isinstance(found(name), property) for name in item.code)
    assert item.code
    if isinstance(item, Equation):
        assert item.tests
        assert all((ROOT / file).is_file() for file in item.tests)
        assert item.latex.count("{") == item.latex.count("}")
        return
    assert item.status in STATUSES
    assert (ROOT / "app" / item.page[0]).is_file()


def test_a_wrong_name_is_noticed() -> None:
    with pytest.raises(AttributeError):
        found("aesm2.losses:no_such_loss")


@pytest.mark.parametrize("item", EXHIBITS, ids=lambda item: item.name)
def test_its_commands_are_ours(item: Exhibit) -> None:
    for command in item.commands:
        name, verb, *arguments = shlex.split(command)
        assert name == "aesm2"
        own = get_command(app).commands[verb]
        own.make_context(verb, [argument.replace("TABLE", ".") for argument in arguments])
        shipped = [
            a for a in arguments if a.startswith(("configs/", "checkpoints/", "data_samples/"))
        ]
        made_by_it = arguments[arguments.index("--out") + 1] if "--out" in arguments else None
        assert all((ROOT / path).exists() for path in shipped if path != made_by_it)


def test_the_pages_are_those_of_the_menu() -> None:
    menu = (ROOT / "app" / "main.py").read_text(encoding="utf-8")
    for item in EXHIBITS:
        file, title = item.page
        assert f'st.Page("{file}", title="{title}"' in menu


# ---- the paper's figures beside ours -----------------------------------------------------------


@pytest.mark.parametrize("table", STUDIES)
def test_every_figure_of_a_table_has_its_cell(table: int) -> None:
    evidence = read_evidence(ROOT / "checkpoints" / "evidence" / STUDIES[table])
    lines = beside(table, evidence)
    assert len(lines) == len(published(table))
    assert (lines["paper"] == published(table)["value"]).all()
    assert lines["here"].notna().all()
    wide = laid_out(lines, "here")
    assert len(wide) == 2 * len(lines.groupby(["model", "train"]))
    assert list(wide["source"][:2]) == ["the paper", "here"]


def test_the_means_are_those_of_the_study(tmp_path: Path) -> None:
    made.write(tmp_path / "hand", {"runs": made.runs(), "transfer": made.transfer()})
    evidence = read_evidence(tmp_path / "hand")
    assert (
        beside(3, evidence)["here"].notna().sum() >= 2
    )  # of "all", the scenarios have other names
    own = evidence.tables["runs"].query("variant == 'aesm2' and scope == 'all' and task == 'ctr'")
    line = beside(3, evidence).query("model == 'AESM²' and scenario == 'all' and task == 'ctr'")
    assert line["here"].item() == pytest.approx(100 * own["auc"].mean())
    assert line["paper"].item() == 90.86


def test_without_a_study_only_the_paper() -> None:
    lines = beside(8, None)
    assert lines["here"].isna().all()
    wide = laid_out(lines, "here")
    assert wide.loc[0].tolist() == ["AESM²", "the paper", "0.10", "2.61", "2.51", "7.21"]
    assert wide.loc[1].tolist()[2:] == ["–"] * 4
    with pytest.raises(InputError, match="no figures of table 2"):
        beside(2, None)
