"""Every page draws real content, light and dark, wide and narrow."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit, Visitor

PAGES = {  # path: what its heading holds, and the least number of charts
    "": ("What am I looking at?", 2),
    "data": ("Data: what is the model trained on?", 5),
    "lens": ("Instance Lens", 8),
    "geometry": ("Selection Geometry", 5),
    "atlas": ("Utilisation Atlas", 2),
    "routing_drift": ("Routing drift", 3),
    "experts": ("Expert cards", 6),
    "compare": ("Compare checkpoints", 3),
    "curves": ("Training curves", 3),
    "slices": ("Slices: where is it wrong", 2),
    "interventions": ("Interventions", 2),
    "attribution": ("Attribution", 1),
    "bench": ("Bench", 6),
    "relations": ("Relations", 5),
    "impact": ("Impact", 3),
    "report": ("Report: take it away", 0),
    "paper": ("Paper and audit", 1),
    "story": ("Many doors to one service", 2),
}
NAMES = {
    "data": "Data",
    "lens": "Instance Lens",
    "atlas": "Utilisation Atlas",
    "curves": "Training curves",
    "slices": "Slices",
    "bench": "Bench",
    "relations": "Relations",
    "impact": "Impact",
    "report": "Report",
    "geometry": "Selection Geometry",
    "interventions": "Interventions",
    "attribution": "Attribution",
    "routing_drift": "Routing drift",
    "experts": "Expert cards",
    "compare": "Compare checkpoints",
    "paper": "Paper and audit",
    "story": "Story",
}
WIDE = ("", "lens", "atlas", "curves")
BACKGROUND = {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 20, 25)"}


def marks(visitor: Visitor) -> list[int]:
    """Number of drawn marks of each chart: points, bars, lines, cells."""
    found: list[int] = visitor.page.evaluate(
        "() => [...document.querySelectorAll('.js-plotly-plot')].map(g =>"
        " g.querySelectorAll('.point, .points path, .lines path, .hm, .js-line').length)"
    )
    return found


@pytest.mark.timeout(600)  # many pages
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (400, "dark")])
def test_every_page_shows_its_content(visit: Visit, width: int, theme: str) -> None:
    """All pages narrow and dark; wide and light those that no other browser test opens so."""
    visitor = visit(width, theme)
    for path, (heading, charts) in PAGES.items():
        if width > 400 and path not in WIDE:
            continue
        visitor.open(path)
        expect(visitor.page.get_by_role("heading", level=2).first).to_contain_text(heading)
        assert len(marks(visitor)) >= charts, path
        assert min(marks(visitor), default=1) > 0, f"{path}: an empty chart"
        app = visitor.page.locator('[data-testid="stApp"]')
        expect(app).to_have_css("background-color", BACKGROUND[theme])
        assert visitor.fits(), f"{path} scrolls sideways at {width} px"
        visitor.screenshot(f"{path or 'home'}-{theme}-{width}")
        visitor.sound()


def test_the_menu_has_every_page_and_leads_there(visit: Visit) -> None:
    visitor = visit().open()
    titles = []
    for section in visitor.page.get_by_test_id("stTopNavSection").all():
        section.click()
        expect(visitor.page.get_by_role("menuitem").first).to_be_visible()
        names = visitor.page.get_by_test_id("stTopNavDropdownLink").all_inner_texts()
        titles += [name.split("\n")[-1] for name in names]
        visitor.page.keyboard.press("Escape")
        expect(visitor.page.get_by_role("menuitem")).to_have_count(0)
    assert set(titles) == {*NAMES.values(), "Training Lab", "Your data"}
    for path in ("atlas", "slices", "report"):
        visitor.go(NAMES[path])
        expect(visitor.page.get_by_role("heading", level=2).first).to_contain_text(PAGES[path][0])
        visitor.ready()
        assert visitor.path == f"/{path}"
        visitor.sound()
