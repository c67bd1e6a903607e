"""Folders of predictions and traces: whole files, resumed where they were left."""

import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aesm2.errors import InputError
from aesm2.streaming import outputs
from aesm2.streaming.engines import merged, results
from aesm2.streaming.files import NOTHING, of_files
from aesm2.streaming.outputs import DONE, PLAN, Writing, Written, complete, prepared
from aesm2.streaming.parts import Log, of_frame
from aesm2.streaming.works import input_columns
from tests.streaming import made


@pytest.fixture
def log(tmp_path: Path) -> Log:
    columns = (*input_columns(made.checkpoint()), "item")
    return of_files(str(made.write_log(tmp_path / "log")), columns, 150)


def writing(folder: Path, kind: outputs.Kind = "predict", keep: tuple[str, ...] = ()) -> Writing:
    return Writing(kind, made.checkpoint().path, folder, keep=keep, about=(("data", "shop"),))


def write(log: Log, work: Writing, resume: bool = False) -> Written | None:
    missing = prepared(log, work, made.checkpoint().hash, resume)
    done = merged(missing, work) if missing.parts else None
    complete(log, work, {})
    return done


def test_predictions_are_those_of_all_rows(log: Log, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written = write(log, writing(out, keep=("item", "user")))
    assert written == Written(600, 600, len(log.parts))
    assert Writing.from_bytes(writing(out), written.to_bytes()) == written
    found = pd.read_parquet(out).sort_values("row", ignore_index=True)
    assert found["row"].tolist() == list(range(600))
    assert found["item"].tolist() == made.frame()["item"].tolist()
    expected = made.checkpoint().predict(made.frame())
    np.testing.assert_allclose(found[["ctr", "ctcvr"]], expected, rtol=1e-5)
    about = json.loads((out / DONE).read_text())
    assert (about["rows"], about["parts"]) == (600, len(log.parts))
    assert pq.read_metadata(out / "part-000000.parquet").metadata[b"data"] == b"shop"


def test_columns_are_kept_as_the_log_has_them(tmp_path: Path) -> None:
    """Whatever a chunk of rows alone would be taken for."""
    count = len(made.frame())
    late = [None] * (count // 2)
    moments = pd.date_range("2026-05-04", periods=count // 2, freq="min", tz="UTC")
    kept = pa.table(
        {
            "coupon": pa.array([*late, *(["A"] * (count // 2))]),
            "place": pa.array([*late, *map(str, range(count // 2))]).dictionary_encode(),
            "visit": pa.array([*late, *range(2**60 + 1, 2**60 + 1 + count // 2)]),
            "paid": pa.array([Decimal("1.50")] * (count - 1) + [Decimal("123456.25")]),
            "member": pa.array([*late, *([True] * (count // 2))]),
            "seen": pa.array([*late, *moments]),
            "empty": pa.nulls(count),
        }
    )
    log = pa.Table.from_pandas(made.frame(), preserve_index=False)
    for name in kept.column_names:
        log = log.append_column(name, kept.column(name))
    (tmp_path / "log" / "day=05").mkdir(parents=True)
    pq.write_table(log, tmp_path / "log" / "day=05" / "a.parquet")  # one row group
    keep = ("day", *kept.column_names, "user")
    columns = (*input_columns(made.checkpoint()), *keep)
    planned = of_files(str(tmp_path / "log"), columns, 150)
    assert len(list(planned.parts[0].chunks(columns))) == 4
    write(planned, writing(tmp_path / "out", keep=keep))
    found = pq.read_table(tmp_path / "out" / "part-000000.parquet")
    assert found.column_names == ["row", *keep, "ctr", "ctcvr"]
    for name in kept.column_names:
        assert found.column(name).to_pylist() == kept.column(name).to_pylist()
        assert found.schema.field(name).type == log.schema.field(name).type
    assert set(found.column("day").to_pylist()) == {5}
    assert found.column("user").to_pylist() == made.frame()["user"].tolist()


@pytest.mark.parametrize(("day", "type_"), [("05", pa.int32()), ("monday", pa.string())])
def test_a_folder_whose_value_is_missing_is_kept_in_the_type_of_the_others(
    tmp_path: Path, day: str, type_: pa.DataType
) -> None:
    for name in (NOTHING, day):
        (tmp_path / "log" / f"day={name}").mkdir(parents=True)
        made.frame().to_parquet(tmp_path / "log" / f"day={name}" / "a.parquet")
    columns = (*input_columns(made.checkpoint()), "day")
    write(of_files(str(tmp_path / "log"), columns), writing(tmp_path / "out", keep=("day",)))
    parts = [pq.read_table(part) for part in sorted((tmp_path / "out").glob("part-*"))]
    assert [part.schema.field("day").type for part in parts] == [type_] * 2
    days = [set(part.column("day").to_pylist()) for part in parts]
    assert sorted(days, key=str) == sorted([{None}, {5 if day == "05" else day}], key=str)


def test_a_column_of_several_types_is_not_kept(tmp_path: Path) -> None:
    frame = made.frame().assign(note=["a", 1] * (len(made.frame()) // 2))
    with pytest.raises(InputError, match="rows, row 0: 'note' has no one type to be kept in: "):
        write(of_frame(frame, "rows"), writing(tmp_path / "out", keep=("note",)))


def test_traces_are_those_of_all_rows(log: Log, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(log, writing(out, "trace"))
    found = pd.read_parquet(out)
    expected = made.checkpoint().trace(made.frame()).to_frame()
    by = ["row", "layer", "target", "expert"]
    found, expected = (
        own.sort_values(by, key=lambda c: c.astype(str), ignore_index=True)
        for own in (found, expected)
    )
    for column in (*by, "specific", "shared"):
        assert found[column].astype(str).tolist() == expected[column].astype(str).tolist()
    np.testing.assert_allclose(found["mixing_weight"], expected["mixing_weight"], atol=1e-6)


def test_what_was_interrupted_goes_on_where_it_was(log: Log, tmp_path: Path) -> None:
    out, work = tmp_path / "out", writing(tmp_path / "out")
    missing = prepared(log, work, made.checkpoint().hash, resume=False)
    first = next(results(missing, work))  # one part, then it is stopped
    (out / ".part-000001.parquet.77.part").write_bytes(b"half a file")
    before = (out / "part-000000.parquet").stat().st_mtime_ns
    assert first[0].number == 0 and not (out / DONE).exists()
    with pytest.raises(InputError, match=r"holds this output already, unfinished; add --resume"):
        write(log, work)
    with pytest.raises(InputError, match=r"part-000001.parquet: is missing; use --resume"):
        complete(log, work, {})
    done = write(log, work, resume=True)
    assert done is not None and done.parts == len(log.parts) - 1
    assert (out / "part-000000.parquet").stat().st_mtime_ns == before
    assert sorted(f.name for f in out.iterdir()) == sorted(
        [DONE, PLAN, *(outputs.file_name(part) for part in log.parts)]
    )
    assert len(pd.read_parquet(out)) == 600
    assert write(log, work, resume=True) is None  # nothing is missing


def test_a_folder_of_something_else_is_left_alone(log: Log, tmp_path: Path) -> None:
    other = tmp_path / "mine"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match=r"mine: holds something else; name a new folder"):
        write(log, writing(other), resume=True)
    assert [f.name for f in other.iterdir()] == ["letter.txt"]
    out = tmp_path / "out"
    write(log, writing(out))
    with pytest.raises(InputError, match="differs in its command; name a new folder"):
        write(log, writing(out, "trace"), resume=True)
    with pytest.raises(InputError, match="differs in the columns kept"):
        write(log, writing(out, keep=("item",)), resume=True)
    with pytest.raises(InputError, match="differs in its checkpoint"):
        prepared(log, writing(out), "another", resume=True)
    finer = of_files(log.source, input_columns(made.checkpoint()), 70)
    with pytest.raises(InputError, match="differs in its files or --rows-per-part"):
        write(finer, writing(out), resume=True)
    with pytest.raises(InputError, match="written as a folder of parts"):
        write(log, writing(tmp_path / "out.parquet"))


def test_a_part_that_cannot_be_written_leaves_nothing(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    work = writing(tmp_path / "out")
    prepared(log, work, made.checkpoint().hash, resume=False)
    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(InputError, match=r"part-000000.parquet: cannot be written: No space left"):
        merged(log, work)
    assert [f.name for f in (tmp_path / "out").iterdir()] == [PLAN]
