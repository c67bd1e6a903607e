"""The view: what the user is looking at, kept across pages and in the address.

A view maps short names to ids, all text. The address shows it, so copying the address reproduces
it. This is the only file that touches session state and query parameters.
"""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.markdown import escaped

_VIEW, _PUBLISHED, _OBJECTS = "view", "published", "objects"
_WHOLE = re.compile(r"[0-9]{1,18}")


def start() -> None:
    """Take the view from the address, on arrival and where the user went back or edited it."""
    address = st.query_params.to_dict()
    arrived = _VIEW not in st.session_state
    if arrived or (address and address != st.session_state.get(_PUBLISHED)):
        st.session_state[_VIEW] = address


def publish() -> None:
    """Write the view into the address."""
    view = {name: value for name, value in sorted(_view().items()) if value}
    if st.query_params.to_dict() != view:
        st.query_params.from_dict(view)
    st.session_state[_PUBLISHED] = view


def get(name: str, default: str = "") -> str:
    """Return the view's value of `name`."""
    return str(_view().get(name, default))


def put(**values: str) -> None:
    """Change the view; an empty value takes the name out of it."""
    view = dict(_view())
    for name, value in values.items():
        view.pop(name, None)
        if value:
            view[name] = value
    st.session_state[_VIEW] = view


def choice(name: str, options: Sequence[str], default: str) -> str:
    """Return the view's value of `name` if it is one of `options`, else `default`, saying so."""
    wanted = get(name, default)
    if wanted in options:
        return wanted
    said = f"“{wanted}” is not a {name} here; showing “{default}”."
    st.toast(escaped(said), icon=":material/info:")
    put(**{name: "" if default == "" else default})
    return default


def number(name: str, default: int, low: int, high: int) -> int:
    """Return the view's whole number of `name`, moved into bounds; default where it is none."""
    text = get(name)
    return min(max(int(text), low), high) if _WHOLE.fullmatch(text) else default


def bind(name: str, current: Any) -> dict[str, Any]:
    """Arguments that tie a widget to the view: `st.selectbox(label, options, **bind(name, now))`.

    The widget shows `current`; a change of it is stored in the view as text, several choices with
    commas between them and "none" for none.
    """
    key = f"view-{name}"
    st.session_state[key] = current
    return {"key": key, "on_change": _store, "args": (name, key)}


def address(page: str, **defaults: str) -> str:
    """Return path and query that bring the view back on a page; defaults: what else it holds."""
    view = {name: value for name, value in sorted({**defaults, **_view()}.items()) if value}
    return f"/{page}{'?' if view else ''}{urlencode(view)}"


def remember(name: str, value: Any) -> None:
    """Keep an object, such as uploaded rows, for this session only; never in the address."""
    st.session_state.setdefault(_OBJECTS, {})[name] = value


def recall(name: str) -> Any:
    """Return an object kept by `remember`, or None."""
    return st.session_state.get(_OBJECTS, {}).get(name)


def session() -> str:
    """Return the id of this browser session; "" outside of one."""
    context = get_script_run_ctx(suppress_warning=True)
    return "" if context is None else context.session_id


def seed(key: str, value: Any) -> str:
    """Give a widget its value where it has none, as after a visit to another page; return key."""
    st.session_state.setdefault(key, value)
    return key


def show(key: str, value: Any) -> str:
    """Make the widget of a key show a value, whatever it showed; return key."""
    st.session_state[key] = value
    return key


def entered(key: str) -> Any:
    """Return what stands in the widget of a key, for its callback; None where there is none."""
    return st.session_state.get(key)


def drawn(key: str) -> bool:
    """Whether the widget of a key was drawn in the last run and still holds its changes."""
    return key in st.session_state


def _view() -> dict[str, str]:
    view: dict[str, str] = st.session_state.get(_VIEW, {})
    return view


def _store(name: str, key: str) -> None:
    value = st.session_state[key]
    if isinstance(value, list):
        value = ",".join(value) or "none"
    put(**{name: "" if value is None else str(value)})
