"""The app on a small dataset and small models, in this process."""

import functools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from app import locations
from app.cache import figures, values
from tests import small

MAIN = Path(__file__).parents[2] / "app" / "main.py"


def first_small_root(where: Path) -> Path:
    """A folder like the repository's: the checkpoints shop (AESM²) and plain (MLP), their data."""
    (where / "checkpoints").mkdir(parents=True)
    shutil.copytree(small.run() / "checkpoint", where / "checkpoints" / "shop")
    small.fit(where / "plain", small.config(model={"name": "mlp"}))
    shutil.copytree(where / "plain" / "checkpoint", where / "checkpoints" / "plain")
    shutil.copytree(small.dataset(), where / "data_samples" / "shop")
    return where


@pytest.fixture(scope="session", autouse=True)
def components_sought_once() -> Iterator[None]:
    """Every AppTest reads the metadata of all installed packages, which is most of its time."""
    with pytest.MonkeyPatch.context() as patch:
        scan = functools.cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", scan)
        yield


@pytest.fixture(scope="session", autouse=True)
def settings_read() -> None:
    """Streamlit reads its settings once, from wherever a test happens to be then."""
    assert st.get_option("server.address") == "127.0.0.1"


@pytest.fixture(scope="session")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return first_small_root(tmp_path_factory.mktemp("root") / "repository")


@pytest.fixture
def start(small_root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """Open a page of the app over the small data: start("views/atlas.py", layer="task.1")."""

    def started(page: str, root: Path = small_root, **view: str) -> AppTest:
        monkeypatch.setattr(locations, "ROOT", root)
        at = AppTest.from_file(MAIN, default_timeout=60)
        for name, value in {"checkpoint": "shop", **view}.items():
            at.query_params[name.replace("__", "-")] = value
        return (at.switch_page(page) if page else at).run()

    return started


def with_numbers(at: AppTest, chart: str) -> AppTest:
    """Open the numbers behind the charts whose key starts with `chart`, and run again."""
    ids = [chart_.proto.id for chart_ in at.get("plotly_chart")]  # "$$ID-hash-key"
    keys = [id_.split("-", 2)[2] for id_ in ids if id_.split("-", 2)[2].startswith(chart)]
    assert keys, f"no chart {chart} in {ids}"
    for key in keys:
        at.session_state[f"numbers-{key}"] = True
    return at.run()


def each_gets_its_own(start: Callable[..., AppTest], page: str, *views: dict[str, str]) -> None:
    """Check that views which follow each other are drawn as if nothing had been kept before."""
    kept = [_drawn(start(page, **view)) for view in views]
    anew = []
    for view in views:
        figures._drawn.clear()
        values._of_ids.clear()
        anew.append(_drawn(start(page, **view)))
    assert kept == anew
    assert all(one != other for number, one in enumerate(anew) for other in anew[:number])


def _drawn(at: AppTest) -> list[Any]:
    """The charts and tables of a page."""
    assert not at.exception
    assert not at.error
    charts = [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")]
    return charts + [table.value.to_csv() for table in at.dataframe]
