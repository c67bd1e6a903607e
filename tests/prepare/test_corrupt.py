"""Damaged files: each is refused by file and line, and nothing is left that looks whole."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from aesm2.prepare import csvfile
from aesm2.prepare.aliexpress import prepare
from tests.prepare import files

Change = Callable[[list[list[str]]], object]


def refused(folder: Path) -> str:
    """The error of preparing the folder; checks that nothing looks whole after it."""
    out = folder.parent / "out"
    with pytest.raises(InputError) as caught:
        prepare(folder, out, progress=False)
    assert "\n" not in str(caught.value)
    assert [path.name for path in out.iterdir()] == [".unfinished"]
    with pytest.raises(InputError):
        Dataset.open(out)
    return str(caught.value)


def damage(path: Path, change: Change) -> None:
    """Change the cells of a CSV file."""
    lines = [line.split(",") for line in path.read_text().splitlines()]
    change(lines)
    text = "".join(f"{','.join(cells)}\n" for cells in lines)
    path.write_bytes(text.encode("latin-1"))


def cell(line: int, column: int, text: str) -> Change:
    """Put `text` into a cell; both are counted from 1."""

    def change(lines: list[list[str]]) -> None:
        lines[line - 1][column - 1] = text

    return change


def emptied(*columns: int) -> Change:
    def change(lines: list[list[str]]) -> None:
        for cells in lines:
            for column in columns:
                cells[column - 1] = ""

    return change


RAW = {
    "ragged": ("item", lambda lines: lines[8].pop(), "line 9: expected 49 columns, found 48"),
    "too wide": ("user", lambda lines: lines[8].append("0"),
                 "line 9: expected 33 columns, found 34"),
    "other table": ("user", lambda lines: [line.extend("0" * 16) for line in lines],
                    "line 1: expected 33 columns, found 49"),
    "text": ("item", cell(20, 3, "much"), "line 20: item_3 is 'much', expected a number"),
    "text in a category": ("user", cell(20, 2, "NA"),
                           "line 20: user_2 is 'NA', expected a whole number"),
    "fraction in a category": ("user", cell(20, 32, "4.5"),
                               "line 20: user_32 is '4.5', expected a whole number"),
    "huge category": ("user", cell(20, 32, "3000000000"),
                      "line 20: user_32 is '3000000000', expected a whole number"),
    "blank cell": ("item", cell(20, 3, " "), "line 20: item_3 is ' ', expected a number"),
    "no label": ("item", cell(30, 49, ""),
                 "line 30: item_49 is '', expected 0 (shown), 1 (clicked) or 2 (bought)"),
    "unknown label": ("item", cell(30, 49, "3"),
                      "line 30: item_49 is '3', expected 0 (shown), 1 (clicked) or 2 (bought)"),
    "negative label": ("item", cell(30, 49, "-1"),
                       "line 30: item_49 is '-1', expected 0 (shown), 1 (clicked) or 2 (bought)"),
    "large label": ("item", cell(30, 49, "300"),
                    "line 30: item_49 is '300', expected 0 (shown), 1 (clicked) or 2 (bought)"),
    "no search id": ("user", cell(4, 1, ""),
                     "line 4: user_1 is '', expected a search id, a whole number from 0"),
    "negative search id": ("item", cell(4, 1, "-3"),
                           "line 4: item_1 is '-3', expected a search id, a whole number from 0"),
    "huge search id": (
        "item", cell(4, 1, "922337203685477580"),
        "line 4: item_1 is '922337203685477580', expected a search id, a whole number from 0",
    ),
    "header": ("user", lambda lines: lines.insert(0, files.USER),
               "line 1: expected numbers, found a header or text:"
               " 'user_1,user_2,user_3,user_4,user_5,user…'"),
    "not UTF-8": ("item", cell(7, 5, "\xff1"), "line 7: item_5 is '\ufffd1', expected a number"),
    "line feed in a line": ("item", cell(7, 5, "1\r2"),
                            "line 7: item_5 is '1\\r2', expected a number"),
    "quotes": ("item", cell(7, 5, '"1"'), "line 7: item_5 is '\"1\"', expected a number"),
    "empty": ("item", lambda lines: lines.clear(), "no rows"),
    "empty lines only": ("item", lambda lines: lines.__setitem__(slice(None), [[""], [""]]),
                         "no rows"),
    "after an empty line": ("item", lambda lines: (lines.insert(2, [""]), lines[8].pop()),
                            "line 9: expected 49 columns, found 48"),
}  # fmt: skip


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize("block", [1500, 4 << 20])
def test_damaged_raw_files(
    name: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csvfile, "BLOCK", block)
    table, change, message = RAW[name]
    folder = files.write_raw(tmp_path / "NL", "NL", zipped=False)
    path = folder / f"nl_{table}_test.csv"
    damage(path, change)
    assert refused(folder) == f"{path}: {message}"


CLICK, CONVERSION = 81, 82
PROCESSED = {
    "conversion without click": (
        lambda lines: (cell(7, CLICK, "0")(lines), cell(7, CONVERSION, "1")(lines)),
        "line 7: conversion is 1, but click is 0",
    ),
    "unknown label": (cell(7, CLICK, "2"), "line 7: click is '2', expected 0 or 1"),
    "no label": (cell(7, CONVERSION, ""), "line 7: conversion is '', expected 0 or 1"),
    "text": (cell(7, 20, "x" * 50), f"line 7: numerical_3 is '{'x' * 39}…', expected a number"),
    "ragged": (lambda lines: lines[6].pop(), "line 7: expected 82 columns, found 81"),
    "no header": (lambda lines: (lines.pop(0), lines.__setitem__(0, ["3", "8", "0.5"])),
                  "line 1: the header lacks categorical_1, categorical_2, categorical_3 and 78"
                  " more; found '3,8,0.5'"),
    "column missing": (cell(1, CLICK, "clicked"), None),
    "column twice": (cell(1, 4, "click"), None),
    "header only": (lambda lines: lines.__delitem__(slice(1, None)), "no rows"),
    "empty": (lambda lines: lines.clear(), None),
}  # fmt: skip


@pytest.mark.parametrize("name", PROCESSED)
def test_damaged_processed_files(name: str, tmp_path: Path) -> None:
    change, message = PROCESSED[name]
    folder = files.write_processed(tmp_path / "NL", "NL")
    path = folder / "test.csv"
    damage(path, change)
    found = refused(folder)
    assert found.startswith(f"{path}: ")
    if message is not None:
        assert found == f"{path}: {message}"


def test_headers_that_do_not_fit(tmp_path: Path) -> None:
    folder = files.write_processed(tmp_path / "NL", "NL")
    whole = (folder / "test.csv").read_text()
    for change, message in (
        (lambda text: text.replace("click", "clicked", 1), "the header lacks click; found"),
        (lambda text: text.replace("numerical_9,", "click,", 1), "the header lacks numerical_9;"),
        (lambda text: text.replace("search_id", "click", 1), "the header names 'click' twice"),
        (lambda text: "", "the header lacks categorical_1, categorical_2, categorical_3 and 78"),
    ):
        (folder / "test.csv").write_text(change(whole))
        assert refused(folder).startswith(f"{folder / 'test.csv'}: line 1: {message}")


# Archives


def zipped(tmp_path: Path) -> Path:
    return files.write_raw(tmp_path / "NL", "NL") / "nl_item_test.zip"


NOT_WHOLE = "not a whole zip archive ("


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"",
        lambda content: b"1,2,3\n" * 100,
        lambda content: content[: len(content) // 2],
        lambda content: content[:2000] + bytes(8) + content[2008:],
        lambda content: content[:2000] + content[2008:],
    ],
    ids=["empty", "no archive", "cut off", "overwritten", "bytes lost"],
)
def test_damaged_archives(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = zipped(tmp_path)
    path.write_bytes(change(path.read_bytes()))
    message = refused(path.parent)
    assert message.startswith(f"{path}: {NOT_WHOLE}")
    assert message.endswith("); download it again")


def test_an_archive_whose_checksum_is_wrong(tmp_path: Path) -> None:
    path = zipped(tmp_path)
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 16] ^= 1
    path.write_bytes(content)
    assert NOT_WHOLE in refused(path.parent)


def test_an_archive_that_ends_too_early(tmp_path: Path) -> None:
    path = zipped(tmp_path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.csv", files.raw("NL", "test")[1].to_csv(header=False, index=False))
    content = bytearray(path.read_bytes())
    for sizes in (content.rindex(b"PK\x01\x02") + 20, content.index(b"PK\x03\x04") + 18):
        content[sizes : sizes + 8] = 2 * (10**6).to_bytes(4, "little")
    path.write_bytes(content)
    assert NOT_WHOLE in refused(path.parent)


@pytest.mark.parametrize("members", [[], ["a.csv", "b.csv"]])
def test_archives_of_other_than_one_file(tmp_path: Path, members: list[str]) -> None:
    path = zipped(tmp_path)
    files.write_zip(path, dict.fromkeys(["folder/", *members], ""))
    wanted = f"{path}: expected one CSV file in it, found {len(members)}"
    assert refused(path.parent) == wanted


@pytest.mark.parametrize(("offset", "value", "message"), [
    (8, 1, "is encrypted"),
    (10, 97, "unpack it and leave the .csv in its place"),
], ids=["encrypted", "compression"])  # fmt: skip
def test_archives_that_python_cannot_read(
    tmp_path: Path, offset: int, value: int, message: str
) -> None:
    path = zipped(tmp_path)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + offset] = value
    content[content.index(b"PK\x03\x04") + offset - 2] = value
    path.write_bytes(content)
    found = refused(path.parent)
    assert found.startswith(f"{path}: ")
    assert message in found


# Relations between rows


@pytest.mark.parametrize("zip_it", [False, True])
def test_a_page_that_is_there_twice(tmp_path: Path, zip_it: bool) -> None:
    folder = files.write_raw(tmp_path / "NL", "NL", zipped=False)
    path = folder / "nl_user_test.csv"
    pages = [line.split(",")[0] for line in path.read_text().splitlines()]
    damage(path, lambda lines: (lines.insert(11, lines[4]), lines.insert(0, [""])))
    if zip_it:
        zipped_path = path.with_suffix(".zip")
        files.write_zip(zipped_path, {path.name: path.read_bytes()})
        path.unlink()
        path = zipped_path
    assert refused(folder) == (
        f"{path}: line 13: search id {pages[4]} was there in line 6;"
        " the user table has one line a result page"
    )


def test_an_empty_cell_of_a_feature_is_a_missing_value(tmp_path: Path) -> None:
    folder = files.write_raw(tmp_path / "NL", "NL", zipped=False)
    damage(folder / "nl_user_test.csv", emptied(2, 9))
    damage(folder / "nl_item_test.csv", emptied(2, 19))
    frame = Dataset.open(prepare(folder, tmp_path / "out", progress=False)).frame()
    empty = ["categorical_1", "numerical_1", "numerical_24", "categorical_10"]
    for part, rows in frame.groupby("part"):
        counts = rows[empty].isna().mean().tolist()
        assert counts == [1, 1, 1, 1] if part != "train" else max(counts) < 0.1


def test_a_replaced_file_is_gone_on_with(tmp_path: Path) -> None:
    folder = files.write_raw(tmp_path / "NL", "NL", zipped=False)
    path = folder / "nl_item_test.csv"
    whole = path.read_text()
    damage(path, cell(3, 49, "7"))
    assert "line 3: item_49 is '7'" in refused(folder)
    path.write_text(whole)
    files_log = files.log(prepare(folder, tmp_path / "out", progress=False))
    assert len(files_log) == len(files.expected(["NL"]))
