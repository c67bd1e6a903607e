"""Tables as files: CSV of any separator and decimal sign, folders of parquet."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aesm2.data.draft.sample import read_sample
from aesm2.data.tables import csv_form, read_csv, read_table
from aesm2.errors import InputError


@pytest.mark.parametrize(
    ("head", "separator", "decimal"),
    [
        ("a,b\n1,2.5\n", ",", "."),
        ("a;b\n1;2,5\n", ";", ","),
        ("a;b\n1;2.5\n", ";", "."),
        ("a;b\n1,5;2.5\n", ";", "."),  # both signs: a comma is no decimal sign
        ("a;b\n1;x,y\n", ";", "."),
        ("a\tb\n1\t-2,5\n", "\t", ","),
        ("a|b|c\n1|2|3\n", "|", "."),
        ('"a,x,y";b\n1;2\n', ";", "."),  # what stands in quotes separates nothing
        ("a,b;c\n1,2\n", ",", "."),
        ("a\n1\n", ",", "."),
        ("\n\na;b\n03.11.2026;1,5\n", ";", ","),  # a date is no number
        ("", ",", "."),
    ],
)
def test_the_form_of_a_csv_is_told_from_its_first_lines(
    head: str, separator: str, decimal: str
) -> None:
    assert csv_form(head) == {"sep": separator, "decimal": decimal}


def test_decimal_commas_are_numbers_even_among_markers() -> None:
    text = 'x;price;words\n1,5;"2,5";"a,b"\n-3,25;?;1,2,3\n'
    frame = read_csv(text.encode())
    assert frame["x"].tolist() == [1.5, -3.25]
    assert frame["price"].tolist() == ["2.5", "?"]  # the marker keeps the column text
    assert frame["words"].tolist() == ["a,b", "1,2,3"]


def test_a_byte_order_mark_is_no_part_of_a_name() -> None:
    frame = read_csv("\ufeffä;b\n1;2\n".encode())
    assert list(frame.columns) == ["ä", "b"]
    assert len(read_csv(b"a\n1\n2\n3\n", rows=2)) == 2


def test_a_folder_of_parquet_has_its_folders_as_columns(tmp_path: Path) -> None:
    """Those around it are none of its columns."""
    tmp_path /= "env=test"
    for site, values in (("app", [1, 2]), ("web", [3])):
        part = tmp_path / "log" / f"site={site}" / "year=2026"
        part.mkdir(parents=True)
        pd.DataFrame({"x": values}).to_parquet(part / "0.parquet")
    (tmp_path / "log" / "dataset.toml").write_text("")  # what a redirection leaves there
    frame = read_table(tmp_path / "log")
    assert frame["site"].tolist() == ["app", "app", "web"]
    assert frame["x"].tolist() == [1, 2, 3]
    assert set(frame["year"]) == {2026}
    assert "env" not in frame.columns


def parquet_of(path: Path, country: pa.Array, noted: pd.DataFrame) -> Path:
    """A parquet file whose note for pandas is of another frame with the same columns."""
    table = pa.table({"country": country})
    note = pa.Table.from_pandas(noted).schema.metadata
    pq.write_table(table.replace_schema_metadata(note), path)
    return path


def test_what_pandas_noted_of_other_values_does_not_change_them(tmp_path: Path) -> None:
    noted = pd.DataFrame({"country": ["nl"]})
    binary = parquet_of(tmp_path / "a.parquet", pa.array([b"nl"]), noted)
    assert read_table(binary)["country"].tolist() == [b"nl"]
    time = pa.array([0], pa.timestamp("ms"))
    stamped = parquet_of(tmp_path / "b.parquet", time, noted)
    assert read_table(stamped)["country"].tolist() == [pd.Timestamp(0)]


def test_an_index_is_a_column_where_it_has_a_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2]}, index=[7, 5])
    frame.to_parquet(tmp_path / "a.parquet")
    frame.rename_axis("row").to_parquet(tmp_path / "b.parquet")
    assert read_table(tmp_path / "a.parquet").to_dict("list") == {"a": [1, 2]}
    assert read_table(tmp_path / "b.parquet").to_dict("list") == {"a": [1, 2], "row": [7, 5]}


@pytest.mark.parametrize("read", [read_table, read_sample])
def test_text_that_is_no_utf8_is_named(read: Callable[[Path], object], tmp_path: Path) -> None:
    text = pa.array([b"nl", b"\xfb", b"nl"]).view(pa.string())
    pq.write_table(pa.table({"country": text}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: .*column 'country' holds bytes that are no"):
        read(tmp_path / "a.parquet")
