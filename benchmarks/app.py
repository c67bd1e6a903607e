"""How long the app takes, as a person sees it: in Chromium, from a click to the last chart drawn.

python -m benchmarks.app [--rounds 10] [--bare-as-ours] [--while-training]

Beside it stands a bare Streamlit app that draws the same figures and nothing else
(`benchmarks.bare`), as Streamlit comes: with a garbage collection and a look at changed files after
each run. --bare-as-ours turns these off for it too, as our `.streamlit/config.toml` does. Every
page of both is opened once (first visit), then page switches and widget changes are timed in turns,
one of the app and one of the bare one; the ratio is of the medians. A time ends when the script has
run and every chart of the page is there. The start is from the launch of the server to the first
page drawn. With --while-training widget changes are timed in turns, idle and while the Training Lab
trains.
"""

import argparse
import contextlib
import functools
import json
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, sync_playwright

from aesm2.config import read_config
from aesm2.lab.job import Job, Wish
from aesm2.lab.queue import Lab
from benchmarks.client import Visitor
from benchmarks.harness import ROOT, header, table
from benchmarks.served import served

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
STEPS = ("start", "first visit", "page switch", "widget change")
AS_IT_COMES = ("--runner.postScriptGC", "true", "--server.fileWatcherType", "auto")
BLOCKS = 2  # of each kind, for every page
CHOSEN = "task => new URLSearchParams(location.search).get('task') === task"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--bare-as-ours", action="store_true")
    parser.add_argument("--while-training", action="store_true")
    asked = parser.parse_args()
    rounds = asked.rounds
    with (
        tempfile.TemporaryDirectory(prefix="aesm2-app-") as home,
        sync_playwright() as playwright,
    ):
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments
        )
        if asked.while_training:
            with served(more={"AESM2_LAB": home}) as server:
                lines = _beside_training(_tab(browser), server.url, rounds, Lab(Path(home)))
            columns = ["page", "idle", "while it trains", "ratio of medians"]
        else:
            lines = _beside_bare(browser, rounds, Path(home), asked.bare_as_ours)
            columns = ["step", "page", "app", "bare Streamlit", "ratio of medians"]
        browser.close()
    print(f"Seconds, median (95th percentile) of {rounds}; {header()}\n")
    print(table(columns, lines, words=1 if asked.while_training else 2))


def _tab(browser: Browser) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(120_000)
    return page


def _beside_bare(browser: Browser, rounds: int, home: Path, as_ours: bool) -> list[list[str]]:
    """Time the app and the bare one in turns."""
    write_figures(home / "figures.json")
    bare = {"AESM2_BARE": str(home / "figures.json"), "PYTHONPATH": str(ROOT)}
    times: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    with contextlib.ExitStack() as open_:
        tabs = {}
        for kind, script, more, options in (
            ("app", "app/main.py", {"AESM2_LAB": str(home)}, ()),
            ("bare", "benchmarks/bare.py", bare, () if as_ours else AS_IT_COMES),
        ):
            began = time.perf_counter()
            server = open_.enter_context(served(*options, script=script, more=more))
            tabs[kind] = (_tab(browser), server.url)
            _visit(*tabs[kind], "Home")
            times["start", "Home", kind].append(time.perf_counter() - began)
        for name in PAGES:
            _steps(tabs, name, rounds, times)
    keys = dict.fromkeys((step, name) for step, name, _ in times)
    return [_compared(step, name, times[step, name, "app"], times[step, name, "bare"])
            for step, name in sorted(keys, key=lambda key: STEPS.index(key[0]))]  # fmt: skip


def _steps(
    tabs: dict[str, tuple[Page, str]], name: str, rounds: int,
    times: dict[tuple[str, str, str], list[float]],
) -> None:  # fmt: skip
    other = "Home" if name != "Home" else "Instance Lens"
    for kind, (page, url) in tabs.items():
        if name != "Home":
            first = _timed(functools.partial(_visit, page, url, name))
            times["first visit", name, kind].append(first)
        for heading in (other, name):  # both are in the caches from here on
            _switch(page, heading)
        _changes(page, 2)
    for number in range(rounds):
        for kind, (page, _) in list(tabs.items())[:: 1 if number % 2 else -1]:
            page.bring_to_front()
            _switch(page, other)
            times["page switch", name, kind].append(_timed(functools.partial(_switch, page, name)))
            times["widget change", name, kind] += _changes(page, 1, number)


def _compared(step: str, name: str, app: list[float], bare: list[float]) -> list[str]:
    ratio = statistics.median(app) / statistics.median(bare)
    if len(app) == 1:
        return [step, name, f"{app[0]:.2f}", f"{bare[0]:.2f}", f"{ratio:.2f}"]
    return [step, name, _summary(app), _summary(bare), f"{ratio:.2f}"]


def write_figures(file: Path) -> None:
    """Write the figures that the app draws on every page for every task, as `bare` reads them."""
    found: dict[str, dict[str, list[str]]] = {}
    with served() as server, Visitor(server.url) as visitor:
        for name, (path, _) in PAGES.items():
            for task in TASKS:
                visitor.open(path, f"task={task}")
                found.setdefault(name, {})[task] = visitor.shown.charts
    file.write_text(json.dumps(found), encoding="utf-8")


def _visit(page: Page, url: str, name: str) -> None:
    page.goto(f"{url}/{PAGES[name][0]}")
    page.get_by_role("heading", name=PAGES[name][1]).wait_for()
    page.wait_for_function(READY)


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


def _changes(page: Page, count: int, start: int = 0) -> list[float]:
    found = []
    for number in range(start, start + count):
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


if __name__ == "__main__":
    main()
