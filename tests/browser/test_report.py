"""Charts of two pages are pinned, ordered, commented, and opened as a file without a server."""

import time
from pathlib import Path

from playwright.sync_api import Browser, Download, expect

from tests.browser.conftest import PATIENCE, Visit

DRAWN = """
() => [...document.querySelectorAll('.chart')].map(box => [
  box.parentElement.querySelector('h2').textContent,
  box.querySelectorAll('.point, .points path, .lines path, .hm, image').length])
"""
INK = "() => getComputedStyle(document.querySelector('.xtick text, .x3tick text')).fill"


def test_pin_order_comment_and_take_away(visit: Visit, browser: Browser, tmp_path: Path) -> None:
    visitor = visit().open("curves", compare="none")
    page = visitor.page
    for key in ("curves-losses-1-step", "curves-use"):
        page.locator(f'[class*="st-key-pin-{key}"] button:visible').first.click()
        visitor.ready()
    visitor.go("Home")
    expect(page.get_by_role("heading", name="What am I looking at?")).to_be_visible()
    visitor.ready()
    page.locator('[class*="st-key-pin-home-metrics"] button:visible').click()
    badge = visitor.keyed("global-bar").get_by_role("link", name="Report: 3")
    expect(badge).to_be_visible()
    badge.click()
    visitor.ready()
    expect(page.locator(".js-plotly-plot")).to_have_count(3)
    page.locator('[class*="st-key-report-up-"] button:visible').last.click()
    page.locator('[class*="st-key-report-remove-"] button:visible').first.click()
    expect(page.get_by_text("was taken out")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    words = page.get_by_label("Comment").first
    words.fill("Best in <b>tab 4</b>")
    words.press("Control+Enter")
    visitor.ready()
    visitor.screenshot("report-pinned")
    caught: list[Download] = []
    page.on("download", lambda download: caught.append(download))

    def seen(patience: int) -> None:
        until = time.monotonic() + patience / 1000
        while not caught and time.monotonic() < until:
            page.wait_for_timeout(50)
        assert caught

    visitor.repeat(page.get_by_role("button", name="HTML").click, seen)
    file = tmp_path / caught[0].suggested_filename
    caught[0].save_as(file)
    assert file.name == "Report.html"
    _offline(browser, file)


def _offline(browser: Browser, file: Path) -> None:
    """Open the file without a network and in the dark: both charts are drawn, dark ink on paper."""
    context = browser.new_context(offline=True, color_scheme="dark")
    page, problems, asked = context.new_page(), [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.set_default_timeout(PATIENCE)
    page.goto(file.as_uri())
    page.wait_for_selector("body[data-drawn=all]", state="attached")
    (first, some), (second, more) = page.evaluate(DRAWN)
    assert first.startswith("1. AUC × 100")
    assert second.startswith("2. Who used which experts")
    assert min(some, more) > 0
    expect(page.locator(".comment")).to_have_text("Best in <b>tab 4</b>")
    light = page.evaluate(INK)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(INK) != light == "rgb(230, 234, 240)"
    assert problems == []
    assert asked == [file.as_uri()]
    context.close()
