"""The Attribution page: by group, and many rows in the background."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit, Visitor


def pick(visitor: Visitor, name: str, option: str) -> None:
    """Choose an option; a list that opens while the page scrolls would close again."""
    visitor.chosen(name).evaluate("input => input.scrollIntoView({block: 'center'})")
    visitor.pick(name, option)


def test_groups_and_then_many_rows(visit: Visit) -> None:
    visitor = visit().open(
        "attribution", layer="activity.1", attr__what="margin-shared", attr__count="64"
    )
    bars = visitor.page.locator('[class*="st-key-chart-attribution-row"] .point')
    expect(bars).to_have_count(21)  # of 43 features, the smallest in one
    title = "margin of the shared choice in activity.1"
    expect(visitor.page.get_by_role("heading", level=3).first).to_contain_text(title)
    pick(visitor, "attr-by", "group")
    visitor.shows(attr__by="group")
    expect(bars).to_have_count(3)
    visitor.ready()
    visitor.page.get_by_role("button", name="Start").click()
    means = visitor.page.locator('[class*="st-key-chart-attribution-means"] .point')
    expect(means.first).to_be_visible()
    visitor.ready()
    expect(visitor.page.get_by_text("64 rows. Delta, typical size")).to_be_visible()
