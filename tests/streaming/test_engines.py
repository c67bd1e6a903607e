"""The engines: the same numbers from each, bit for bit, in the order of the parts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aesm2.errors import InputError
from aesm2.streaming import engines
from aesm2.streaming.engines import RayActor, merged
from aesm2.streaming.files import of_files
from aesm2.streaming.parts import Log, of_frame
from aesm2.streaming.works import Counting, KnockingOut, Measuring, input_columns
from tests.streaming import made


@pytest.fixture
def log(tmp_path: Path) -> Log:
    columns = input_columns(made.checkpoint(), labels=True)
    return of_files(str(made.write_log(tmp_path / "log")), columns, 100)


def works() -> list[Any]:
    path = made.checkpoint().path
    return [Measuring(path), Counting(path, cluster="user"), KnockingOut(path)]


def test_the_pool_gives_what_one_process_gives(log: Log) -> None:
    work, seen = made.Both(made.checkpoint().path), []
    pool = merged(log, work, "pool", 2, seen.append)
    assert pool.to_bytes() == merged(log, work).to_bytes()
    assert seen == list(log.parts)


def through_actor(log: Log, work: Any, order: list[int]) -> Any:
    """What the Ray engine does, without Ray: actors in any order, bytes between."""
    actor, rows = RayActor(log.parts, work, False), []
    for number in order:
        told = actor({"id": np.array([number])})
        rows.append({name: values[0] for name, values in told.items()})
    done = engines._in_order(log.parts, work, iter(rows))
    parts, results = zip(*done, strict=True)
    assert list(parts) == list(log.parts)
    return sum(results[1:], results[0])


def test_rays_actors_give_the_same_in_any_order(log: Log) -> None:
    order = list(range(len(log.parts)))[::-1]
    for work in works()[1:]:
        assert through_actor(log, work, order).to_bytes() == merged(log, work).to_bytes()


def test_an_actor_hands_on_what_is_wrong(log: Log) -> None:
    with pytest.raises(InputError, match="part 1 is bad"):
        through_actor(log, made.Naming(1), [0, 1])


def test_ray_that_is_missing_is_said_with_what_to_install(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(InputError, match=r"needs Ray: pip install 'ray\[train,data\]==2"):
        merged(log, made.Naming(), "ray")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_ray_gives_what_one_process_gives(log: Log) -> None:
    pytest.importorskip("ray", reason="Ray is an optional extra: pip install 'aesm2[ray]'")
    for work in works():
        assert merged(log, work, "ray", 2).to_bytes() == merged(log, work).to_bytes()


@pytest.mark.parametrize("engine", ["single", pytest.param("pool", marks=pytest.mark.long)])
def test_results_come_in_order_and_errors_as_they_are(engine: Any) -> None:
    log = of_frame(made.frame(), "rows", 50)
    names = merged(log, made.Naming(), engine, None if engine == "single" else 2)
    assert names.names == tuple(f"{i}:50" for i in range(len(log.parts)))
    with pytest.raises(InputError, match="part 2 is bad"):
        merged(log, made.Naming(2), engine)


def test_a_log_of_one_process_is_refused_by_the_others(log: Log) -> None:
    with pytest.raises(InputError, match="use --engine single"):
        merged(Log("memory://x", log.parts, one_process=True), made.Naming(), "pool")


def test_sums_do_not_depend_on_how_rows_are_grouped(log: Log) -> None:
    """Predictions of a row may differ in the last bit between chunks; the sums must not drift."""
    frame = made.frame()
    for work in works()[:2]:
        a = merged(of_frame(frame, "rows", 600), work)
        b = merged(of_frame(frame, "rows", 170), work)
        if isinstance(work, Counting):
            assert all(
                np.array_equal(x, y) or "weight" in name
                for (name, x), y in zip(a.arrays().items(), b.arrays().values(), strict=True)
            )
        else:
            np.testing.assert_allclose(a.predicted, b.predicted, rtol=1e-6)
            assert np.array_equal(a.positives, b.positives)
