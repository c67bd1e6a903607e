"""Slices in a real browser: a mark is clicked, its slice used, another one typed."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import Visit

SLICE = "tab = 0"


def test_a_clicked_slice_is_used_and_another_one_typed(visit: Visit) -> None:
    visitor = visit().open("slices", measures="loss:ctcvr", depth="1", slices="all")
    visitor.click_until("slices-loss-ctcvr", SLICE, lambda ms: visitor.shows(ms, look=SLICE))
    expect(visitor.page.get_by_text(re.compile(r"^[1-9][\d,]* of [\d,]+ rows"))).to_be_visible()
    visitor.page.get_by_role("button", name="Open in the Atlas").click()
    visitor.shows(slice=SLICE)
    expect(visitor.page.get_by_role("heading", name="Utilisation Atlas")).to_be_visible()
    visitor.ready()
    expect(visitor.page.get_by_text("Only 1 scenario has rows here").first).to_be_visible()
    box = visitor.chosen("slice")
    expect(box).to_have_value(SLICE)
    box.fill("tab in (1, 4)")
    box.press("Enter")
    visitor.shows(slice="tab in (1, 4)")
    expect(visitor.page.get_by_text("Only 1 scenario has rows here")).to_have_count(0)
    visitor.go("Instance Lens")
    expect(visitor.chosen("slice")).to_have_value("tab in (1, 4)")
    visitor.sound()
