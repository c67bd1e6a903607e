"""What there is once a process."""

import gc

import streamlit as st

from app.background import Background
from app.metrics import Metrics
from app.people.quotas import Ledger
from app.tidy import Tidier, share_heaps


@st.cache_resource
def settle_imports() -> None:
    """Move what the imports made out of the garbage collector's sight.

    A whole collection takes a sixth of a second with torch loaded.
    """
    gc.collect()
    gc.freeze()


@st.cache_resource(show_spinner=False)
def ledger() -> Ledger:
    """Return the count of the day's uploads, one for the process."""
    return Ledger()


@st.cache_resource(show_spinner=False)
def background() -> Background:
    """Return the worker of long computations, one for the process."""
    return Background(failed=metrics().error)


@st.cache_resource(show_spinner=False)
def metrics() -> Metrics:
    """Return the counts of the process, which Streamlit serves from now on."""
    found = Metrics(lambda: background().active())
    found.serve()
    return found


@st.cache_resource(show_spinner=False, on_release=Tidier.stop)
def keep_tidy() -> Tidier:
    """Let memory go back to the system while pages are in use; one thread for the process."""
    share_heaps()
    return Tidier(metrics().runs)
