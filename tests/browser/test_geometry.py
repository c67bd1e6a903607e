"""The Selection Geometry in a browser: a close call becomes the row, a flip opens in the Lens."""

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import Visit, Visitor


def first_line(visitor: Visitor, name: str) -> Locator:
    """The canvas of a table, to be clicked at its first line's box."""
    table = visitor.page.locator(f'[class*="st-key-{name}-"] [data-testid="stDataFrame"]')
    table.scroll_into_view_if_needed()
    return table


def test_a_close_call_becomes_the_row_and_its_flip_opens_in_the_lens(visit: Visit) -> None:
    visitor = visit().open("geometry", layer="tab.1")
    title = visitor.page.get_by_role("heading", name=re.compile("layer tab.1: the choice"))
    before = title.inner_text()
    first_line(visitor, "geometry-closest").click(position={"x": 18, "y": 52})
    expect(title).not_to_have_text(before)
    visitor.ready()
    row = visitor.view["row"]
    expect(title).to_contain_text(f"Row {row}, layer tab.1")
    expect(visitor.page.get_by_text(re.compile(r"features can flip either set"))).to_be_visible()
    first_line(visitor, "geometry-flips").click(position={"x": 18, "y": 52})
    expect(visitor.page.get_by_role("heading", name="Instance Lens")).to_be_visible()
    visitor.ready()
    assert visitor.path == "/lens"
    assert visitor.view["row"] == row
    assert visitor.view["set"]
    expect(visitor.page.get_by_role("heading", name=f"Row {row}")).to_be_visible()


@pytest.mark.long
def test_the_tetrahedron_is_drawn(visit: Visit) -> None:
    visitor = visit().open("geometry", layer="activity.1")
    solid = visitor.page.locator('[class*="st-key-chart-geometry-simplex"] .gl-container canvas')
    expect(solid.first).to_be_visible()
