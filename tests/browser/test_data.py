"""The Data page: a feature is chosen by a click, a row leads into the Lens."""

from playwright.sync_api import expect

from aesm2.checkpoint import load
from tests.browser.conftest import ROOT, Visit


def feature(name: str) -> int:
    described = load(ROOT / "checkpoints" / "kuairand", "cpu").description
    return list(described.fields).index(name)


def test_a_click_on_a_feature_shows_its_values(visit: Visit) -> None:
    visitor = visit().open("data", drift="splits")
    chosen = feature("user_past_count")
    visitor.click_until(
        "data-drift", chosen, lambda ms: visitor.shows(ms, feature="user_past_count")
    )
    expect(visitor.chosen("feature")).to_have_value("user_past_count")
    expect(visitor.page.get_by_text("Values of user_past_count")).to_be_visible()


def test_a_row_leads_into_the_lens(visit: Visit) -> None:
    visitor = visit().open("data", rows="validation", y__ctcvr="1", s__tab="6")
    table = visitor.page.locator('[class*="st-key-data-rows-"] canvas').first
    table.evaluate("canvas => canvas.scrollIntoView({block: 'center'})")
    box = table.bounding_box()
    assert box is not None
    visitor.page.mouse.click(box["x"] + 18, box["y"] + 54)  # the box before the first row
    visitor.page.get_by_role("button", name="in the Lens").click()
    expect(visitor.page.get_by_role("heading", name="Instance Lens")).to_be_visible()
    visitor.ready()
    assert visitor.path == "/lens"
    view = visitor.view
    assert view["rows"] == "validation"
    expect(visitor.page.get_by_role("heading", name=f"Row {view['row']}")).to_be_visible()
    labels = visitor.page.get_by_test_id("stMetricDelta").filter(has_text="label 1")
    expect(labels).to_have_count(2)
