"""The address is the view: both ways, across pages, and in the browser's history."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit


def test_a_copied_address_shows_the_same_to_somebody_else(visit: Visit) -> None:
    here = visit().open("atlas")
    here.pick("measure", "mean mixing weight")
    here.shows(measure="weight")
    here.pick("grouping", "User activity")
    here.shows(grouping="activity")
    here.pick("s-tab", "4")
    here.shows(s__tab="4")
    here.pick("layer", "activity.1")
    here.shows(layer="activity.1")
    here.ready()
    there = visit()
    there.page.goto(here.page.url)
    there.ready()
    expect(there.chosen("measure")).to_have_value("mean mixing weight")
    expect(there.chosen("grouping")).to_have_value("User activity")
    expect(there.chosen("s-tab")).to_have_value("4")
    expect(there.chosen("layer")).to_have_value("activity.1")
    expect(there.page.get_by_text("Only rows of tab 4")).to_be_visible()
    assert there.view == here.view
    for visitor in (here, there):
        visitor.sound()


def test_the_view_goes_along_from_page_to_page(visit: Visit) -> None:
    visitor = visit().open("lens", s__tab="2", layer="task.1", task="ctr")
    for name in ("Utilisation Atlas", "Training curves", "Home", "Instance Lens"):
        visitor.go(name)
        visitor.shows(s__tab="2", layer="task.1", task="ctr")
        visitor.ready()
        expect(visitor.chosen("layer")).to_have_value("task.1")


def test_back_leads_to_the_page_before(visit: Visit) -> None:
    visitor = visit().open("atlas")
    visitor.pick("layer", "activity.1")
    visitor.shows(layer="activity.1")
    visitor.ready()
    visitor.go("Training curves")
    expect(visitor.page.get_by_role("heading", name="Training curves")).to_be_visible()
    visitor.shows(layer="activity.1")
    visitor.ready()
    visitor.page.go_back()
    visitor.shows(layer="activity.1")
    visitor.ready()
    if visitor.path != "/atlas":  # a change of page is two steps: Streamlit empties the query first
        visitor.page.go_back()
    expect(visitor.page.get_by_role("heading", name="Utilisation Atlas")).to_be_visible()
    visitor.shows(layer="activity.1")
    expect(visitor.chosen("layer")).to_have_value("activity.1")


def test_back_undoes_a_choice(visit: Visit) -> None:
    visitor = visit().open("atlas", layer="tab.1")
    visitor.pick("layer", "task.1")
    visitor.shows(layer="task.1")
    visitor.ready()
    visitor.page.go_back()
    visitor.shows(layer="tab.1")
    expect(visitor.chosen("layer")).to_have_value("tab.1")


@pytest.mark.parametrize(
    "path",
    [*(pytest.param(path, marks=pytest.mark.long) for path in ("", "curves")), "lens", "atlas"],
)
def test_a_hostile_address_breaks_nothing(visit: Visit, path: str) -> None:
    visitor = visit().open(
        path, layer="<script>alert(1)</script>", task="'; drop", s__tab="../..", checkpoint="nope",
        rows="upload:x", row="-1", expert="999", page="0", q="", nonsense="1",
    )  # fmt: skip
    expect(visitor.page.get_by_role("heading", level=2).first).to_be_visible()
    assert visitor.page.locator('[data-testid="stPlotlyChart"]').count() > 0 or path == "lens"
