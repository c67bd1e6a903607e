"""Memory that goes back to the system, without Streamlit."""

import ctypes
import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from app.metrics import Metrics, memory
from app.tidy import HEAPS, Tidier, tidy

SECONDS = 20.0


class Ring:
    """Something that only a collection finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _by_hand() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def dropped() -> weakref.ref[Ring]:
    return weakref.ref(Ring())


def gone(ring: weakref.ref[Ring], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while ring() is not None and time.monotonic() < until:
        time.sleep(0.01)
    return ring() is None


def test_garbage_goes_where_pages_ran_and_stays_where_none_did() -> None:
    metrics, ring = Metrics(), dropped()
    tidier = Tidier(metrics.runs, every=0.02)
    assert not gone(ring, 0.3)
    with metrics.script("atlas"):
        pass
    assert gone(ring, SECONDS)
    again = dropped()
    assert not gone(again, 0.3)
    tidier.stop()
    assert not tidier.thread.is_alive()


def test_freed_memory_goes_back_to_the_system() -> None:
    if memory() == 0:
        pytest.skip("this system does not tell how much memory is used")
    pieces = [np.ones(8_000) for _ in range(4_000)]  # 64 kB each: too small to be mapped alone
    pieces.append(np.ones(8_000))
    full, last = memory(), pieces[-1]  # holds the end of the heap
    del pieces
    tidy()
    assert memory() < full - 150e6
    assert len(last) == 8_000


def test_what_other_threads_make_meanwhile_is_finished() -> None:
    kept = [{number: [number]} for number in range(200_000)]  # a search among them takes its time
    broke: list[BaseException] = []
    over, made = threading.Event(), []

    def fill() -> None:
        while not over.is_set():
            try:
                made.append(len(tuple(3 * str(number) for number in range(200))))
            except SystemError as error:
                broke.append(error)

    thread = threading.Thread(target=fill)
    thread.start()
    for _ in range(10):
        tidy()
    over.set()
    thread.join()
    assert broke == []
    assert set(made) == {200}
    assert len(kept) == 200_000


TABLES_OF_THREADS = """
import sys, threading
import pyarrow as pa
from app.metrics import memory
from app.tidy import share_heaps, tidy

if sys.argv[1] == "shared":
    share_heaps()

def write():
    table = pa.table({"row": [f"row {row}" for row in range(30_000)]})
    with pa.ipc.new_stream(pa.BufferOutputStream(), table.schema) as stream:
        stream.write_table(table)

before = memory()
for _ in range(20):
    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
tidy()
print(pa.default_memory_pool().backend_name, memory() - before)
"""


def told(script: str, *arguments: str) -> str:
    return subprocess.check_output([sys.executable, "-c", script, *arguments], text=True)


def test_what_arrow_wrote_tables_with_goes_back_as_well() -> None:
    if memory() == 0:
        pytest.skip("this system does not tell how much memory is used")
    (pool, own), (_, shared) = (told(TABLES_OF_THREADS, how).split() for how in ("own", "shared"))
    if pool == "system":
        pytest.skip("Arrow has no heap of its own here")
    assert float(shared) < float(own) - 10e6


HEAPS_OF_THREADS = """
import ctypes, sys, tempfile, threading
from app.tidy import share_heaps

if sys.argv[1] == "shared":
    share_heaps()
libc, stay = ctypes.CDLL(None), threading.Barrier(13)
libc.malloc.restype, libc.fopen.restype = ctypes.c_void_p, ctypes.c_void_p

def take():
    libc.malloc(100_000)
    stay.wait()
    stay.wait()

for _ in range(12):
    threading.Thread(target=take).start()
stay.wait()
with tempfile.NamedTemporaryFile() as file:
    told = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
    libc.malloc_info(0, told)
    libc.fclose(told)
    print(file.read().count(b"<heap"))
stay.wait()
"""


def test_threads_share_two_heaps() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_info"):
        pytest.skip("this C library does not tell of its heaps")
    own, shared = (int(told(HEAPS_OF_THREADS, how)) for how in ("own", "shared"))
    assert shared <= HEAPS < own


def test_runs_of_all_pages_are_counted() -> None:
    metrics = Metrics()

    def opened(page: str) -> None:
        for _ in range(50):
            with metrics.script(page):
                pass

    threads = [threading.Thread(target=opened, args=(page,)) for page in ("atlas", "lens")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.runs() == 100
