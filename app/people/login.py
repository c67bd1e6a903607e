"""Logging in, where the operator set a provider up: the door before every page, and the way out."""

import importlib.util

import streamlit as st

from aesm2.errors import InputError
from app import log, widgets
from app.people import who
from app.people.settings import demo

NEEDS = ("authlib", "httpx")
_HELP = "A viewer looks at everything that is there; an analyst also trains, uploads and saves."


def gate() -> None:
    """Let nobody past who has to log in first, or may not use the app."""
    try:
        person = who.person()
    except InputError as error:  # a settings file that cannot be read lets nobody in
        st.error(f"This app is not set up right: {error}.", icon=":material/error:")
        st.stop()
    if person.role is not None:
        return
    st.header("AESM² Explorer", anchor=False)
    if person.id:
        log.event("turned away", person=person.id[:8])
        st.error(
            "You are logged in, but this app is not open to your account. Ask whoever runs it to"
            " let you in, or log in as somebody else.",
            icon=":material/block:",
        )
        st.button("Log out", on_click=st.logout, icon=":material/logout:", key="logout")
    else:
        _door()
    st.stop()


def badge() -> None:
    """Draw who is logged in, and the way out; nothing where nobody logs in."""
    person = who.person()
    if demo():
        st.badge("Demonstration", icon=":material/visibility:", color="gray", help=_HELP)
    elif person.id:
        with st.popover(widgets.escaped(person.name), icon=":material/person:", type="tertiary"):
            st.caption(f"You are here as {person.role}. {_HELP}")
            st.button("Log out", on_click=st.logout, icon=":material/logout:", key="logout")


def _door() -> None:
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        st.error(f"Login is set up in secrets.toml, but {' and '.join(missing)} is not installed:"
                 " whoever runs this app installs it with `pip install 'aesm2[login]'` and starts"
                 " it again.", icon=":material/error:")  # fmt: skip
        return
    st.write("This app is for those who log in.")
    for provider in who.providers():
        st.button(
            f"Log in with {provider}" if provider else "Log in", icon=":material/login:",
            key=f"login-{provider or 'default'}", on_click=st.login,
            args=(provider,) if provider else (), type="primary",
        )  # fmt: skip
