"""Memory that is of no use any more goes back to the system, as long as pages are in use.

Python seldom looks among what has lived for long, where closed sessions and figures that caches let
go end; and the C library keeps what was freed between what is still used. Streamlit would collect
after every run, which takes a third of what many sessions use: once in a while is enough.
"""

import ctypes
import gc
import sys
import threading
from collections.abc import Callable

EVERY = 60.0  # seconds


def tidy() -> None:
    """Collect garbage and return free memory to the system."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc only
        if trim is not None:
            trim(0)


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
