"""What an operator reads: one line an event, an id for every error, nothing of anybody's rows."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app import cache, locations, log, metrics, pins
from app.home import page as home
from app.lens import rows as lens_rows
from tests.app.test_background import SECONDS

Start = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    log.settle({})


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.strip()]


def broken(secret: str) -> None:
    raise KeyError(secret)


def test_an_error_is_told_with_its_place_and_without_its_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.settle({"AESM2_LOG_FORMAT": "json"})
    try:
        broken("somebody's value")
    except KeyError as error:
        id_ = log.problem("a page failed", error, page="lens")
    (line,) = lines(capsys)
    told = json.loads(line)
    assert told["error"] == id_
    assert len(id_) == 8
    assert (told["event"], told["level"], told["page"]) == ("a page failed", "error", "lens")
    assert told["kind"] == "KeyError"
    assert told["at"][-1].endswith("broken")
    assert "somebody" not in line


def test_the_words_are_there_for_who_asks_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    log.settle({"AESM2_LOG": "debug"})
    log.problem("a page failed", ValueError("the words"))
    assert "said=the words" in lines(capsys)[0]


@pytest.mark.parametrize(("level", "told"), [("", ["b"]), ("info", ["a", "b"]), ("error", [])])
def test_it_is_quiet_unless_asked(
    capsys: pytest.CaptureFixture[str], level: str, told: list[str]
) -> None:
    log.settle({"AESM2_LOG": level})
    log.event("a")
    log.event("b", logging.WARNING)
    assert [line.split()[-1] for line in lines(capsys)] == told


def test_a_page_that_breaks_shows_the_id_of_its_line(
    start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(home, "introduction", lambda: broken("private"))
    at = start("")
    (line,) = [line for line in lines(capsys) if "a page failed" in line]
    id_ = line.partition("error=")[2].split()[0]
    (error,) = at.error
    assert f"(error {id_})" in error.value
    assert "page=home" in line
    assert "private" not in line + error.value
    assert not at.exception


def pinned(at: AppTest) -> AppTest:
    """Press the pin of Home's chart."""
    (button,) = [own for own in at.button if (own.key or "").startswith("pin-home-metrics")]
    return button.click().run()


def test_a_button_that_breaks_shows_the_id_of_its_line_on_a_page_that_is_whole(
    start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at = start("")
    charts = len(at.get("plotly_chart"))
    with monkeypatch.context() as patch:
        patch.setattr(pins, "keep", lambda *_: broken("private"))
        at = pinned(at)
    (line,) = [line for line in lines(capsys) if "a button failed" in line]
    id_ = line.partition("error=")[2].split()[0]
    (error,) = at.error
    assert f"(error {id_})" in error.value
    assert "page=home" in line
    assert "private" not in line + error.value
    assert not at.exception
    assert len(at.get("plotly_chart")) == charts
    at = pinned(at)  # now it works, and the error is told once
    assert not at.error and len(at.session_state["objects"]["report"].pins) == 1


def test_a_button_that_may_not_is_told_so_without_an_id(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def script() -> None:
        import streamlit as st

        from app import failures
        from app.people.who import Forbidden

        def refused() -> None:
            raise Forbidden("you may not")

        with failures.told():
            st.button("Go", on_click=failures.callback(refused))
            st.text("the rest")

    at = AppTest.from_function(script).run()
    at = at.button[0].click().run()
    assert [own.value for own in at.warning] == ["You may not"]
    assert [own.value for own in at.text] == ["the rest"]
    assert not at.error and not at.exception
    assert not [line for line in lines(capsys) if "failed" in line]
    assert not at.run().warning


def test_the_counts_add_up() -> None:
    own = metrics.Metrics(lambda: 3)
    with own.script("lens"):
        pass
    with pytest.raises(ZeroDivisionError), own.script("lens"):
        raise ZeroDivisionError
    own.waited(0.3)
    own.error("page")
    found = own.get_stats()
    assert set(found) == set(own.stats_families)
    (script,) = found[metrics.SCRIPT]
    assert (script.observation_count, script.labels) == (2, {"page": "lens"})
    (wait,) = found[metrics.WAIT]
    assert dict(wait.buckets)[0.25] == 0
    assert dict(wait.buckets)[0.5] == 1
    assert wait.buckets[-1] == (float("inf"), wait.observation_count)
    assert 'aesm2_errors_total{where="page"} 1' in found[metrics.ERRORS][0].to_metric_str()
    assert found[metrics.JOBS][0].value == 3
    assert found[metrics.MEMORY][0].value > 2**20
    assert set(own.get_stats([metrics.WAIT])) == {metrics.WAIT}


def test_a_wait_for_a_model_is_measured() -> None:
    waits: list[float] = []
    lock = metrics.TimedLock(waits.append)
    with lock:
        assert lock.locked()
    assert not lock.locked()
    assert len(waits) == 1
    assert 0 <= waits[0] < SECONDS


def test_an_opened_checkpoint_counts_its_waits(
    small_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locations, "ROOT", small_root)
    opened = cache.opened(locations.catalogue()["shop"], "cpu")
    (before,) = cache.metrics().get_stats([metrics.WAIT])[metrics.WAIT]
    with opened.lock:
        pass
    (after,) = cache.metrics().get_stats([metrics.WAIT])[metrics.WAIT]
    assert after.observation_count == before.observation_count + 1


@pytest.mark.parametrize("page", ["lens", "paper"])
def test_a_question_about_one_row_waits_for_nobody(
    start: Start, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    """Taking the model's lock fails here; somebody may hold it for long."""
    start(f"views/{page}.py")  # what is computed for everybody
    monkeypatch.setattr(lens_rows, "told", lambda *given: given[-1]())  # nothing is kept
    monkeypatch.setattr(metrics.TimedLock, "__enter__", _refuse)
    at = start(f"views/{page}.py")
    assert not at.exception
    assert not at.error


def _refuse(_: object) -> None:
    raise AssertionError("it would wait")
