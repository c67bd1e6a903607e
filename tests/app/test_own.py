"""Your data: a table is drafted, changed, saved and taken back; bad input loses nothing."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from aesm2.checkpoint import load
from aesm2.data.dataset import Dataset
from aesm2.data.description import read_description
from aesm2.data.draft import draft
from aesm2.errors import InputError
from app import cache, locations
from app.own import form as own_form
from app.own import page as own
from tests import small
from tests.data.funnels import FUNNELS

Start = Callable[..., AppTest]
PAGE = "views/own.py"


@pytest.fixture
def root(small_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a checkpoint, in which the app was started; nothing is in data/ yet."""
    shutil.copytree(small_root / "checkpoints", tmp_path / "repository" / "checkpoints")
    monkeypatch.delenv("AESM2_DATA", raising=False)
    monkeypatch.chdir(tmp_path / "repository")
    return tmp_path / "repository"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tables")
    return {name: make(folder) for name, make in FUNNELS.items()}


def uploading(at: AppTest, file: Path, name: str | None = None) -> AppTest:
    content = (name or file.name, file.read_bytes(), "text/csv")
    return at.file_uploader[0].set_value(content).run()


def naming(at: AppTest, path: str) -> AppTest:
    """Name a table by its path and press Open."""
    (text,) = [t for t in at.text_input if t.label == "Or name a table on this machine"]
    text.set_value(path)
    (button,) = [b for b in at.button if b.label == "Open the table"]
    return button.click().run()


def changing(at: AppTest, **roles: str) -> AppTest:
    """Change roles of columns in the table."""
    editor = at.dataframe[0]
    columns = editor.value["column"].tolist()
    rows = {columns.index(name): {"role": role} for name, role in roles.items()}
    key = editor.proto.id.split("-", 2)[2]
    at.session_state[key] = {"edited_rows": rows, "added_rows": [], "deleted_rows": []}
    return at.run()


def toml(at: AppTest) -> str:
    return next(code.value for code in at.code if code.language == "toml")


def said(element: Any) -> str:
    """What an element says, without the signs that keep Markdown out."""
    return str(element.value).replace("\\", "")


def clean(at: AppTest) -> AppTest:
    assert not at.exception
    assert [said(error) for error in at.error] == []
    return at


def press(at: AppTest, label: str) -> AppTest:
    (button,) = [b for b in at.button if b.label.startswith(label)]
    return button.click().run()


def typed(at: AppTest, label: str, text: str) -> AppTest:
    (field,) = [t for t in at.text_input if t.label == label]
    return field.set_value(text).run()


def test_without_a_table_the_page_says_what_is_needed(start: Start, root: Path) -> None:
    at = clean(start(PAGE, root=root))
    (info,) = [i.value for i in at.info if "one row an impression" in i.value]
    assert "yes or no" in info
    assert not [b for b in at.button if b.label.startswith("Try it")]  # the example is not here
    example = root / "data_samples" / "kuairand_pure"
    example.mkdir(parents=True)
    small.rows().to_parquet(example / "log.parquet")
    at = press(start(PAGE, root=root), "Try it")
    assert "What the columns of log.parquet are" in [h.value for h in clean(at).subheader]


def test_an_upload_becomes_a_draft(start: Start, root: Path, tables: dict[str, Path]) -> None:
    at = clean(uploading(start(PAGE, root=root), tables["shop"]))
    facts = {metric.label: metric.value for metric in at.metric}
    assert facts == {"Rows": "3,000", "Looked at": "all", "Columns": "11", "Features": "3",
                     "Scenarios": "4", "Tasks": "4"}  # fmt: skip
    assert [said(warning) for warning in at.warning] == [
        "Country LI has only 30 rows: what is learnt there is uncertain."
    ]
    frames = [frame.value for frame in at.dataframe]
    (rates,) = [frame for frame in frames if "purchase" in frame.columns]
    raw = pd.read_csv(tables["shop"], sep=";")
    for line in rates.to_dict("records"):
        rows = raw[raw["country"] == line["scenario"]]
        assert line["rows"] == len(rows)
        assert line["purchase"] == pytest.approx(100 * (rows["purchase"] == "ja").mean())
    assert 'positive = ["ja"]' in toml(at)
    assert 'table = "table.csv"' in toml(at)


def test_a_changed_role_changes_what_follows(
    start: Start, root: Path, tables: dict[str, Path]
) -> None:
    at = uploading(start(PAGE, root=root), tables["portal"])
    assert '[[level]]\nname = "tab"' not in toml(at)
    at = clean(changing(at, tab="level", viewed="ignored"))
    assert '[[level]]\nname = "tab"' in toml(at)
    assert {m.label: m.value for m in at.metric}["Tasks"] == "2"
    assert {m.label: m.value for m in at.metric}["Scenarios"] == "2 × 3 × 4"


