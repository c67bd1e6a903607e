"""A stranger's table in a real browser: brought, drafted, changed, saved, taken back."""

import contextlib
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ERROR, PATIENCE, Visit, Visitor
from tests.data.funnels import FUNNELS


def bring(visitor: Visitor, file: Path) -> None:
    visitor.open("own")
    visitor.page.locator('.st-key-own-upload input[type="file"]').set_input_files(file)


@pytest.mark.parametrize(("width", "theme"), [(400, "dark")])
def test_from_a_table_to_a_saved_dataset_and_back(
    visit: Visit, tmp_path: Path, width: int, theme: str
) -> None:
    visitor = visit(width, theme)
    page = visitor.page
    bring(visitor, FUNNELS["shop"](tmp_path))
    expect(page.get_by_role("heading", name="What the columns of shop.csv are")).to_be_visible()
    expect(
        page.get_by_test_id("stAlertContentWarning").get_by_text("Country LI has only 30 rows")
    ).to_be_visible()
    visitor.ready()
    assert visitor.fits()
    visitor.screenshot(f"own-{theme}-{width}")
    page.get_by_label("Name", exact=True).fill("no name")
    page.get_by_label("Name", exact=True).press("Enter")
    visitor.errors_expected = True
    expect(page.locator(ERROR)).to_contain_text("use letters, digits, - and _")
    page.get_by_label("Name", exact=True).fill(f"shop-{width}")
    page.get_by_label("Name", exact=True).press("Enter")
    expect(page.locator(ERROR)).to_have_count(0)
    visitor.errors_expected = False
    page.get_by_role("button", name="Save the dataset").click()
    saved = page.get_by_text(
        re.compile(rf"Saved as \S+/data/shop-{width}\. Every row was read: 2,400")
    )
    expect(saved).to_be_visible()
    expect(page.get_by_text(f"--run runs/shop-{width}")).to_be_visible()
    visitor.screenshot(f"own-saved-{theme}-{width}")
    page.get_by_role("button", name="Undo").click()
    expect(saved).to_have_count(0)
    expect(page.get_by_role("button", name="Save the dataset")).to_be_visible()


def test_a_role_is_changed_in_the_table(visit: Visit, tmp_path: Path) -> None:
    """The cell of `impression` is opened, and another role chosen: a task less."""
    visitor = visit()
    page = visitor.page
    bring(visitor, FUNNELS["shop"](tmp_path))
    tasks = page.get_by_test_id("stMetric").filter(has_text="Tasks")
    expect(tasks).to_contain_text("4")
    visitor.ready()
    table = page.get_by_test_id("stDataFrame").first
    row = 35 * (1 + 7) + 17  # the eighth column of the table, below the header
    editor = page.locator("#portal input")  # of the cell that is open
    table.scroll_into_view_if_needed()
    for _ in range(3):  # a table drawn anew on a busy machine swallows a click or a key
        table.dblclick(position={"x": 200, "y": row})
        with contextlib.suppress(AssertionError):
            expect(editor).to_be_focused(timeout=PATIENCE // 8)
            page.keyboard.type("ignored")
            page.keyboard.press("Enter")
            expect(tasks).to_contain_text("3", timeout=PATIENCE // 4)
            break
    expect(tasks).to_contain_text("3")
    expect(page.get_by_text("clicked: clicked is ja.")).to_be_visible()
    visitor.go("Home")
    visitor.ready()
    visitor.go("Your data")
    expect(tasks).to_contain_text("3")


def test_a_path_outside_is_refused(visit: Visit) -> None:
    visitor = visit().open("own")
    visitor.errors_expected = True
    visitor.page.get_by_label("Or name a table on this machine", exact=True).fill("/etc/passwd")
    visitor.page.get_by_role("button", name="Open the table").click()
    expect(visitor.page.locator(ERROR)).to_contain_text(
        "outside the folders that this app may read"
    )
