"""Ctrl-C as a request to stop after the step in hand."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def interrupts() -> Iterator[list[int]]:
    """Collect Ctrl-C instead of raising it: the list is no longer empty. A second one raises."""
    received: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    try:
        previous = signal.signal(signal.SIGINT, handle)
    except ValueError:  # not in the main thread, where no signal arrives
        yield received
        return
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, previous)
