"""Three ways to work through the parts of a log: in this process, in a pool of them, with Ray.

Whoever does it, a part's result depends on the part alone: its chunks are those of the plan and
torch runs on one thread. Results come, and are merged, in the order of the parts. So the engines
give the same numbers, bit for bit.
"""

import contextlib
import itertools
import logging
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Literal, Protocol, TypeVar

import torch

from aesm2.device import flush_subnormals, flushes_subnormals
from aesm2.errors import InputError
from aesm2.streaming.parts import Log, Part, workers_here
from aesm2.workers import end_with_parent

Engine = Literal["single", "pool", "ray"]
ENGINES: tuple[Engine, ...] = ("single", "pool", "ray")
RAY = "ray[train,data]==2.60.0"


class Result(Protocol):
    """What became of a part; the sum of two is that of both parts."""

    def __add__(self, other: Any) -> Any: ...

    def to_bytes(self) -> bytes:
        """Write it so that the work's `from_bytes` reads it back, the same in every bit."""
        ...


R = TypeVar("R", bound=Result)
R_co = TypeVar("R_co", bound=Result, covariant=True)


class Work(Protocol[R_co]):
    """What is done with each part: a small value that travels to other processes."""

    def open(self) -> Callable[[Part], R_co]:
        """Load what every part needs, such as the model, once a process."""
        ...

    def from_bytes(self, content: bytes) -> R_co:
        """Read back what a result's `to_bytes` wrote."""
        ...


def results(
    log: Log, work: Work[R], engine: Engine = "single", workers: int | None = None
) -> Iterator[tuple[Part, R]]:
    """Yield each part with its result, in the order of the parts.

    workers: processes of the engines "pool" and "ray", by default one a processor. Each holds one
    part at a time; results that wait for an earlier part are bounded by twice the workers in the
    pool. Raises InputError where other processes cannot read the log, where a worker was ended,
    or where Ray is not installed.
    """
    if engine != "single" and log.one_process:
        raise InputError(f"{log.source}: other processes cannot read it; use --engine single")
    if engine == "single":
        return _single(log.parts, work)
    if engine == "pool":
        return _pool(log.parts, work, workers or workers_here())
    return _ray(log.parts, work, workers)


def merged(
    log: Log,
    work: Work[R],
    engine: Engine = "single",
    workers: int | None = None,
    progress: Callable[[Part], None] | None = None,
) -> R:
    """Work through a log and add up the results, in the order of the parts.

    progress: told of each part that is done.
    """
    total: R | None = None
    for part, result in results(log, work, engine, workers):
        total = result if total is None else total + result
        if progress is not None:
            progress(part)
    if total is None:
        raise InputError(f"{log.source}: no rows")
    return total


def _single(parts: Sequence[Part], work: Work[R]) -> Iterator[tuple[Part, R]]:
    with _one_thread():
        do = work.open()
        for part in parts:
            yield part, do(part)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread: sums of floats depend on how many share the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _pool(parts: Sequence[Part], work: Work[R], workers: int) -> Iterator[tuple[Part, R]]:
    context = multiprocessing.get_context("spawn")  # threads of torch and arrow survive no fork
    pool = ProcessPoolExecutor(workers, context, _settle, (work, flushes_subnormals()))
    waiting: deque[tuple[Part, Future[R]]] = deque()
    ahead = iter(parts)
    try:
        while True:
            for part in itertools.islice(ahead, 2 * workers - len(waiting)):
                waiting.append((part, pool.submit(_do, part)))
            if not waiting:
                return
            part, future = waiting.popleft()
            yield part, future.result()
    except BrokenProcessPool:
        raise InputError(
            f"{part.name}: a worker was ended from outside, most likely for lack of memory; use"
            " fewer --workers or fewer --rows-per-part"
        ) from None
    finally:  # parts in progress end, so that files are whole; nobody waits for the others
        pool.shutdown(wait=True, cancel_futures=True)


_WORK: list[Work[Any]] = []  # of this worker process
_OPENED: list[Callable[[Part], Any]] = []


def _settle(work: Work[Any], flush: bool) -> None:
    flush_subnormals(flush)
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us decides what Ctrl-C ends
    torch.set_num_threads(1)
    _WORK.append(work)


def _do(part: Part) -> Any:
    if not _OPENED:  # here and not in `_settle`, whose exceptions a pool swallows
        _OPENED.append(_WORK[0].open())
    return _OPENED[0](part)


class RayActor:
    """Keeps the model loaded and turns numbers of parts into results; one a worker of Ray."""

    def __init__(self, parts: Sequence[Part], work: Work[Any], flush: bool) -> None:
        flush_subnormals(flush)
        torch.set_num_threads(1)
        self.parts, self.do = parts, work.open()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Work through the parts whose numbers are in `id`."""
        numbers = [int(number) for number in batch["id"]]
        told = [self._one(self.parts[number]) for number in numbers]
        return {"id": numbers, "problem": [t[0] for t in told], "result": [t[1] for t in told]}

    def _one(self, part: Part) -> tuple[str, bytes]:
        try:
            return "", self.do(part).to_bytes()
        except InputError as error:  # Ray would wrap it in a page of text
            return str(error), b""


def _ray(parts: Sequence[Part], work: Work[R], workers: int | None) -> Iterator[tuple[Part, R]]:
    try:
        import ray  # type: ignore[import-not-found, unused-ignore]
        import ray.data  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise InputError(f"--engine ray needs Ray: pip install '{RAY}'") from None
    mine = not ray.is_initialized()
    if mine:
        ray.init(log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # the progress is told by ours
        context.execution_options.preserve_order = True
        count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        count = min(count, len(parts))
        # Items, not `range`: reading that would be tasks, for which busy actors leave no processor.
        items = [{"id": number} for number in range(len(parts))]
        numbers = ray.data.from_items(items, override_num_blocks=len(parts))
        done = numbers.map_batches(
            RayActor, fn_constructor_args=(parts, work, flushes_subnormals()), batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=count), num_cpus=1,
        )  # fmt: skip
        yield from _in_order(parts, work, done.iter_rows())
    finally:
        if mine:
            ray.shutdown()


def _in_order(
    parts: Sequence[Part], work: Work[R], rows: Iterator[dict[str, Any]]
) -> Iterator[tuple[Part, R]]:
    """Put what Ray yields into the order of the parts, whatever it makes of `preserve_order`."""
    early: dict[int, R] = {}
    due = 0
    for row in rows:
        if row["problem"]:
            raise InputError(row["problem"])
        early[int(row["id"])] = work.from_bytes(row["result"])
        while due in early:
            yield parts[due], early.pop(due)
            due += 1
