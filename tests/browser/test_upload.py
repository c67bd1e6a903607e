"""Rows of the user's own in the Lens: good ones are shown, bad ones are refused kindly."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect

from aesm2.checkpoint import load
from aesm2.data.dataset import Dataset
from tests.browser.conftest import ERROR, ROOT, Visit, Visitor

TOTAL = """() => {
  const chart = document.querySelector('[class*="st-key-chart-atlas-own"] .js-plotly-plot');
  const rows = chart?._fullLayout?.yaxis?.ticktext?.map(t => +t.split('n = ')[1].replace(',', ''));
  return rows?.reduce((a, b) => a + b) === 40;
}"""


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    description = load(ROOT / "checkpoints" / "kuairand", "cpu").description
    frame = Dataset.open(ROOT / "data_samples" / "kuairand_pure").split("test")
    labels = [task.label for task in description.task]
    return frame[[*description.input_columns, *labels]].head(40)


def upload(visitor: Visitor, file: Path) -> None:
    visitor.open("lens")
    visitor.page.get_by_role("button", name="Upload rows").click()
    visitor.page.locator('.st-key-lens-upload input[type="file"]').set_input_files(file)


def test_good_rows_are_shown_in_the_lens_and_the_atlas(
    visit: Visit, rows: pd.DataFrame, tmp_path: Path
) -> None:
    file = tmp_path / "mine.csv"
    rows.to_csv(file, index=False)
    visitor = visit()
    upload(visitor, file)
    expect(visitor.chosen("rows")).to_have_value("Uploaded: mine.csv")
    expect(visitor.page.get_by_text("40 of 40 rows")).to_be_visible()
    visitor.ready()
    assert visitor.view["rows"].startswith("upload:")
    visitor.page.keyboard.press("Escape")
    visitor.go("Utilisation Atlas")
    expect(visitor.chosen("rows")).to_have_value("Uploaded: mine.csv")
    visitor.ready()
    visitor.page.wait_for_function(TOTAL)  # the rows' counts along the axis add up


def hostile(kind: str, rows: pd.DataFrame) -> bytes:
    if kind == "text in numbers":
        spoilt = rows.astype({"duration_ms": object})
        spoilt.loc[spoilt.index[3], "duration_ms"] = "long"
        return spoilt.to_csv(index=False).encode()
    return np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8).tobytes()


@pytest.mark.parametrize(
    "kind", ["text in numbers", pytest.param("binary", marks=pytest.mark.long)]
)
def test_hostile_files_are_refused_with_a_reason(
    visit: Visit, rows: pd.DataFrame, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "mine.csv"
    file.write_bytes(hostile(kind, rows))
    visitor = visit()
    visitor.errors_expected = True
    upload(visitor, file)
    told = visitor.page.locator(ERROR)
    expect(told).to_contain_text("Nothing was kept")
    text = told.inner_text()
    assert "mine.csv" in text
    assert "Traceback" not in text
    assert "Something went wrong on our side" not in text
    visitor.ready()
    assert "rows" not in visitor.view
