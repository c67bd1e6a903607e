"""From files of the published shapes to a dataset: the same rows, however they are read."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import aesm2
from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from aesm2.prepare import csvfile, rows
from aesm2.prepare import log as log_module
from aesm2.prepare.aliexpress import prepare
from aesm2.prepare.csvfile import CsvFile
from tests import small
from tests.prepare import files

SMALL = (
    (csvfile, "BLOCK", 1500),
    (rows, "BUCKET_BYTES", 1500),
    (rows, "CHUNK", 7),
    (log_module, "GROUP", 5),
    (log_module, "GROUPS", 3),
)  # about three lines, eight buckets, and fifteen rows a file


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw NL and FR; for reading only."""
    folder = tmp_path_factory.mktemp("raw")
    files.write_raw(folder / "NL", "NL")
    files.write_raw(folder / "aliexpress_FR_datasets", "FR")
    return folder


@pytest.fixture(scope="module")
def prepared(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of `source`; for reading only."""
    return prepare(source, tmp_path_factory.mktemp("out") / "made", progress=False)


@pytest.fixture
def in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in SMALL:
        monkeypatch.setattr(module, name, value)


def same(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, wanted, check_dtype=True)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder that is not hidden, by name."""
    paths = [path for path in (folder, folder / "log") for path in path.glob("[!.]*")]
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def test_raw_files_become_their_merged_rows(prepared: Path) -> None:
    same(files.log(prepared), files.expected(["NL", "FR"]))
    frame = Dataset.open(prepared).frame()
    assert (frame["split"] == frame["part"]).all()
    assert [path.name for path in prepared.iterdir() if path.name.startswith(".")] == []


def test_processed_files_become_the_same_rows(tmp_path: Path) -> None:
    for country in ("NL", "FR"):
        files.write_processed(tmp_path / "in" / country, country)
    same(files.log(prepare(tmp_path / "in", tmp_path / "out")), files.expected(["NL", "FR"]))


def test_unpacked_raw_files_become_the_same_rows(tmp_path: Path) -> None:
    files.write_raw(tmp_path / "in", "NL", zipped=False)
    same(files.log(prepare(tmp_path / "in", tmp_path / "out")), files.expected(["NL"]))


@pytest.mark.parametrize("first", ["", "x,"])
def test_the_processed_form_in_another_order_with_more_columns(tmp_path: Path, first: str) -> None:
    columns = list(np.random.default_rng(0).permutation(list(files.processed("ES", "train"))))
    folder = files.write_processed(tmp_path / "ES", "ES", columns)
    for path in folder.iterdir():
        lines = [f"{first}{line}," for line in path.read_text().splitlines()]
        lines[0] = lines[0].replace("x,", ",")  # as pandas names an index
        path.write_text("\ufeff" + "\r\n\r\n".join(lines) + "\r\n", encoding="utf-8")
    same(files.log(prepare(folder, tmp_path / "out")), files.expected(["ES"]))


@pytest.mark.parametrize("form", [files.write_raw, files.write_processed])
def test_small_pieces_give_the_same_rows(
    form: Callable[[Path, str], Path], tmp_path: Path, in_small_pieces: None
) -> None:
    form(tmp_path / "NL", "NL")
    out = prepare(tmp_path, tmp_path / "out", fraction=0.7, progress=False)
    same(files.log(out), files.expected(["NL"], 0.7))
    made = {path.name: pq.read_metadata(path) for path in sorted((out / "log").iterdir())}
    for split in ("train", "test"):
        *whole, last = [file for name, file in made.items() if split in name]
        assert {file.num_row_groups for file in whole} == {3}
        assert 0 < last.num_row_groups <= 3
        assert max(file.num_rows for file in whole) < 40
        numbers = range(len(whole) + 1)
        assert [f"NL-{split}-{n:05d}.parquet" for n in numbers] == [n for n in made if split in n]


def test_items_keep_their_order_in_a_bucket(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "BUCKET_BYTES", 1500)
    out = prepare(source / "NL", tmp_path / "out", progress=False)
    frame = pq.read_table(out / "log" / "NL-train-00000.parquet").to_pandas()
    users, items = files.raw("NL", "train")
    place = {value: row for row, value in enumerate(items["item_3"].astype(np.float32))}
    order = np.array([place[value] for value in frame["numerical_25"]])
    size = (tmp_path / "x").write_text(users.to_csv(header=False, index=False))
    assert (np.diff(order) < 0).sum() == size // 1500


def test_temporary_files_go_as_they_are_joined(
    source: Path, tmp_path: Path, in_small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    join, there = rows._join, []

    def counting(*arguments: Any) -> Any:
        there.append(len(list((tmp_path / "out" / ".unfinished" / "buckets").iterdir())))
        return join(*arguments)

    monkeypatch.setattr(rows, "_join", counting)
    prepare(source / "NL", tmp_path / "out", progress=False)
    each = len(there) // 2  # of the two splits
    assert each > 4
    assert there == 2 * list(range(2 * each, 0, -2))


def test_the_number_of_open_files_is_limited(
    source: Path, tmp_path: Path, in_small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MOST_BUCKETS", 2)
    made = set()
    monkeypatch.setattr(
        rows, "_bucket_file", lambda folder, key, b: made.add(b) or folder / f"{key}-{b}"
    )
    same(files.log(prepare(source, tmp_path / "out")), files.expected(["NL", "FR"]))
    assert made == {0, 1}


def test_types_on_disk(prepared: Path) -> None:
    schema = pq.read_schema(prepared / "log" / "NL-train-00000.parquet")
    kinds = {name: str(kind) for name, kind in zip(schema.names, schema.types, strict=True)}
    assert kinds == {
        "country": "string",
        "part": "string",
        "search_id": "int64",
        **dict.fromkeys(files.CATEGORICAL_NAMES, "int32"),
        **dict.fromkeys(files.NUMERICAL_NAMES, "float"),
        "click": "int8",
        "conversion": "int8",
    }


def test_search_ids_belong_to_one_page_of_one_file(prepared: Path) -> None:
    frame = files.log(prepared)
    split = frame["part"].replace({"validation": "test"})
    assert len(frame["search_id"].unique()) == len(
        frame.assign(split=split).groupby(["country", "split", "search_id"])
    )
    originals = {
        (country, split): set(files.processed(country, split)["search_id"])
        for country in ("NL", "FR")
        for split in ("train", "test")
    }
    assert set.intersection(*originals.values())  # they do restart in every file
    for (country, original), ids in frame.groupby(["country", split])["search_id"]:
        assert set(ids // 10) == originals[country, original]


def test_the_description(prepared: Path) -> None:
    described = Dataset.open(prepared).description
    assert (described.name, described.provenance) == ("aliexpress", "public")
    (level,) = described.level
    assert (level.name, level.scenarios) == ("country", ("NL", "FR"))
    assert [(t.name, t.label, t.follows, t.conditional) for t in described.task] == [
        ("ctr", "click", None, None),
        ("ctcvr", "conversion", "ctr", "cvr"),
    ]
    names = {group: set(features) for group, features in described.features.items()}
    raw = dict(zip(files.FEATURES, files.CATEGORICAL + files.NUMERICAL, strict=True))
    assert names == {
        group: {name for name, column in raw.items() if column.startswith(group)}
        for group in ("user", "item")
    }
    for name, feature in described.fields.items():
        assert feature.kind == ("categorical" if name in files.CATEGORICAL_NAMES else "numeric")
    assert "74690" in described.licence
    assert "10.1145/3340531.3412713" in described.citation
    assert described.notes == (
        "Validation is half of the original test split, drawn by result page.",
        *(f"{piece}: 4 items of no result page left out" for piece in PIECES),
    )


PIECES = ("NL-train", "NL-test", "FR-train", "FR-test")


def test_it_trains(prepared: Path, tmp_path: Path) -> None:
    made = small.fit(tmp_path / "run", small.config(epochs=1), dataset=prepared)
    opened = aesm2.load(made, "cpu")
    assert [layer.name for layer in opened.layers] == ["country.1", "task.1"]
    counts = files.log(prepared)["part"].value_counts()
    assert opened.statistics.groupby("split")["impressions"].sum().to_dict() == counts.to_dict()


def test_one_country_trains_too(source: Path, tmp_path: Path) -> None:
    out = prepare(source / "NL", tmp_path / "out", progress=False)
    small.fit(tmp_path / "run", small.config(epochs=1), dataset=out)


def test_remarks_go_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for country in ("NL", "RU"):
        files.write_raw(tmp_path / "in" / country, country)
    prepare(tmp_path / "in", tmp_path / "out", progress=False)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "not prepared, since not asked for: RU",
        "NL-train: 4 items of no result page left out",
        "NL-test: 4 items of no result page left out",
    ]


def test_the_bar_reaches_the_size_of_the_files(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(source, tmp_path / "out")
    assert "100%|" in capsys.readouterr().err


def test_countries_stand_in_one_order(tmp_path: Path) -> None:
    for country in ("US", "RU", "ES", "NL"):
        files.write_processed(tmp_path / "in" / country, country)
    out = prepare(tmp_path / "in", tmp_path / "out", [" ru", "us", "NL", "nl"])
    assert Dataset.open(out).description.level[0].scenarios == ("NL", "US", "RU")
    same(files.log(out), files.expected(["NL", "US", "RU"]))


# Draws


def test_pages_are_not_torn_between_validation_and_test(prepared: Path) -> None:
    parts = files.log(prepared).groupby("search_id")["part"]
    assert parts.nunique().max() == 1
    assert parts.size().max() > 1


def test_a_sample_keeps_whole_pages_and_their_part(source: Path, tmp_path: Path) -> None:
    out = prepare(source, tmp_path / "out", fraction=0.4, progress=False)
    sample, whole = files.log(out), files.expected(["NL", "FR"])
    same(sample, files.expected(["NL", "FR"], 0.4))
    kept = whole[whole["search_id"].isin(sample["search_id"])].reset_index(drop=True)
    same(sample, kept)
    assert 0 < len(sample) < len(whole)
    alone = {
        piece: sum(
            files.uniform(page, *piece.split("-"), 0) < 0.4
            for page in set(files.raw(*piece.split("-"))[1]["item_1"]) - set(range(0, 180, 3))
        )
        for piece in PIECES
    }
    assert set(alone.values()) > {0}
    assert Dataset.open(out).description.notes[1:] == (
        "A sample: 0.4 of the result pages.",
        *(f"{p}: {n} items of no result page left out" for p, n in alone.items() if n),
    )


def test_a_copy_without_search_ids_is_drawn_by_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], in_small_pieces: None
) -> None:
    columns = [name for name in files.processed("US", "test") if name != "search_id"]
    folder = files.write_processed(tmp_path / "US", "US", columns)
    out = prepare(folder, tmp_path / "out", fraction=0.5, progress=False)
    frame = Dataset.open(out).frame()
    assert frame["search_id"].isna().all()
    original = files.processed("US", "test").reset_index(names="row")
    draws = [[files.uniform(r, "US", "test", p) for r in original["row"]] for p in (0, 1)]
    original["part"] = np.where(np.less(draws[1], 0.5), "validation", "test")
    wanted = original[np.less(draws[0], 0.5)].assign(country="US", search_id=0)
    found = frame[frame["part"] != "train"].assign(search_id=0)
    same(files.in_order(found), files.in_order(wanted))
    rows_of = {split: len(files.processed("US", split)) for split in ("train", "test")}
    remarks = [f"US-{split}: no search ids in this copy, so rows were drawn singly"
               for split in rows_of]  # fmt: skip
    assert capsys.readouterr().err.splitlines() == remarks
    assert set(remarks) <= set(Dataset.open(out).description.notes)


def test_a_fraction_that_leaves_nothing_can_be_raised(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"fraction 1e-09 leaves no rows; take a larger one$"):
        prepare(source, tmp_path / "out", fraction=1e-9, progress=False)
    prepare(source, tmp_path / "out", fraction=0.5, progress=False)


@pytest.mark.parametrize("fraction", [0.0, -1.0, 1.01, float("nan")])
def test_a_fraction_is_a_share(source: Path, tmp_path: Path, fraction: float) -> None:
    with pytest.raises(InputError, match="expected more than 0 and at most 1"):
        prepare(source, tmp_path / "out", fraction=fraction)
    assert not (tmp_path / "out").exists()


# Interrupted calls


class Killed(BaseException):
    pass


STEPS = (
    (Path, "open"), (Path, "unlink"), (Path, "rename"), (Path, "replace"), (Path, "mkdir"),
    (os, "fsync"), (shutil, "rmtree"), (pq.ParquetWriter, "write_table"),
)  # fmt: skip


def kill_at(step: int, patch: pytest.MonkeyPatch) -> list[str]:
    """Raise Killed instead of the call number `step` that changes or opens a file."""
    made: list[str] = []

    def counted(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            made.append(name)
            if len(made) == step:
                raise Killed
            return original(*arguments, **options)

        return call

    for owner, name in STEPS:
        patch.setattr(owner, name, counted(name, getattr(owner, name)))
    return made


def test_an_interrupted_call_is_gone_on_with(source: Path, prepared: Path, tmp_path: Path) -> None:
    wanted, step = content(prepared), 0
    while True:
        step += 1
        out = tmp_path / f"out{step}"
        with pytest.MonkeyPatch.context() as patch:
            kill_at(step, patch)
            try:
                prepare(source, out, progress=False)
                break
            except Killed:
                pass
        if (out / "dataset.toml").exists():  # killed while tidying up
            assert content(out) == wanted
            continue
        with pytest.raises(InputError, match="no dataset description here"):
            Dataset.open(out)
        prepare(source, out, progress=False)
        assert content(out) == wanted
        assert list(out.glob(".unfinished")) == []
        shutil.rmtree(out)
    assert step > 60


def test_a_killed_process_is_gone_on_with(source: Path, prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = f"""
import os, pathlib, signal, pyarrow.parquet as pq
from aesm2.prepare.aliexpress import prepare
write, calls = pq.ParquetWriter.write_table, []
def killing(*arguments):
    write(*arguments)
    calls.append(0)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
pq.ParquetWriter.write_table = killing
prepare(pathlib.Path({str(source)!r}), pathlib.Path({str(out)!r}), progress=False)
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in out.iterdir()] == [".unfinished"]
    prepare(source, out, progress=False)
    assert content(out) == content(prepared)


@pytest.fixture
def unfinished(
    source: Path,
    tmp_path: Path,
) -> Path:
    """A folder in which NL is finished and FR is not, of raw files that may be changed."""
    copied = shutil.copytree(source, tmp_path / "in")
    damaged = copied / "aliexpress_FR_datasets" / "fr_user_train.zip"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-30])
    with pytest.raises(InputError, match="not a whole zip archive"):
        prepare(copied, tmp_path / "out", fraction=0.5, progress=False)
    damaged.write_bytes(whole)
    return tmp_path / "out"


def again(out: Path, **changes: Any) -> Path:
    options = {"fraction": 0.5, "progress": False} | changes
    return prepare(out.parent / "in", out, **options)


def test_finished_pieces_are_not_read_again(
    unfinished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, read = CsvFile.batches, []
    monkeypatch.setattr(
        CsvFile, "batches", lambda file, bar: read.append(file.path.name) or batches(file, bar)
    )
    again(unfinished)
    assert read == [f"fr_{table}_{s}.zip" for s in ("train", "test") for table in ("user", "item")]
    same(files.log(unfinished), files.expected(["NL", "FR"], 0.5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fraction": 0.25}, "was begun with fraction 0.5, not 0.25"),
        ({"countries": ["NL"]}, "was begun with countries NL,FR, not NL"),
    ],
)
def test_other_arguments_are_refused(
    unfinished: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        again(unfinished, **change)
    hidden = unfinished / ".unfinished"
    assert str(caught.value) == (
        f"{unfinished}: {message}; repeat that, or delete {hidden} to begin anew"
    )
    same(files.log(again(unfinished)), files.expected(["NL", "FR"], 0.5))


def test_other_files_are_refused(unfinished: Path) -> None:
    folder = unfinished.parent / "in" / "NL"
    with (folder / "nl_user_test.zip").open("ab") as file:
        file.write(b" ")
    with pytest.raises(InputError, match="NL-test was prepared from other files than those in"):
        again(unfinished)


def test_what_is_left_of_an_unfinished_piece_is_deleted(unfinished: Path) -> None:
    shutil.copy(
        unfinished / ".unfinished" / "log" / "NL-train-00000.parquet",
        unfinished / ".unfinished" / "log" / "FR-train-00007.parquet",
    )
    same(files.log(again(unfinished)), files.expected(["NL", "FR"], 0.5))


def test_a_dataset_is_not_overwritten(source: Path, prepared: Path) -> None:
    before = content(prepared)
    with pytest.raises(InputError, match=r"holds a dataset already; name another folder or"):
        prepare(source, prepared)
    assert content(prepared) == before


def test_a_log_of_others_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    with pytest.raises(InputError, match="holds a 'log' already; name another folder"):
        prepare(source, tmp_path)
