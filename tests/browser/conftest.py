"""A real browser against a real server: one of each for all the tests here.

Clicks go by what a point means (its customdata), waits by what must appear; nothing sleeps.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from aesm2.lab.job import Wish
from aesm2.lab.queue import Lab
from tests.evidence import made

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "artifacts" / "screenshots"
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
)  # fmt: skip
PATIENCE = 40_000  # ms; a first visit reads the dataset on a slow machine
IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'
ERROR = '[data-testid="stAlertContentError"]'
# On a deep link such as /lens Streamlit's own page asks first below that path where its server is.
PROBE = re.compile(r"/[a-z_]+/_stcore/(health|host-config)$")

# Finds a point by its customdata; returns where it is on the screen once it is in view.
FIND_POINT = """
([chart, wanted]) => {
  const g = document.querySelector(`[class*="st-key-chart-${chart}"] .js-plotly-plot`);
  if (!g || !g._fullLayout || !g._fullData) return null;
  for (const t of g._fullData) {
    const cells = t.customdata;
    if (!cells) continue;
    for (let i = 0; i < cells.length; i++) {
      const found = ArrayBuffer.isView(cells[i]) ? Array.from(cells[i]) : cells[i];
      if (JSON.stringify(found) !== wanted) continue;
      const layout = g._fullLayout;
      const axis = (name) => layout[name.replace(/^([xy])/, '$1axis')];
      const x = axis(t.xaxis), y = axis(t.yaxis);
      const main = document.querySelector('[data-testid="stMain"]');
      const at = () => {
        const box = g.getBoundingClientRect();
        return [box.left + x._offset + x.d2p(t.x[i]), box.top + y._offset + y.d2p(t.y[i])];
      };
      main.scrollTop += at()[1] - window.innerHeight / 2;
      return at();
    }
  }
  return null;
}
"""


class Visitor:
    """Somebody with a browser window of their own, and what went wrong in it."""

    def __init__(self, page: Page, url: str, pictures: bool = False) -> None:
        self.page, self.url, self.pictures = page, url, pictures
        self.problems: list[str] = []
        self.errors_expected = False
        page.set_default_timeout(PATIENCE)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(str(error)))

    def _console(self, message: ConsoleMessage) -> None:
        where = message.location.get("url", "")
        probe = where.startswith(self.url) and PROBE.search(where) and "404" in message.text
        if message.type == "error" and not probe:
            self.problems.append(f"{message.text} ({where})")

    def open(self, path: str = "", **view: str) -> "Visitor":
        """Go to a page with a view, by its address; s__tab stands for s-tab."""
        query = urlencode({name.replace("__", "-"): value for name, value in view.items()})
        self.page.goto(f"{self.url}/{path}{'?' if query else ''}{query}")
        self.ready()
        return self

    def go(self, name: str) -> None:
        """Go to a page by the menu: Home stands in it, the others below the headings."""
        home = self.page.get_by_test_id("stTopNavLink").filter(has_text=name)
        if home.count():
            home.click()
            return
        item = self.page.get_by_role("menuitem", name=name, exact=True)
        for section in self.page.get_by_test_id("stTopNavSection").all():
            section.click()
            expect(self.page.get_by_role("menuitem").first).to_be_visible()
            if item.count():
                item.click()
                return
            self.page.keyboard.press("Escape")
            expect(self.page.get_by_role("menuitem")).to_have_count(0)
        pytest.fail(f"the menu has no page '{name}'")

    def ready(self) -> None:
        """Wait until the script has run to its end and every chart is drawn."""
        expect(self.page.locator(".st-key-global-bar")).to_be_visible()
        expect(self.page.locator(IDLE)).to_have_count(1)
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('[class*=\"st-key-chart-\"]')]"
            ".every(c => c.querySelector('.js-plotly-plot .main-svg'))"
        )

    @property
    def view(self) -> dict[str, str]:
        """What the address holds."""
        found = parse_qs(urlsplit(self.page.url).query)
        return {name: values[0] for name, values in found.items()}

    @property
    def path(self) -> str:
        """Return the page of the address."""
        return urlsplit(self.page.url).path

    def shows(self, patience: int = PATIENCE, **view: str) -> None:
        """Wait until the address holds this, among others; patience: ms."""
        wanted = {name.replace("__", "-"): value for name, value in view.items()}
        check = "w => { const q = new URLSearchParams(location.search);" \
            " return Object.entries(w).every(([k, v]) => (q.get(k) ?? '') === v) }"  # fmt: skip
        self.page.wait_for_function(check, arg=wanted, timeout=patience)

    def keyed(self, key: str) -> Locator:
        """Return the element of a Streamlit key."""
        return self.page.locator(f".st-key-{key}")

    def chosen(self, name: str) -> Locator:
        """Return the input of a select box, whose value is what is chosen."""
        return self.keyed(f"view-{name}").locator("input")

    def pick(self, name: str, option: str) -> None:
        """Choose an option of a select box by what it says; open it again where it was redrawn."""
        wanted = self.page.get_by_role("option", name=option, exact=True)
        for _ in range(4):
            self.chosen(name).click()
            with contextlib.suppress(PlaywrightTimeout, AssertionError):
                expect(wanted).to_be_visible(timeout=PATIENCE // 8)
                wanted.click(timeout=PATIENCE // 8)
                return
            self.page.keyboard.press("Escape")
        pytest.fail(f"'{name}' offers no '{option}'")

    def click_point(self, chart: str, customdata: Any) -> None:
        """Click the point of a chart that stands for `customdata`."""
        self.ready()
        wanted = [chart, json.dumps(customdata, separators=(",", ":"), ensure_ascii=False)]
        handle = self.page.wait_for_function(FIND_POINT, arg=wanted)
        x, y = handle.json_value()
        again = self.page.evaluate(FIND_POINT, wanted)  # where it came to rest
        x, y = again or (x, y)
        self.page.mouse.move(x - 3, y - 3)
        self.page.mouse.move(x, y)
        hover = self.page.locator(f'[class*="st-key-chart-{chart}"] .hoverlayer .hovertext')
        expect(hover.first).to_be_visible()
        self.page.mouse.down()
        self.page.mouse.up()

    def click_until(self, chart: str, customdata: Any, seen: Callable[[int], object]) -> None:
        """Click a point until `seen`, which waits for as many ms as it is given, does not fail."""
        self.repeat(lambda: self.click_point(chart, customdata), seen)

    def repeat(self, click: Callable[[], object], seen: Callable[[int], object]) -> None:
        """Click until `seen`, which waits for as many ms as it is given, does not fail.

        A chart drawn anew under the mouse on a busy machine swallows a click; anybody would click
        again.
        """
        for _ in range(2):
            click()
            with contextlib.suppress(PlaywrightTimeout, AssertionError):
                seen(PATIENCE // 4)
                return
        click()
        seen(PATIENCE)

    def fits(self) -> bool:
        """Whether nothing makes the page scroll sideways."""
        return bool(
            self.page.evaluate(
                "() => { const m = document.querySelector('[data-testid=stMain]');"
                " return m.scrollWidth <= m.clientWidth + 1 }"
            )
        )

    def screenshot(self, name: str) -> None:
        """Save the whole page, however long, where --screenshots asks for pictures."""
        if not self.pictures:
            return
        size = self.page.viewport_size or {"width": 1280, "height": 900}
        tall = self.page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        self.page.set_viewport_size({"width": size["width"], "height": min(int(tall) + 80, 8000)})
        self.ready()
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")
        self.page.set_viewport_size(size)

    def sound(self) -> None:
        """Assert that nothing broke."""
        assert self.page.locator(".stException").count() == 0
        boxes = self.page.locator(ERROR).all_inner_texts()
        assert self.errors_expected or boxes == []
        assert self.problems == []


Visit = Callable[..., Visitor]


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app, served from a process of its own with an empty home and a folder of evidence."""
    with serving(tmp_path_factory.mktemp("home"), free_port()) as url:
        yield url


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def serving(home: Path, port: int, *options: str, **more: str) -> Iterator[str]:
    """Serve the app; options: of Streamlit. more: of the environment."""
    log = home / "server.log"
    command = ["-m", "streamlit", "run", "app/main.py", "--server.port", str(port), *options]
    made.write(home / "evidence" / "hand")
    environment = os.environ | {
        "HOME": str(home), "AESM2_DATA": str(home / "data"),
        "AESM2_EVIDENCE": str(home / "evidence"), "AESM2_LAB": str(home / "lab"),
        "AESM2_CHECKPOINTS": str(home / "checkpoints"), "OMP_NUM_THREADS": "1",
    } | more  # fmt: skip
    with (
        log.open("w") as out,
        subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=environment, stdout=out, stderr=out
        ) as server,
    ):
        try:
            _wait_for(f"http://127.0.0.1:{port}/_stcore/health", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            lab = Lab(home / "lab")
            for job in lab.jobs():
                lab.wish(job, Wish.STOP)


def _wait_for(health: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(health, timeout=1) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)  # the server is still importing
    pytest.fail(f"the app did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(found).exists():
        pytest.fail("the browser tests need Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE)
        started = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser, url: str, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """Open a window: visit(width=400, theme="dark"). What broke in it fails the test at its end."""
    visitors: list[Visitor] = []
    pictures = bool(request.config.getoption("--screenshots"))

    def opened(width: int = 1280, theme: str = "light") -> Visitor:
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=theme)  # type: ignore[arg-type]
        visitors.append(Visitor(context.new_page(), url, pictures))
        return visitors[-1]

    yield opened
    try:
        for visitor in visitors:
            visitor.sound()
    finally:
        for visitor in visitors:
            visitor.page.context.close()
