"""The Relations page: another task changes the trees, and the address follows."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit


def test_the_trees_of_another_task(visit: Visit) -> None:
    visitor = visit().open("relations", study="hand")
    says = visitor.keyed("relations-says")
    expect(says).to_contain_text("Distances of 3 scenarios: Spearman's ρ = 1.00")
    lines = visitor.page.locator('[class*="st-key-chart-relations-trees"] .js-line')
    expect(lines).to_have_count(2 + 2 + 3)
    visitor.chosen("relations-task").evaluate("input => input.scrollIntoView({block: 'center'})")
    visitor.pick("relations-task", "CTCVR")
    visitor.shows(relations__task="ctcvr")
    expect(says).to_contain_text("Left out, since a figure of theirs is undefined: it.")
    visitor.ready()
    expect(lines).to_have_count(1 + 1 + 2)
