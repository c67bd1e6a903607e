"""Datasets that are saved whole or not at all, and taken back."""

from pathlib import Path

import pandas as pd
import pytest

from aesm2.data.dataset import Dataset
from aesm2.data.draft import draft, to_toml
from aesm2.data.store import check, relative, save, undo
from aesm2.errors import InputError
from tests.data.funnels import FUNNELS


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    table = FUNNELS["letter"](tmp_path_factory.mktemp("letter"))
    return {"dataset.toml": to_toml(draft(table)).encode(), "letter.csv": table.read_bytes()}


def content(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_a_dataset_is_saved_and_opens(tmp_path: Path, files: dict[str, bytes]) -> None:
    saved = save(tmp_path / "data" / "letter", files)
    assert content(tmp_path) == {f"data/letter/{name}": own for name, own in files.items()}
    frame = Dataset.open(saved.folder).frame()
    assert saved.rows == frame["split"].value_counts().to_dict()
    assert sum(saved.rows.values()) == 1500
    assert saved.before is None


def test_undo_leaves_nothing(tmp_path: Path, files: dict[str, bytes]) -> None:
    saved = save(tmp_path / "letter", files)
    undo(saved)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="is not there any more"):
        undo(saved)


def test_another_dataset_gives_way_only_when_asked_and_comes_back(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    (tmp_path / "letter").mkdir()
    (tmp_path / "letter" / "dataset.toml").write_text("somebody's")
    before = content(tmp_path)
    with pytest.raises(InputError, match="there is a dataset of this name already"):
        save(tmp_path / "letter", files)
    assert content(tmp_path) == before
    saved = save(tmp_path / "letter", files, replace=True)
    assert content(tmp_path / "letter") == files
    undo(saved)
    assert content(tmp_path) == before


def test_saving_again_keeps_what_the_first_save_replaced(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    (tmp_path / "letter").mkdir()
    (tmp_path / "letter" / "dataset.toml").write_text("somebody's")
    before = content(tmp_path)
    first = save(tmp_path / "letter", files, replace=True)
    changed = files | {"dataset.toml": files["dataset.toml"].replace(b'"unknown"', b'"CC0"')}
    second = save(tmp_path / "letter", changed, again=first)
    assert content(tmp_path / "letter") == changed
    undo(second)
    assert content(tmp_path) == before


def test_what_somebody_changed_since_is_not_deleted(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    saved = save(tmp_path / "letter", files)
    with (saved.folder / "dataset.toml").open("a") as file:
        file.write("# my remark\n")
    mine = content(tmp_path)
    for act in (lambda: undo(saved), lambda: save(saved.folder, files, again=saved)):
        with pytest.raises(InputError, match="changed since it was saved"):
            act()
    assert content(tmp_path) == mine
    (saved.folder / "dataset.toml").write_bytes(files["dataset.toml"])
    (saved.folder / "notes.txt").write_text("more")
    with pytest.raises(InputError, match="changed since it was saved"):
        undo(saved)
    (saved.folder / "notes.txt").unlink()
    (saved.folder / "more").mkdir()
    with pytest.raises(InputError, match="changed since it was saved"):
        undo(saved)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"N\n", b"maybe\n", ""),  # a label that is none of these is a no
        (b",Y,", b",,", "set may_be_missing"),
        (b"opened", b"open", "lacks the column 'opened'"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_not_saved(
    tmp_path: Path, files: dict[str, bytes], old: bytes, new: bytes, words: str
) -> None:
    spoilt = files | {"letter.csv": files["letter.csv"].replace(old, new, 1)}
    if not words:
        assert save(tmp_path / "letter", spoilt).rows
        return
    with pytest.raises(InputError, match=words):
        save(tmp_path / "letter", spoilt)
    assert list(tmp_path.iterdir()) == []
    assert save(tmp_path / "letter", spoilt, read=False).rows == {}


def test_a_split_without_rows_is_found(tmp_path: Path) -> None:
    table = FUNNELS["portal"](tmp_path)
    text = to_toml(draft(table)).replace('test = { first = "2026-03-14" }',
                                         'test = { first = "2030-01-01" }')  # fmt: skip
    assert "2030" in text
    (tmp_path / "dataset.toml").write_text(text)
    with pytest.raises(InputError, match="the test split has no rows"):
        check(Dataset.open(tmp_path))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/letter: cannot be written: Not a directory"):
        save(tmp_path / "file" / "letter", files)


def test_a_table_that_stays_where_it_is(tmp_path: Path) -> None:
    table = FUNNELS["letter"](tmp_path)
    folder = tmp_path / "data" / "letter"
    assert relative(table, folder) == "../../letter.csv"
    text = to_toml(draft(table)).replace('"letter.csv"', f'"{relative(table, folder)}"')
    assert sum(save(folder, {"dataset.toml": text.encode()}).rows.values()) == len(
        pd.read_csv(table)
    )
