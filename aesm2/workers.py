"""Processes that work for another one, and end with it."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Let this process end at once when the one that started it has, even if that was killed.

    Else it would wait for work for ever: it holds an end of the pipe by which work comes. What it
    was writing stays under a hidden name, as after any kill.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