def test_a_bad_change_is_named_and_nothing_is_lost(
    start: Start, root: Path, tables: dict[str, Path]
) -> None:
    at = uploading(start(PAGE, root=root), tables["portal"])
    at = typed(at, "Title", "My portal")
    at = changing(at, tab="level", product_price="label")
    (error,) = [said(error) for error in at.error]
    assert error.startswith("'product_price' cannot be a label: it has")
    assert error.endswith("Your changes are kept: correct this one and go on.")
    assert not [b for b in at.button if b.label == "Save the dataset"]
    at = clean(changing(at, tab="level"))
    assert 'title = "My portal"' in toml(at)
    assert '[[level]]\nname = "tab"' in toml(at)
    at = typed(at, "Name", "my portal")
    assert "use letters, digits" in said(at.error[0])
    assert 'name = "mine"' in toml(clean(typed(at, "Name", "mine")))


def test_edits_survive_a_visit_to_another_page(
    start: Start, root: Path, tables: dict[str, Path]
) -> None:
    at = changing(uploading(start(PAGE, root=root), tables["portal"]), tab="level")
    at = typed(at, "Licence", "CC0")
    edited = toml(at)
    at = at.switch_page("views/home.py").run()
    at = clean(at.switch_page(PAGE).run())
    assert toml(at) == edited
    editor = at.dataframe[0].value.set_index("column")
    assert editor.loc["tab", "role"] == "level"
    assert '[[level]]\nname = "tab"' not in toml(clean(changing(at, tab="feature")))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"a,b\n1,2\n", "no column could be a label"),
        (b"\x00\x01\x02", "not a table"),
        (b"PAR1xx", "a damaged parquet file"),
    ],
)
def test_a_bad_upload_is_refused_and_the_draft_stays(
    start: Start, root: Path, tables: dict[str, Path], tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "bad.csv").write_bytes(content)
    at = uploading(start(PAGE, root=root), tmp_path / "bad.csv")
    (error,) = at.error
    assert words in said(error)
    assert "What you had is kept" not in said(error)
    at = changing(uploading(at, tables["portal"]), tab="level")
    kept = toml(clean(at))
    at = uploading(at, tmp_path / "bad.csv")
    (error,) = at.error
    assert words in said(error)
    assert error.value.endswith("What you had is kept.")
    assert toml(at) == kept


def test_the_first_lines_of_the_apps_own_exports_are_skipped(
    start: Start, root: Path, tables: dict[str, Path], tmp_path: Path
) -> None:
    export = tmp_path / "export.csv"
    export.write_bytes(b"# public data: a letter\n" + tables["letter"].read_bytes())
    at = press(uploading(start(PAGE, root=root), export), "Save the dataset")
    clean(at)
    assert (root / "data/export/table.csv").read_bytes() == tables["letter"].read_bytes()


def test_a_dataset_is_saved_and_the_commands_train_on_it(
    start: Start, root: Path, tables: dict[str, Path]
) -> None:
    at = uploading(start(PAGE, root=root), tables["letter"])
    shown = toml(at)
    at = clean(press(at, "Save the dataset"))
    folder = root / "data" / "letter"
    assert (folder / "dataset.toml").read_text().strip() == shown
    assert (folder / "table.csv").read_bytes() == tables["letter"].read_bytes()
    splits = Dataset.open(folder).frame()["split"].value_counts()
    (success,) = [said(s) for s in at.success]
    assert success == "Saved as data/letter. Every row was read: " + ", ".join(
        f"{splits[name]:,} {name}" for name in ("train", "validation", "test")
    ) + "."  # fmt: skip
    (lines,) = [c.value for c in at.code if c.language == "bash"]
    assert lines.splitlines() == [
        "aesm2 train data/letter --run runs/letter",
        "aesm2 evaluate runs/letter/checkpoint data/letter",
    ]


def test_what_was_saved_can_be_undone(start: Start, root: Path, tables: dict[str, Path]) -> None:
    at = press(uploading(start(PAGE, root=root), tables["letter"]), "Save the dataset")
    assert (root / "data" / "letter").exists()
    at = clean(press(at, "Undo"))
    assert list((root / "data").iterdir()) == []
    assert not at.success
    assert toml(at)  # the draft is still there
    clean(press(at, "Save the dataset"))
    (root / "data" / "letter" / "notes.txt").write_text("mine")
    at = press(at, "Undo")
    assert "changed since it was saved" in said(at.error[0])
    assert (root / "data" / "letter" / "notes.txt").exists()


def test_another_dataset_is_replaced_only_when_that_is_asked_for(
    start: Start, root: Path, tables: dict[str, Path]
) -> None:
    other = root / "data" / "letter"
    other.mkdir(parents=True)
    (other / "dataset.toml").write_text("somebody's")
    at = uploading(start(PAGE, root=root), tables["letter"])
    (button,) = [b for b in at.button if b.label == "Save the dataset"]
    assert button.disabled
    (box,) = at.checkbox
    assert "There is a dataset “letter” already" in box.label
    at = press(box.check().run(), "Save the dataset")
    assert read_description(clean(at) and other).name == "letter"
    at = press(at, "Undo")
    assert (other / "dataset.toml").read_text() == "somebody's"


