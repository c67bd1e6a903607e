"""A visitor of the app without a browser: Streamlit's own messages over a real web socket."""

import contextlib
import http.cookiejar
import random
import time
import urllib.request
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

PATIENCE = 180.0  # seconds that one run of a page may take


@dataclass
class Select:
    """A select box as it was drawn last."""

    id: str
    label: str
    options: tuple[str, ...]
    chosen: str


@dataclass
class Page:
    """What the last run of the script drew."""

    charts: list[str] = field(default_factory=list)  # figures as JSON
    selects: list[Select] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)  # in boxes of any kind
    bytes: int = 0


class Visitor:
    """One session, until the end of a `with`; each step waits for its run and returns seconds."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        jar = http.cookiejar.CookieJar()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        opener.open(f"{url}/_stcore/health", timeout=PATIENCE).read()
        cookies = {cookie.name: cookie.value or "" for cookie in jar}
        token = cookies.get("_streamlit_xsrf", "")
        self._end = contextlib.ExitStack()
        connecting = connect(
            f"ws://{parts.netloc}/_stcore/stream",
            origin=Origin(f"http://{parts.netloc}"),
            subprotocols=[Subprotocol(name) for name in ("streamlit", token) if name],
            additional_headers={"Cookie": "; ".join(f"{n}={v}" for n, v in cookies.items())},
            max_size=None, open_timeout=PATIENCE, ping_interval=None, proxy=None,
        )  # fmt: skip
        self._socket = self._end.enter_context(connecting)
        self._pages: dict[str, str] = {}
        self._widgets: dict[str, str] = {}
        self._query, self._page = "", ""
        self.shown = Page()

    def __enter__(self) -> "Visitor":
        return self

    def __exit__(self, *_: object) -> None:
        self._end.close()

    def open(self, page: str, query: str = "") -> float:
        """Go to a page by its path, "" for the first."""
        self._query, self._widgets = query, {}
        message = BackMsg()
        if page in self._pages:
            message.rerun_script.page_script_hash = self._pages[page]
        else:
            message.rerun_script.page_name = page
        seconds = self._run(message)
        self._page = self._pages.get(page, "")
        return seconds

    def choose(self, select: Select, option: str) -> float:
        """Choose an option of a select box."""
        self._widgets[select.id] = option
        message = BackMsg()
        message.rerun_script.page_script_hash = self._page
        return self._run(message)

    def change(self, chance: random.Random) -> float | None:
        """Choose another option of some select box; None where nothing can be chosen."""
        able = [own for own in self.shown.selects if len(own.options) > 1]
        if not able:
            return None
        select = chance.choice(able)
        return self.choose(select, chance.choice([o for o in select.options if o != select.chosen]))

    def _run(self, message: BackMsg) -> float:
        message.rerun_script.query_string = self._query
        for id_, value in self._widgets.items():
            state = message.rerun_script.widget_states.widgets.add()
            state.id, state.string_value = id_, value
        self.shown = Page()
        began = time.perf_counter()
        self._socket.send(message.SerializeToString())
        while not self._finished(began):
            pass
        return time.perf_counter() - began

    def _finished(self, began: float) -> bool:
        """Take one message; whether it ends the run."""
        data = self._socket.recv(timeout=max(0.0, began + PATIENCE - time.perf_counter()))
        content = data.encode() if isinstance(data, str) else data
        found = ForwardMsg.FromString(content)
        self.shown.bytes += len(content)
        kind = found.WhichOneof("type")
        if kind == "navigation":
            self._pages = {page.url_pathname: page.page_script_hash
                           for page in found.navigation.app_pages}  # fmt: skip
            self._pages[""] = next(
                page.page_script_hash for page in found.navigation.app_pages if page.is_default
            )
        elif kind == "page_info_changed":
            self._query = found.page_info_changed.query_string
        elif kind == "delta" and found.delta.WhichOneof("type") == "new_element":
            self._element(found.delta.new_element)
        elif kind == "script_finished":
            return found.script_finished in (
                ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_WITH_COMPILE_ERROR
            )  # fmt: skip
        return False

    def _element(self, element: object) -> None:
        kind = element.WhichOneof("type")  # type: ignore[attr-defined]
        own = getattr(element, kind)
        if kind == "plotly_chart":
            self.shown.charts.append(own.spec)
        elif kind == "selectbox":
            value = own.raw_value or (own.options[own.default] if own.options else "")
            self.shown.selects.append(Select(own.id, own.label, tuple(own.options), value))
        elif kind == "exception":
            self.shown.errors.append(own.message)
        elif kind == "alert":
            self.shown.said.append(own.body)
            if own.format == own.ERROR:
                self.shown.errors.append(own.body)
