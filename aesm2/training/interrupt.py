"""Ctrl-C as a request to stop after the step in hand."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def interrupts(
    then: Callable[[], None] = lambda: None, together: float = 0.0
) -> Iterator[list[int]]:
    """Collect Ctrl-C instead of raising it: the list is no longer empty. A second one raises.

    then: what else to do at the first. together: seconds within which others are the same one.
    """
    received: list[int] = []
    first = [0.0]

    def handle(number: int, _frame: FrameType | None) -> None:
        if received and time.monotonic() - first[0] > together:
            raise KeyboardInterrupt
        if not received:
            received.append(number)
            first[0] = time.monotonic()
            then()

    try:
        previous = signal.signal(signal.SIGINT, handle)
    except ValueError:  # not in the main thread, where no signal arrives
        yield received
        return
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, previous)
