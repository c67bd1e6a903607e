"""How long the app takes, as a person sees it: in Chromium, from a click to the last chart drawn.

python -m benchmarks.app [--rounds 10] [--while-training]

Every page is opened once to fill the caches (first), then its switches and widget changes are
timed. A time ends when the script has run and every chart of the page is there. With
--while-training widget changes are timed in turns, idle and while the Training Lab trains, and the
ratio of the medians is printed.
"""

import argparse
import functools
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, sync_playwright

from aesm2.config import read_config
from aesm2.lab.job import Job, Wish
from aesm2.lab.queue import Lab
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
BLOCKS = 2  # of each kind, for every page
CHOSEN = "task => new URLSearchParams(location.search).get('task') === task"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--while-training", action="store_true")
    asked = parser.parse_args()
    rounds = asked.rounds
    with (
        tempfile.TemporaryDirectory(prefix="aesm2-lab-") as lab,
        _server(Path(lab)) as url,
        sync_playwright() as playwright,
    ):
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        if asked.while_training:
            columns = ["page", "idle", "while it trains", "ratio of medians"]
            lines = _beside_training(page, url, rounds, Lab(Path(lab)))
        else:
            columns = ["page", "first visit", "page switch", "widget change"]
            lines = [_measured(page, url, name, rounds) for name in PAGES]
        browser.close()
    print(f"Seconds, median (95th percentile) of {rounds}; {header()}\n")
    print(table(columns, lines))


def _measured(page: Page, url: str, name: str, rounds: int) -> list[str]:
    first = _timed(lambda: (page.goto(f"{url}/{PAGES[name][0]}"), page.wait_for_function(READY)))
    other = "Home" if name != "Home" else "Instance Lens"
    switches = []
    for _ in range(rounds):
        _switch(page, other)
        switches.append(_timed(lambda: _switch(page, name)))
    changes = _changes(page, rounds)
    return [name, f"{first:.2f}", _summary(switches), _summary(changes)]


def _beside_training(page: Page, url: str, rounds: int, lab: Lab) -> list[list[str]]:
    """Time widget changes of every page in blocks that alternate: idle, while a run trains."""
    config = read_config(ROOT / "configs" / "kuairand.toml")
    long = config.training.model_copy(update={"epochs": 1000, "patience": 100_000})
    job = lab.submit("beside", ROOT / "data_samples" / "kuairand_pure",
                     config.model_copy(update={"training": long}), "cpu")  # fmt: skip
    lab.wish(job, Wish.PAUSE)
    times: dict[tuple[str, bool], list[float]] = {}
    for name in PAGES:
        page.goto(f"{url}/{PAGES[name][0]}")
        page.wait_for_function(READY)
        _changes(page, 4)  # fill the caches
        for block in range(2 * BLOCKS):
            training = block % 2 == 1
            _train(lab, job, training)
            times.setdefault((name, training), []).extend(_changes(page, rounds // BLOCKS))
    _train(lab, job, False)
    lines = []
    for name in PAGES:
        idle, busy = times[name, False], times[name, True]
        ratio = statistics.median(busy) / statistics.median(idle)
        lines.append([name, _summary(idle), _summary(busy), f"{ratio:.2f}"])
    return lines


def _train(lab: Lab, job: Job, wanted: bool) -> None:
    """Let the run train, until it takes steps, or not."""
    lab.wish(job, Wish.RUN if wanted else Wish.PAUSE)
    lab.tend()
    history = job.folder / "history.jsonl"
    size = history.stat().st_size if history.exists() else 0
    while wanted and (not history.exists() or history.stat().st_size <= size):
        time.sleep(0.2)
    while not wanted and job.holder() is not None:
        time.sleep(0.2)


def _changes(page: Page, count: int) -> list[float]:
    found = []
    for number in range(count):
        page.locator(".st-key-view-task input").click()
        option = page.get_by_role("option").nth(number % 2)
        option.hover()
        found.append(_timed(functools.partial(_change, page, option, TASKS[number % 2])))
    return found


def _switch(page: Page, name: str) -> None:
    _menu(page, name)
    page.get_by_role("heading", name=PAGES[name][1]).wait_for()
    page.wait_for_function(READY)


def _menu(page: Page, name: str) -> None:
    """Home stands in the menu, the other pages below its headings."""
    if name == "Home":
        page.get_by_test_id("stTopNavLink").click()
        return
    page.get_by_test_id("stTopNavSection").filter(has_text="See").click()
    page.get_by_role("menuitem", name=name, exact=True).click()


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
def _server(lab: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app/main.py", "--server.port", str(port)]
    quiet = subprocess.DEVNULL
    environment = os.environ | {"AESM2_LAB": str(lab)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet) as server:
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
