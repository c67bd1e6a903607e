"""The Training Lab, by hand: from a cold start to a checkpoint that the Lens opens."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE, Visit, Visitor

STEP = re.compile(r"Step\D*([\d,]+)")


def step(visitor: Visitor) -> int:
    """The step that the page shows; 0 before the first record."""
    shown = visitor.keyed("lab-facts")
    if shown.count() == 0:
        return 0
    found = STEP.search(shown.inner_text())
    return int(found.group(1).replace(",", "")) if found else 0


def until(visitor: Visitor, true: Callable[[], bool]) -> None:
    """Wait, as somebody does who looks at the page."""
    for _ in range(2 * PATIENCE // 500):
        if true():
            return
        visitor.page.wait_for_timeout(500)
    pytest.fail("it never came")


def status(visitor: Visitor, is_: str) -> None:
    heading = visitor.page.get_by_role("heading", name=f"browser: {is_}")
    expect(heading).to_be_visible(timeout=2 * PATIENCE)


def press(visitor: Visitor, key: str) -> None:
    """Press a button of the part that is drawn anew every two seconds."""
    visitor.keyed(key).get_by_role("button").click()


def fill(visitor: Visitor, key: str, value: str) -> None:
    box = visitor.keyed(key).locator("input")
    box.fill(value)
    box.press("Enter")
    visitor.ready()


@pytest.mark.timeout(900)  # it trains
def test_train_watch_pause_reload_resume_stop_promote_and_open(visit: Visit) -> None:
    visitor = visit().open("lab", lab__data="alipay_sim")
    page = visitor.page
    expect(page.get_by_text("No run yet.")).to_be_visible()
    fill(visitor, "lab-alipay-sim-epochs", "200")
    fill(visitor, "lab-alipay-sim-patience", "1000")
    fill(visitor, "lab-alipay-sim-evaluate_every", "5")
    fill(visitor, "lab-name-alipay_sim-1", "browser")
    press(visitor, "lab-start")
    until(visitor, lambda: step(visitor) > 0)
    first = step(visitor)
    until(visitor, lambda: step(visitor) > first)  # live: nobody touched the page
    visitor.screenshot("lab-live")
    press(visitor, "lab-pause")
    status(visitor, "paused")
    paused = step(visitor)
    page.reload()
    visitor.ready()
    status(visitor, "paused")
    assert step(visitor) == paused
    expect(visitor.keyed("chart-lab-losses")).to_be_visible()
    press(visitor, "lab-resume")
    until(visitor, lambda: step(visitor) > paused)
    press(visitor, "lab-stop-and-keep")
    status(visitor, "stopped")
    expect(page.get_by_text("Promote to a checkpoint")).to_be_visible()  # the page is whole again
    visitor.ready()
    visitor.pick("lab-part", "Experts")
    visitor.ready()
    for chart in ("lab-moving", "lab-flows", "lab-roles", "lab-saturation"):
        expect(visitor.keyed(f"chart-{chart}")).to_be_visible()
    visitor.screenshot("lab-experts")
    page.get_by_role("button", name="Promote", exact=False).last.click()
    expect(page.get_by_text("It is in the bar above")).to_be_visible(timeout=2 * PATIENCE)
    page.get_by_role("link", name="Open it in the Lens").click()
    expect(page.get_by_role("heading", name="Instance Lens")).to_be_visible(timeout=2 * PATIENCE)
    visitor.ready()
    expect(visitor.chosen("checkpoint")).to_have_value("browser")
    visitor.open("lab", checkpoint="browser")
    page.get_by_text("Your checkpoints").click()
    visitor.keyed("lab-remove-browser").get_by_role("button").click()
    expect(page.get_by_text("was removed")).to_be_visible()
    expect(visitor.chosen("checkpoint")).to_have_value("kuairand")
