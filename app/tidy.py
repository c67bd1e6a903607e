"""Memory that is of no use any more goes back to the system, as long as pages are in use.

Python seldom looks among what has lived for long, where closed sessions and figures that caches let
go end; and the C library and Arrow keep what was freed between what is still used, for each of many
heaps. Streamlit would collect after every run, which takes a third of what many sessions use: once
in a while is enough. Nothing here may look through all objects (`gc.get_objects`): a tuple that
another thread is filling then has a second owner, and Python refuses to finish it (SystemError).
"""

import ctypes
import gc
import sys
import threading
from collections.abc import Callable

import pyarrow

EVERY = 60.0  # seconds
HEAPS = 2
_ARENA_MAX = -8  # M_ARENA_MAX of mallopt


def share_heaps() -> None:
    """Let threads, and Arrow, take memory from HEAPS heaps, not from one each.

    For who starts a process.
    """
    _call("mallopt", _ARENA_MAX, HEAPS)
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())


def tidy() -> None:
    """Collect garbage and return free memory to the system."""
    gc.collect()
    _call("malloc_trim", 0)


def _call(name: str, *numbers: int) -> None:
    """Call a function of the C library; nothing where it has none such, as all but glibc."""
    if sys.platform == "linux":
        found = getattr(ctypes.CDLL(None), name, None)
        if found is not None:
            found(*numbers)


class Tidier:
    """A thread that tidies where pages ran since it last did.

    runs: how many runs of pages there were so far. every: seconds between two looks.
    """

    def __init__(self, runs: Callable[[], int], every: float = EVERY) -> None:
        self._runs, self._every, self._stopped = runs, every, threading.Event()
        self.thread = threading.Thread(target=self._run, name="tidy", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """End the thread; it is over when this returns."""
        self._stopped.set()
        self.thread.join()

    def _run(self) -> None:
        before = self._runs()
        while not self._stopped.wait(self._every):
            now = self._runs()
            if now != before:
                tidy()
            before = now
