"""Story mode: all eight steps by keyboard, forth and back, and out again."""

from playwright.sync_api import expect

from app.story.parts import CHAPTERS
from tests.browser.conftest import IDLE, Visit, Visitor

CHARTS = (2, 1, 1, 2, 1, 1, 2, 1)  # of each step


def shown(visitor: Visitor, number: int) -> None:
    """Wait until a step is there, all its charts drawn."""
    heading = visitor.page.get_by_role("heading", level=2)
    expect(heading).to_have_text(CHAPTERS[number].title)
    expect(visitor.page.locator(IDLE)).to_have_count(1)
    plots = visitor.page.locator('[class*="st-key-chart-story-"] .js-plotly-plot .main-svg')
    expect(visitor.page.locator('[class*="st-key-chart-story-"]')).to_have_count(CHARTS[number])
    expect(plots.first).to_be_visible()
    assert visitor.fits()
    visitor.sound()


def test_the_story_by_keyboard(visit: Visit) -> None:
    visitor = visit()
    visitor.page.set_default_timeout(120_000)
    visitor.page.goto(f"{visitor.url}/atlas?checkpoint=alipay-sim&mode=story&notes=on")
    heading = visitor.page.get_by_role("heading", level=2)
    expect(heading).to_have_text(CHAPTERS[0].title, timeout=300_000)  # all is prepared before
    expect(visitor.keyed("global-bar")).to_have_count(0)
    for number in range(8):
        shown(visitor, number)
        expect(visitor.keyed("story-notes")).to_contain_text("For the speaker")
        if number < 7:
            visitor.page.keyboard.press("ArrowRight")
    for number in (6, 5):
        visitor.page.keyboard.press("ArrowLeft")
        shown(visitor, number)
    visitor.shows(step="6", mode="story", checkpoint="alipay-sim")
    visitor.keyed("story-leave").get_by_role("button").click()
    expect(heading.first).to_contain_text("Utilisation Atlas")
    visitor.ready()
    visitor.sound()
