"""The Interventions page: every expert is knocked out, and a click on a cell does it."""

from playwright.sync_api import expect

from tests.browser.conftest import Visit


def test_a_cell_of_all_knock_outs_becomes_the_intervention(visit: Visit) -> None:
    visitor = visit().open("interventions", do__view="all", rows="validation", task="ctr")
    visitor.keyed("interventions-sweep").get_by_role("button").click()
    expect(visitor.keyed("interventions-worth")).to_contain_text("Of 20 experts")
    visitor.click_until(
        "interventions-auc-ctr", ["tab.1", 2, "all", "all"],
        lambda ms: visitor.shows(ms, do="out:tab.1.2"),
    )  # fmt: skip
    builder = visitor.keyed("interventions-builder")
    expect(builder).to_contain_text("Expert 2 of tab.1 is knocked out")
    visitor.ready()
    visitor.keyed("do-undo").get_by_role("button").click()
    expect(builder).to_contain_text("the model chooses as it was trained")
    visitor.sound()
