"""Uploaded rows: what is taken, and what is refused with which words."""

import io
import pickle
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from aesm2.checkpoint import Checkpoint, load
from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from app.rows import upload
from tests import small

Start = Callable[..., AppTest]


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load(small.run() / "checkpoint", "cpu")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return Dataset.open(small.dataset()).split("test")


def csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def parquet(frame: pd.DataFrame) -> bytes:
    target = io.BytesIO()
    frame.to_parquet(target)
    return target.getvalue()


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        file.writestr("a", "1" * 99)
    return target.getvalue()


@pytest.mark.parametrize("write", [csv, parquet])
def test_what_is_written_is_read(
    checkpoint: Checkpoint, frame: pd.DataFrame, write: Callable[[pd.DataFrame], bytes]
) -> None:
    read = upload.read_rows("mine", write(frame))
    rows = upload.row_set(checkpoint, "upload:1", "mine", read)
    expected = checkpoint.encode(frame, labels=True)
    np.testing.assert_array_equal(rows.batch.fields, expected.fields)
    np.testing.assert_array_equal(rows.batch.labels, expected.labels)
    assert rows.labels
    assert list(rows.frame.index) == list(range(len(frame)))


def test_labels_are_optional(checkpoint: Checkpoint, frame: pd.DataFrame) -> None:
    rows = upload.row_set(checkpoint, "upload:1", "mine", frame.drop(columns="buy"))
    assert not rows.labels
    assert rows.batch.labels is None


def test_the_template_is_accepted_and_has_just_the_needed_columns(
    checkpoint: Checkpoint, frame: pd.DataFrame
) -> None:
    content = upload.template(checkpoint.description, frame)
    read = upload.read_rows("template.csv", content)
    assert tuple(read.columns) == checkpoint.description.input_columns
    assert len(read) == 5
    upload.row_set(checkpoint, "upload:1", "template.csv", read)


def test_an_export_of_the_app_is_read_past_its_provenance() -> None:
    read = upload.read_rows("x", "\ufeff# public data: a shop, CC0\na,b\n1,2\n".encode())
    assert read.to_dict("list") == {"a": [1], "b": [2]}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_csv_of_any_separator_is_read(separator: str) -> None:
    text = separator.join("ab") + "\n" + separator.join("12") + "\n"
    assert upload.read_rows("x", text.encode()).to_dict("list") == {"a": [1], "b": [2]}


def test_markers_of_missing_values_are_missing_in_uploaded_rows(
    checkpoint: Checkpoint, frame: pd.DataFrame
) -> None:
    source = checkpoint.description.source.model_copy(update={"missing": ("?",)})
    described = checkpoint.description.model_copy(update={"source": source})
    marked = frame.assign(price=frame["price"].astype(object).where(frame["price"] > 1, "?"))
    encoder = replace(checkpoint.encoder, description=described)
    rows = upload.row_set(replace(checkpoint, encoder=encoder), "upload:1", "mine", marked)
    assert rows.frame["price"].isna().equals(frame["price"] <= 1)


MANY = b"a\n" + b"1\n" * (upload.MAX_ROWS + 1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"a,b\n", "no rows"),
        (b"a,b\n1,2,3\n4,5,6\n", "more values than the header"),
        (b"a,b\n1,2\n1,2,3\n", "not a CSV table"),
        (b'a,b\n"1,2\n', "not a CSV table"),
        (b"a;b\n1;2;3\n4;5;6\n", "more values than the header"),
        (b"# only a note\n", "not a CSV table"),
        (b"caf\xe9,b\n1,2\n", "UTF-8"),
        (b"PAR1 is how it starts, and no more", "damaged parquet"),
        (pickle.dumps({"a": [1, 2]}), "not"),
        (zipped(), "not"),
        (MANY, "more than 100,000 rows"),
        (b"x" * (upload.MAX_MEGABYTES * 2**20 + 1), "larger than 50 MB"),
    ],
    ids=range(14),
)
def test_what_is_no_table_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        upload.read_rows("mine.csv", content)
    assert str(caught.value).startswith("mine.csv: ")
    assert "\n" not in str(caught.value)


