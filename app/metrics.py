"""What the app counts of itself, for a monitoring system.

Streamlit serves its own counts (sessions, caches) at /_stcore/metrics in the text form that
Prometheus reads; these are registered there, so that there is one place to ask and nothing more to
install or to open a port for. All of them begin with aesm2_.
"""

import bisect
import contextlib
import math
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from streamlit import runtime
from streamlit.runtime.stats import CounterStat, GaugeStat, HistogramStat, Stat

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, math.inf)  # seconds
SCRIPT, WAIT = "aesm2_script_seconds", "aesm2_model_lock_wait_seconds"
ERRORS, MEMORY, JOBS = "aesm2_errors", "aesm2_memory_bytes", "aesm2_background_jobs"
HELP = {
    SCRIPT: "Time of a run of a page's script, fragments aside.",
    WAIT: "Time that somebody waited for a model that another session used.",
    ERRORS: "Errors that nobody expected, each with an id in the log.",
    MEMORY: "Resident memory of the process.",
    JOBS: "Long computations that wait or run.",
}


class _Histogram:
    """Seconds, counted in BOUNDS."""

    def __init__(self) -> None:
        self.counts, self.sum = [0] * len(BOUNDS), 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect.bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    def stat(self, family: str, labels: dict[str, str]) -> HistogramStat:
        total, buckets = 0, []
        for bound, count in zip(BOUNDS, self.counts, strict=True):
            total += count
            buckets.append((bound, total))
        return HistogramStat(
            family, tuple(buckets), self.sum, total, labels, "seconds", HELP[family]
        )


class Metrics:
    """The counts of one process; any thread may add. jobs: how many long computations there are."""

    def __init__(self, jobs: Callable[[], int] = lambda: 0) -> None:
        self._lock = threading.Lock()
        self._scripts: defaultdict[str, _Histogram] = defaultdict(_Histogram)
        self._waits, self._errors = _Histogram(), defaultdict[str, int](int)
        self.jobs = jobs

    @contextlib.contextmanager
    def script(self, page: str) -> Iterator[None]:
        """Time a run of a page's script, however it ends."""
        began = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._scripts[page].add(time.perf_counter() - began)

    def runs(self) -> int:
        """Return how many runs of pages there were."""
        with self._lock:
            return sum(sum(own.counts) for own in self._scripts.values())

    def waited(self, seconds: float) -> None:
        """Note how long somebody waited for a model."""
        with self._lock:
            self._waits.add(seconds)

    def error(self, where: str) -> None:
        """Count an error of a page or of the background."""
        with self._lock:
            self._errors[where] += 1

    @property
    def stats_families(self) -> Sequence[str]:
        """Names of what is counted, as Streamlit asks for them."""
        return tuple(HELP)

    def get_stats(self, family_names: Sequence[str] | None = None) -> Mapping[str, Sequence[Stat]]:
        """Return the counts as Streamlit serves them."""
        with self._lock:
            scripts = [own.stat(SCRIPT, {"page": page}) for page, own in self._scripts.items()]
            found: dict[str, Sequence[Stat]] = {
                SCRIPT: scripts,
                WAIT: [self._waits.stat(WAIT, {})],
                ERRORS: [CounterStat(ERRORS, count, {"where": where}, help=HELP[ERRORS])
                         for where, count in self._errors.items()],
                MEMORY: [GaugeStat(MEMORY, memory(), unit="bytes", help=HELP[MEMORY])],
                JOBS: [GaugeStat(JOBS, self.jobs(), help=HELP[JOBS])],
            }  # fmt: skip
        wanted = found if family_names is None else family_names
        return {name: stats for name, stats in found.items() if name in wanted and stats}

    def serve(self) -> None:
        """Let Streamlit serve the counts."""
        if runtime.exists():
            runtime.get_instance().stats_mgr.register_provider(self)


class TimedLock:
    """A lock that notes how long whoever takes it had to wait."""

    def __init__(self, waited: Callable[[float], None]) -> None:
        self._lock, self._waited = threading.Lock(), waited

    def __enter__(self) -> bool:
        began = time.perf_counter()
        self._lock.acquire()
        self._waited(time.perf_counter() - began)
        return True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._lock.release()

    def locked(self) -> bool:
        """Whether somebody has it."""
        return self._lock.locked()


def memory() -> int:
    """Return the resident memory of this process in bytes; 0 where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
