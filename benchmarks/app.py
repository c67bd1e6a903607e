"""How long the app takes, as a person sees it: in Chromium, from a click to the last chart drawn.

python -m benchmarks.app [--rounds 10]

Every page is opened once to fill the caches (first), then its switches and widget changes are
timed. A time ends when the script has run and every chart of the page is there.
"""

import argparse
import functools
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Locator, Page, sync_playwright

from benchmarks.harness import ROOT, header, table

PAGES = {  # path, heading
    "Home": ("", "What am I looking at?"),
    "Instance Lens": ("lens", "Instance Lens: why these experts?"),
    "Utilisation Atlas": ("atlas", "Utilisation Atlas: who uses what?"),
    "Training curves": ("curves", "Training curves: how did it get there?"),
}
READY = """() => document.querySelector('[data-test-script-state="notRunning"]')
  && document.querySelector('.st-key-global-bar')
  && [...document.querySelectorAll('[class*="st-key-chart-"]')]
       .every(c => c.querySelector('.js-plotly-plot .main-svg'))"""
TASKS = ("ctr", "ctcvr")
CHOSEN = "task => new URLSearchParams(location.search).get('task') === task"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    with _server() as url, sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        lines = [_measured(page, url, name, rounds) for name in PAGES]
        browser.close()
    print(f"Seconds, median (95th percentile) of {rounds}; {header()}\n")
    print(table(["page", "first visit", "page switch", "widget change"], lines))


def _measured(page: Page, url: str, name: str, rounds: int) -> list[str]:
    first = _timed(lambda: (page.goto(f"{url}/{PAGES[name][0]}"), page.wait_for_function(READY)))
    other = "Home" if name != "Home" else "Instance Lens"
    switches, changes = [], []
    for _ in range(rounds):
        _switch(page, other)
        switches.append(_timed(lambda: _switch(page, name)))
    for number in range(rounds):
        page.locator(".st-key-view-task input").click()
        option = page.get_by_role("option").nth(number % 2)
        option.hover()
        changes.append(_timed(functools.partial(_change, page, option, TASKS[number % 2])))
    return [name, f"{first:.2f}", _summary(switches), _summary(changes)]


def _switch(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()
    page.get_by_role("heading", name=PAGES[name][1]).wait_for()
    page.wait_for_function(READY)


def _change(page: Page, option: Locator, task: str) -> None:
    """Choose another task in the global bar."""
    option.click()
    page.wait_for_function(CHOSEN, arg=task)
    page.wait_for_function(READY)


def _timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def _summary(seconds: list[float]) -> str:
    high = sorted(seconds)[max(0, -(-95 * len(seconds) // 100) - 1)]
    return f"{statistics.median(seconds):.2f} ({high:.2f})"


@contextmanager
def _server() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app/main.py", "--server.port", str(port)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet) as server:
        try:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1)
                    break
                except (urllib.error.URLError, OSError):
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
