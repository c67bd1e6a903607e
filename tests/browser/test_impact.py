"""The Impact page: another model to compare with, and the address follows."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit


def test_another_model_to_compare_with(visit: Visit) -> None:
    visitor = visit().open("impact", study="hand")
    expect(visitor.keyed("impact-tiles")).to_contain_text("of +500 possible")
    expect(visitor.keyed("impact-assumptions")).to_contain_text("This is not an A/B test")
    visitor.pick("instead", "Shared MLP")
    visitor.shows(instead="mlp")
    expect(visitor.page.get_by_text("Clicks: AESM² instead of Shared MLP")).to_be_visible()
    visitor.ready()
    marks = visitor.page.locator('[class*="st-key-chart-impact-clicks"] .point')
    expect(marks).to_have_count(6)
