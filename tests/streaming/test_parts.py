"""Planning and reading parts: every row once, in order, whatever the files look like."""

import os
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aesm2.data.tables import read_table
from aesm2.errors import InputError
from aesm2.streaming.files import NOTHING, of_files
from aesm2.streaming.parts import Log, of_frame
from aesm2.streaming.sources import open_log
from tests.streaming import made

COLUMNS = ("user", "price", "click")


def read(log: Log) -> pd.DataFrame:
    return pd.concat([chunk for part in log.parts for chunk in part.chunks(COLUMNS)])


@pytest.mark.parametrize("most", [23, 70, 10_000])
def test_every_row_is_read_once_and_in_order(tmp_path: Path, most: int) -> None:
    log = of_files(str(made.write_log(tmp_path / "log")), COLUMNS, most)
    assert log.rows == len(made.frame())
    pd.testing.assert_frame_equal(read(log), made.frame()[list(COLUMNS)], check_dtype=False)
    assert [part.number for part in log.parts] == list(range(len(log.parts)))
    chunks = [len(chunk) for part in log.parts for chunk in part.chunks(COLUMNS)]
    assert max(chunks) <= max(most, 1)
    if most >= 70:  # whole row groups, never more rows than asked for
        assert all(part.rows <= most for part in log.parts)


def test_a_plan_packs_row_groups_and_never_files(tmp_path: Path) -> None:
    log = of_files(str(made.write_log(tmp_path / "log", files=2, groups=100)), COLUMNS, 250)
    assert [(part.first, part.rows) for part in log.parts] == [
        (0, 200), (200, 100), (300, 200), (500, 100),
    ]  # fmt: skip
    assert log.parts[0].name.endswith("day-0.parquet, row groups 0 to 1")
    assert log.parts[1].name.endswith("day-0.parquet, row group 2")


def test_folders_that_name_values_are_columns(tmp_path: Path) -> None:
    for day, name in ((2, "a%20b"), (10, "c")):
        folder = tmp_path / "log" / f"day={day}" / f"place={name}"
        folder.mkdir(parents=True)
        pd.DataFrame({"x": [day, day + 1]}).to_parquet(folder / "f.parquet")
    log = of_files(str(tmp_path / "log"), ("day", "x", "place"))
    frame = pd.concat([chunk for part in log.parts for chunk in part.chunks(("day", "x", "place"))])
    assert frame["day"].tolist() == [10, 10, 2, 2]  # in the order of the paths
    assert frame["place"].tolist() == ["c", "c", "a b", "a b"]
    assert frame["x"].tolist() == [10, 11, 2, 3]


