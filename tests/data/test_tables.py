"""Tables as files: CSV of any separator and decimal sign, folders of parquet."""

from pathlib import Path

import pandas as pd
import pytest

from aesm2.data.tables import csv_form, read_csv, read_table


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
