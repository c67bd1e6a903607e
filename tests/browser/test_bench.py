"""The Bench: choices change the table and its charts, and the address follows."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit


def test_a_cell_and_the_papers_table(visit: Visit) -> None:
    visitor = visit().open("bench", study="hand")
    expect(visitor.keyed("bench-verdict")).to_contain_text("best mean in 1 of 5 cells")
    visitor.chosen("cell").evaluate("input => input.scrollIntoView({block: 'center'})")
    visitor.pick("cell", "it · CTR")
    visitor.shows(cell="it · CTR")
    expect(visitor.page.get_by_text("AESM² minus each model: it · CTR")).to_be_visible()
    visitor.ready()
    hollow = visitor.page.locator('[class*="st-key-chart-bench-forest"] .point')
    expect(hollow).to_have_count(4)
    visitor.chosen("ids").evaluate("input => input.scrollIntoView({block: 'center'})")
    visitor.pick("ids", "with ids")
    visitor.shows(ids="with")
    expect(visitor.keyed("bench-verdict")).to_contain_text("the only baseline")
    visitor.page.get_by_text("What the paper printed").click()
    expect(visitor.page.get_by_text("numbers on other data")).to_be_visible()