def test_a_parquet_file_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    many = parquet(pd.DataFrame({"a": np.zeros(upload.MAX_ROWS + 1)}))
    with pytest.raises(InputError, match="100,001 rows"):
        upload.read_rows("x", many)
    monkeypatch.setattr(upload, "MAX_MEGABYTES", 0.001)
    bomb = parquet(pd.DataFrame({"a": np.arange(50_000) % 7}))
    monkeypatch.setattr(upload, "MAX_ROWS", 10**9)
    with pytest.raises(InputError, match=r"larger than|unpacks to more"):
        upload.read_rows("x", bomb)


def test_a_damaged_parquet_file_is_refused(frame: pd.DataFrame) -> None:
    whole = parquet(frame)
    for cut in (len(whole) // 2, len(whole) - 9):
        with pytest.raises(InputError, match="damaged parquet"):
            upload.read_rows("x", whole[:cut])
    middle = whole[:20] + bytes(len(whole) - 2000) + whole[20 + len(whole) - 2000 :]
    with pytest.raises(InputError, match="damaged parquet"):
        upload.read_rows("x", middle)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("price", "dear", "row 3: 'price' is 'dear', not a number"),
        ("page", 9, "row 3: 'page' is 9, which is no scenario"),
        ("click", 2, "row 3: label 'click' is 2, not 0 or 1"),
    ],
)
def test_a_wrong_value_is_named_with_its_row(
    checkpoint: Checkpoint, frame: pd.DataFrame, column: str, value: object, words: str
) -> None:
    read = upload.read_rows("mine", csv(frame))
    cells = read[column].astype(object)
    cells.iloc[3] = value
    with pytest.raises(InputError, match=words):
        upload.row_set(checkpoint, "upload:1", "mine", read.assign(**{column: cells}))


def test_missing_columns_are_named(checkpoint: Checkpoint, frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"mine: the table lacks the columns 'age'.*, 'price'"):
        upload.row_set(checkpoint, "upload:1", "mine", frame.drop(columns=["price", "age"]))


def uploading(at: AppTest, name: str, content: bytes) -> AppTest:
    return at.file_uploader[0].set_value((name, content, "text/csv")).run()


def test_an_upload_becomes_the_source_of_rows(start: Start, frame: pd.DataFrame) -> None:
    odd = frame.assign(brand="nobody", age=np.nan)
    at = uploading(start("views/lens.py"), "mine.csv", csv(odd))
    assert not at.exception
    assert not at.error
    assert at.query_params["rows"].startswith("upload:")
    assert [s.value for s in at.success] == ["mine.csv: 88 rows with labels."]
    assert "Row 0" in [h.value for h in at.subheader]
    (counts,) = [d.value for d in at.dataframe if list(d.value.columns)[:1] == ["feature"]
                 and "unseen" in d.value.columns]  # fmt: skip
    counted = counts.set_index("feature")
    assert counted.loc["brand", "unseen"] == counted.loc["age", "missing"] == 88


def test_a_bad_upload_is_refused_and_the_rows_stay(start: Start, frame: pd.DataFrame) -> None:
    at = uploading(start("views/lens.py"), "mine.csv", csv(frame.drop(columns="price")))
    (error,) = at.error
    assert "lacks the column 'price'" in error.value
    assert "Nothing was kept" in error.value
    assert "rows" not in at.query_params
    assert at.get("plotly_chart")


def test_an_address_of_an_upload_elsewhere_says_so(start: Start) -> None:
    at = start("views/lens.py", rows="upload:abc")
    assert any("uploaded in another session" in info.value for info in at.info)
    assert at.get("plotly_chart")


def test_without_the_dataset_rows_can_be_uploaded(
    start: Start, small_root: Path, tmp_path: Path, frame: pd.DataFrame
) -> None:
    shutil.copytree(small_root / "checkpoints", tmp_path / "checkpoints")
    at = start("views/lens.py", root=tmp_path)
    assert not at.exception
    assert any("is not here" in warning.value for warning in at.warning)
    at = uploading(at, "mine.csv", csv(frame.head(3)))
    assert "Row 0" in [h.value for h in at.subheader]


def test_uploads_are_forgotten_though_the_input_has_the_file(
    start: Start, frame: pd.DataFrame
) -> None:
    at = uploading(start("views/lens.py"), "mine.csv", csv(frame))
    assert [own.value for own in at.success] == ["mine.csv: 88 rows with labels."]
    at = at.button(key="lens-forget").click().run()
    assert not at.exception
    assert not at.error
    assert not at.success
    assert "Forget the uploads" not in [button.label for button in at.button]