@pytest.mark.parametrize(
    "names",
    [
        ("05", "10"), ("05", "x"), ("07", NOTHING), ("x", NOTHING), ("-05", "3"), ("00", "-0"),
        ("+5", "6"), ("2147483647",), ("2147483648", "01"), ("0x1f", "2"), ("1.50",), ("%30%35",),
        ("\u0663",), ("",),
    ],
)  # fmt: skip
def test_folders_name_the_values_that_they_do_where_all_is_read(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    for name in names:
        (tmp_path / f"hour={name}").mkdir()
        pd.DataFrame({"x": [1, 2]}).to_parquet(tmp_path / f"hour={name}" / "a.parquet")
    log = of_files(str(tmp_path), ("hour", "x"))
    parts = pd.concat([chunk for part in log.parts for chunk in part.chunks(("hour", "x"))])
    whole = read_table(tmp_path)
    assert [None if pd.isna(v) else v for v in parts["hour"]] == [
        None if pd.isna(v) else v for v in whole["hour"]
    ]


def test_a_folder_whose_name_is_no_text_is_a_value(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/hour=\xff"))
    folder.mkdir()
    (folder / "a.parquet").write_bytes(pd.DataFrame({"x": [1, 2]}).to_parquet())
    assert [part.rows for part in of_files(str(tmp_path), ("hour", "x")).parts] == [2]


def test_a_url_is_read_as_a_folder_is(tmp_path: Path) -> None:
    folder = made.write_log(tmp_path / "log")
    system = fsspec.filesystem("memory")
    for file in folder.glob("day-*.parquet"):
        system.pipe(f"/stream-test/{file.name}", file.read_bytes())
    try:
        log = of_files("memory://stream-test", COLUMNS, 100)
        assert log.one_process
        pd.testing.assert_frame_equal(read(log), read(of_files(str(folder), COLUMNS, 100)))
        assert len(of_files("memory://stream-test/day-1.parquet", COLUMNS).parts) == 1
    finally:
        system.rm("/stream-test", recursive=True)


def test_rows_in_memory_are_a_log_and_keep_their_names() -> None:
    frame = made.frame().iloc[5:16]
    log = of_frame(frame, "rows", 4)
    assert [part.rows for part in log.parts] == [4, 4, 3]
    pd.testing.assert_frame_equal(read(log), frame[list(COLUMNS)])
    with pytest.raises(InputError, match="rows: no rows"):
        of_frame(frame.iloc[:0], "rows")


def refused(source: Path | str, columns: tuple[str, ...] = COLUMNS, most: int = 10) -> str:
    with pytest.raises(InputError) as error:
        of_files(str(source), columns, most)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_cannot_be_read_is_said_with_the_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "no") == f"{tmp_path / 'no'}: no such file or folder"
    (tmp_path / "log").mkdir()
    assert "no parquet files in this folder" in refused(tmp_path / "log")
    bad = tmp_path / "log" / "b.parquet"
    bad.write_bytes(b"PAR1 nonsense")
    assert refused(tmp_path / "log").startswith(f"{bad}: cannot be read as parquet: ")
    made.frame().iloc[:0].to_parquet(bad)
    assert refused(tmp_path / "log").endswith("its parquet files hold no rows")
    assert refused(tmp_path / "log", most=0) == "rows per part: 0; expected 1 or more"
    assert refused("s3://bucket/log") == "s3://bucket/log: Install s3fs to access S3"
    assert "cannot be opened" in refused("nowhere://x")


def test_files_that_differ_are_refused_by_name(tmp_path: Path) -> None:
    folder = made.write_log(tmp_path / "log")
    odd = folder / "day-1.parquet"
    made.frame().rename(columns={"price": "prize"}).to_parquet(odd)
    assert refused(folder) == f"{odd} lacks 'price' (did you mean 'prize'?)"
    made.frame().assign(price=made.frame()["price"].astype(str)).to_parquet(odd)
    line = refused(folder)
    assert line.startswith(f"{odd}: 'price' is ")
    assert f"but double in {folder / 'day-0.parquet'}" in line
    narrow = pa.Table.from_pandas(made.frame()).cast(
        pa.schema(
            [f.with_type(pa.float32()) if f.name == "price" else f
             for f in pa.Table.from_pandas(made.frame()).schema]
        )
    )  # fmt: skip
    pq.write_table(narrow, odd)  # another width is no other kind
    assert of_files(str(folder), COLUMNS).rows == 400 + len(made.frame())


def test_columns_that_need_the_whole_log_are_said_to(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    made.frame().drop(columns=["user_past_count", "brand"]).to_parquet(raw / "a.parquet")
    checkpoint = made.checkpoint()
    with pytest.raises(InputError, match="history needs its whole log; write the rows with them"):
        open_log(checkpoint, str(raw), checkpoint.description.input_columns)


def test_a_file_that_changed_is_noticed(tmp_path: Path) -> None:
    folder = made.write_log(tmp_path / "log", files=1)
    log = of_files(str(folder), COLUMNS, 70)
    made.frame().head(10).to_parquet(folder / "day-0.parquet")
    with pytest.raises(InputError, match="has changed since the plan was made"):
        list(log.parts[-1].chunks(COLUMNS))
