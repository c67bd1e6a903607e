"""The background worker, without Streamlit."""

import gc
import threading
import weakref
from collections.abc import Iterator

import pytest

from aesm2.errors import InputError
from app.background import Background, Cancelled, State, Tick

SECONDS = 20.0


class Gate:
    """Work that goes on when it is told to, step by step."""

    def __init__(self) -> None:
        self.began, self.go_on = threading.Event(), threading.Semaphore(0)
        self.stopped = threading.Event()

    def work(self, tick: Tick) -> str:
        self.began.set()
        try:
            for step in range(4):
                assert self.go_on.acquire(timeout=SECONDS)
                tick((step + 1) / 4)
        except Cancelled:
            self.stopped.set()
            raise
        return "whole"

    def release(self, steps: int = 9) -> None:
        for _ in range(steps):
            self.go_on.release()


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.release()


def test_a_job_waits_runs_and_is_done(gate: Gate) -> None:
    own = Background()
    job = own.submit("a", "The first", gate.work, "me")
    assert job.state.active
    assert gate.began.wait(SECONDS)
    second = own.submit("b", "The second", lambda tick: 2, "you")
    assert (own.find("a").state, second.state) == (State.RUNNING, State.WAITING)
    assert own.of("you").title == "The second"
    gate.release(2)
    seen = 0.0
    while seen < 0.5:  # the thread is on its way
        seen = own.find("a").progress
    assert seen == 0.5
    gate.release(2)
    done = own.wait("a", SECONDS)
    assert (done.state, done.progress, done.result) == (State.DONE, 1.0, "whole")
    assert own.wait("b", SECONDS).result == 2
    assert own.of("me") is None
    assert own.find("c") is None


def test_one_thread_does_all_in_order() -> None:
    own, order, threads = Background(), [], set()

    def work(name: str) -> None:
        order.append(name)
        threads.add(threading.get_ident())

    hold = Gate()
    own.submit("hold", "", hold.work, "x")
    for name in "abc":
        own.submit(name, "", lambda tick, name=name: work(name), name)
    hold.release()
    own.wait("c", SECONDS)
    assert order == ["a", "b", "c"]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_cancelling_stops_at_the_next_tick_and_frees_the_thread(gate: Gate) -> None:
    own = Background()
    own.submit("a", "", gate.work, "me")
    assert gate.began.wait(SECONDS)
    own.cancel("a", "you")
    assert own.find("a").state is State.RUNNING, "somebody else's word does not count"
    own.cancel("a", "me")
    assert own.find("a").state is State.CANCELLED
    gate.release()
    assert gate.stopped.wait(SECONDS)
    assert own.submit("a", "", lambda tick: "again", "me").state.active
    assert own.wait("a", SECONDS).result == "again"


def test_asked_again_while_the_cancelled_one_still_runs(gate: Gate) -> None:
    own = Background()
    own.submit("a", "", gate.work, "me")
    assert gate.began.wait(SECONDS)
    own.cancel("a", "me")
    own.submit("a", "", lambda tick: "new", "me")
    assert own.find("a").state is State.WAITING
    gate.release()
    assert own.wait("a", SECONDS).result == "new"
    assert gate.stopped.is_set()


def test_one_that_waits_is_cancelled_without_ever_running(gate: Gate) -> None:
    own, ran = Background(), []
    own.submit("a", "", gate.work, "me")
    own.submit("b", "", lambda tick: ran.append(1), "you")
    own.cancel("b", "you")
    gate.release()
    own.wait("a", SECONDS)
    own.submit("c", "", lambda tick: None, "you")
    own.wait("c", SECONDS)
    assert ran == []
    assert own.find("b").state is State.CANCELLED


def test_a_new_question_of_the_same_owner_supersedes(gate: Gate) -> None:
    own = Background()
    own.submit("a", "", gate.work, "me")
    assert gate.began.wait(SECONDS)
    own.submit("b", "", lambda tick: "b", "me")
    assert own.find("a").state is State.CANCELLED
    assert own.of("me").id == "b"
    gate.release()
    assert own.wait("b", SECONDS).result == "b"


def test_what_two_want_is_done_once_and_goes_on_while_one_wants_it(gate: Gate) -> None:
    own, again = Background(), Gate()
    own.submit("a", "", gate.work, "me")
    assert own.submit("a", "", again.work, "you").owners == {"me", "you"}
    own.submit("b", "", lambda tick: None, "me")
    assert own.find("a").state.active
    gate.release()
    assert own.wait("a", SECONDS).result == "whole"
    assert not again.began.is_set()
    assert own.submit("a", "", again.work, "third").state is State.DONE, "results are kept"


def test_errors_are_told_in_one_line_and_harm_nobody(caplog: pytest.LogCaptureFixture) -> None:
    own = Background()

    def bad(tick: Tick) -> None:
        raise InputError("no layer 'x'")

    def worse(tick: Tick) -> None:
        raise ZeroDivisionError

    own.submit("bad", "", bad, "a")
    own.submit("worse", "", worse, "b")
    assert (own.wait("bad", SECONDS).state, own.find("bad").error) == (State.FAILED, "no layer 'x'")
    failed = own.wait("worse", SECONDS)
    assert failed.state is State.FAILED
    assert "start it again" in failed.error
    (told,) = [record.fields for record in caplog.records if hasattr(record, "fields")]
    assert told["kind"] == "ZeroDivisionError"
    assert f"(error {told['error']})" in failed.error
    assert own.submit("bad", "", lambda tick: 1, "a").state.active, "it may be tried again"
    assert own.wait("bad", SECONDS).result == 1


def test_memory_is_bounded() -> None:
    own = Background(kept=3)

    class Big:
        pass

    refs = []

    def make(tick: Tick) -> Big:
        big = Big()
        refs.append(weakref.ref(big))
        return big

    for i in range(6):
        own.submit(str(i), "", make, "me")
        own.wait(str(i), SECONDS)
    assert [own.find(str(i)) is not None for i in range(6)] == [False] * 3 + [True] * 3
    own.submit("last", "", lambda tick: None, "me")
    own.wait("last", SECONDS)
    gc.collect()
    assert [ref() is not None for ref in refs] == [False] * 4 + [True] * 2


def test_progress_stays_within_bounds() -> None:
    own, seen = Background(), []

    def work(tick: Tick) -> None:
        for share in (-1.0, 0.3, 7.0):
            tick(share)
            seen.append(own.find("a").progress)

    own.submit("a", "", work, "me")
    own.wait("a", SECONDS)
    assert seen == [0.0, 0.3, 1.0]
