"""Paper and audit: open an equation, follow a table to its page."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit


def test_an_equation_and_the_way_to_a_page(visit: Visit) -> None:
    visitor = visit().open("paper", paper__scope="layer")
    expect(visitor.page.get_by_text("all agree within 1e-5")).to_be_visible()
    visitor.keyed("paper-eq-14").locator("summary").click()
    expect(visitor.keyed("paper-eq-14").locator(".katex-display")).to_be_visible()
    expect(visitor.keyed("paper-eq-14")).to_contain_text("aesm2.layers.selection:select")
    visitor.chosen("paper-show").scroll_into_view_if_needed()  # scrolling closes an open list
    visitor.ready()
    visitor.pick("paper-show", "tables")
    visitor.shows(paper__show="tables", paper__scope="layer")
    expect(visitor.keyed("paper-eq-14")).to_have_count(0)
    visitor.ready()
    visitor.keyed("paper-table-9").locator("summary").click()
    visitor.keyed("paper-table-9").get_by_role("link", name="See it on Impact").click()
    expect(visitor.page.get_by_role("heading", level=2).first).to_contain_text("Impact")
    assert visitor.path == "/impact"