def test_rows_that_do_not_fit_are_not_saved(
    start: Start, root: Path, tables: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a part of the rows is looked at; another one has no label."""
    monkeypatch.setattr("aesm2.data.draft.sample.LOOKED", 100)
    file = root / "odd.csv"
    lines = tables["letter"].read_text().splitlines()
    lines[8] = "m1,5,topic 3,,N"
    file.write_text("\n".join(lines))
    at = press(uploading(start(PAGE, root=root), file), "Save the dataset")
    (error,) = at.error
    assert "row 7: label 'opened' is nan" in said(error)
    assert error.value.endswith("Nothing was changed.")
    assert not (root / "data" / "odd").exists()


# ---- a table that stays where it is -------------------------------------------------------------


@pytest.mark.parametrize("name", ["market", "portal"])
def test_a_table_by_its_path_stays_where_it_is(
    start: Start, root: Path, name: str, tmp_path: Path
) -> None:
    (root / "mine").mkdir()
    table = FUNNELS[name](root / "mine")
    at = clean(naming(start(PAGE, root=root), f"mine/{table.name}"))
    assert f'table = "../../mine/{table.name}"' in toml(at)
    at = clean(press(at, "Save the dataset"))
    saved = root / "data" / name
    assert [file.name for file in saved.iterdir()] == ["dataset.toml"]
    assert len(Dataset.open(saved).frame()) == 3000


@pytest.mark.parametrize(
    "what", ["../outside.csv", "{outside}", "link.csv", "folder", "/etc/passwd"]
)
def test_a_path_outside_the_roots_is_never_followed(
    start: Start, root: Path, tables: dict[str, Path], tmp_path: Path, what: str
) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_bytes(tables["letter"].read_bytes())
    (root / "link.csv").symlink_to(outside)
    (root / "folder").mkdir()
    (root / "folder" / "a.parquet").symlink_to(tables["portal"])
    at = naming(start(PAGE, root=root), what.format(outside=outside))
    (error,) = at.error
    assert "outside the folders that this app may read" in said(error)
    assert not at.metric


def test_whether_a_file_outside_exists_is_not_told(root: Path, tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("a\n1\n")
    words = []
    for name in ("there.csv", "gone.csv"):
        with pytest.raises(InputError) as caught:
            own.allowed(f"../{name}")
        words.append(str(caught.value).replace(name, "X"))
    assert words[0] == words[1]


def test_a_file_inside_that_is_not_there(root: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv: no such file"):
        own.allowed("nowhere.csv")


def test_folders_of_data_are_roots_too(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tables: dict[str, Path]
) -> None:
    with pytest.raises(InputError, match="outside"):
        own.allowed(str(tables["letter"]))
    monkeypatch.setenv("AESM2_DATA", f"{tables['letter'].parent}:{tmp_path / 'more'}")
    assert own.allowed("letter.csv") == tables["letter"].resolve()
    assert own.allowed(str(tables["letter"])) == tables["letter"].resolve()
    assert locations.data_home() == tables["letter"].parent


# ---- what the app finds -------------------------------------------------------------------------


def test_the_rows_of_a_saved_dataset_are_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "ROOT", root)
    checkpoint = load(root / "checkpoints" / "shop", "cpu")
    with pytest.raises(InputError, match=r"put its folder into data/"):
        cache.dataset_of(checkpoint)
    for name, text in (("broken", "name ="), (".shop.before", None), ("shop2", None)):
        folder = root / "data" / name
        shutil.copytree(small.dataset(), folder)
        if text:
            (folder / "dataset.toml").write_text(text)
    other = (root / "data" / "a_shop") / "dataset.toml"
    shutil.copytree(small.dataset(), other.parent)
    other.write_text(small.DESCRIPTION.replace("A small shop", "Another shop"))
    assert cache.dataset_of(checkpoint).folder == root / "data" / "shop2"  # its very description
    shutil.rmtree(root / "data" / "shop2")
    assert cache.dataset_of(checkpoint).folder == other.parent  # one of its name, not a hidden one


def test_the_columns_are_shown_as_they_are(tables: dict[str, Path]) -> None:
    made = draft(tables["portal"])
    table = own_form.column_table(made.columns)
    assert own_form.edited(made.columns, table) == made.columns
    table.loc[table["column"] == "order_value", ["role", "kind"]] = ["feature", "categorical"]
    (before,) = [c for c in made.columns if c.name == "order_value"]
    (after,) = [c for c in own_form.edited(made.columns, table) if c.name == "order_value"]
    assert (before.role, before.kind) == ("ignored", "numeric")
    assert (after.role, after.kind, after.reason) == ("feature", "categorical", "")


@pytest.mark.parametrize("text", ["~nobody-of-this-name/x.csv", "a" * 300, "a\0b"])
def test_what_no_file_can_be_called_is_no_file(root: Path, text: str) -> None:
    with pytest.raises(InputError, match="no such file"):
        own.allowed(text)
