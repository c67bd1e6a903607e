"""Routing drift in a real browser: a click on a cell, and a summary opened in the Atlas."""

from pathlib import Path

from playwright.sync_api import expect

import aesm2
from aesm2.data.dataset import Dataset
from aesm2.routing.grouped import grouped_utilisation
from aesm2.streaming import summary_file
from aesm2.streaming.works import row_groups
from tests.browser.conftest import ROOT, Visit


def test_a_cell_is_clicked_and_a_summary_opened(visit: Visit, tmp_path: Path) -> None:
    visitor = visit().open("routing_drift", checkpoint="alipay-sim")
    visitor.click_until(
        "routing-drift-weight", ["domain.1", 0, 1],
        lambda patience: visitor.shows(patience, drift__cell="domain.1/0/1"),
    )  # fmt: skip
    expect(visitor.page.get_by_text("Experts of domain.1, BS")).to_be_visible()
    checkpoint = aesm2.load(ROOT / "checkpoints" / "alipay-sim", "cpu")
    rows = Dataset.open(ROOT / "data_samples" / "alipay_sim").split("test").head(300)
    counted = grouped_utilisation(
        checkpoint.model, checkpoint.encode(rows), row_groups(rows, None)[0]
    )
    own = summary_file.of(checkpoint, counted, "a few rows", "public data", None, 1)
    summary_file.write(tmp_path / "few.routing", own)
    visitor.open("atlas", checkpoint="alipay-sim")
    visitor.page.get_by_role("button", name="Open a summary").click()
    visitor.keyed("summary-upload").locator("input[type=file]").set_input_files(
        tmp_path / "few.routing"
    )
    visitor.ready()
    expect(visitor.page.get_by_text("A summary holds counts, not rows")).to_be_visible()
    visitor.ready()
    assert visitor.view["summary"].startswith("upload:")
    visitor.sound()
