"""Copy as Python: the lines of every chart make that chart."""

import base64
import functools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

import aesm2
from aesm2.data.dataset import Dataset
from aesm2.evidence.regimes import read_plan, save_map
from aesm2.lab.queue import Lab
from aesm2.report.figures import figure_text
from app import locations, widgets
from tests import small
from tests.app.conftest import MAIN, first_small_root
from tests.evidence import made
from tests.evidence.test_regimes import lines as regimes_by_hand

REPOSITORY = Path(__file__).parents[2]
Drawn = dict[str, tuple[go.Figure, str]]
Look = Callable[..., Drawn]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small repository with a model with gates, a run of the lab, and evidence."""
    where = first_small_root(tmp_path_factory.mktemp("recipes") / "repository")
    small.fit(where / "mmoe", small.config(model={"name": "mmoe", "embedding_dim": 4}, epochs=1))
    shutil.copytree(where / "mmoe" / "checkpoint", where / "checkpoints" / "mmoe")
    made.write(where / "checkpoints" / "evidence" / "hand")
    plan = read_plan(REPOSITORY / "configs" / "evidence" / "regimes.toml")
    save_map(where / "checkpoints" / "evidence" / "regimes", plan, regimes_by_hand(), "by hand")
    lab = Lab(where / "runs" / "lab")
    job = lab.submit("first", small.dataset(), small.config(), "cpu")
    shutil.copytree(small.run(), job.folder, dirs_exist_ok=True)
    return where


@pytest.fixture
def look(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Look]:
    """Open a page and return the figure and code of every chart that it draws."""
    drawn: Drawn = {}
    chart = widgets.chart

    def noted(figure: go.Figure, key: str, *rest: Any, code: str = "", **more: Any) -> Any:
        drawn[key] = (figure, code)
        return chart(figure, key, *rest, code=code, **more)

    def looked(page: str, root: Path = root, **view: str) -> Drawn:
        drawn.clear()
        monkeypatch.setattr(locations, "ROOT", root)
        monkeypatch.chdir(root)
        at = AppTest.from_file(MAIN, default_timeout=60)
        for name, value in view.items():
            at.query_params[name.replace("__", "-")] = value
        at = (at.switch_page(page) if page else at).run()
        assert not at.exception
        assert [error.value for error in at.error] == []
        assert drawn, page
        return dict(drawn)

    monkeypatch.delenv("AESM2_EVIDENCE", raising=False)
    monkeypatch.delenv("AESM2_LAB", raising=False)
    monkeypatch.setattr(widgets, "chart", noted)
    # The lines of many charts open the same: once is enough here.
    monkeypatch.setattr(aesm2, "load", functools.cache(aesm2.load))
    monkeypatch.setattr(Dataset, "frame", once(Dataset.frame))
    yield looked


def once(frame: Callable[[Dataset], pd.DataFrame]) -> Callable[[Dataset], pd.DataFrame]:
    """Read a dataset's rows once."""
    kept: dict[Path, pd.DataFrame] = {}

    def read(own: Dataset) -> pd.DataFrame:
        where = own.folder.absolute()
        if where not in kept:
            kept[where] = frame(own)
        return kept[where]

    return read


def ran(code: str) -> go.Figure:
    """Run the code of a chart as it stands, but for its last line, which shows it."""
    lines, _, last = code.rpartition("\n")
    assert last == "figure.show()"
    namespace: dict[str, Any] = {}
    exec(compile(lines, "<copied>", "exec"), namespace)
    figure: go.Figure = namespace["figure"]
    return figure


def same(found: Any, wanted: Any, where: str) -> None:
    """Assert that two figures have the same content, numbers up to rounding."""
    if isinstance(wanted, dict):
        assert isinstance(found, dict), where
        assert found.keys() == wanted.keys(), where
        if wanted.keys() >= {"dtype", "bdata"}:
            np.testing.assert_allclose(array(found), array(wanted), 1e-5, 1e-7, err_msg=where)
            return
        for name in wanted:
            same(found[name], wanted[name], f"{where}.{name}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), where
        for place, (a, b) in enumerate(zip(found, wanted, strict=True)):
            same(a, b, f"{where}[{place}]")
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, 1e-5, 1e-7), where
    else:
        assert found == wanted, where


def array(value: dict[str, Any]) -> np.ndarray:
    """The numbers of plotly's binary form."""
    return np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"]).astype(float)


def check(drawn: Drawn) -> None:
    for key, (figure, code) in drawn.items():
        assert code, f"{key} has no code"
        try:
            found = ran(code)
        except Exception as error:
            raise AssertionError(f"{key}: {error!r} in\n{code}") from error
        same(*(json.loads(figure_text(own, key)) for own in (found, figure)), key)


SHOP = {"checkpoint": "shop"}
VIEWS = {
    "lens": ("views/lens.py", SHOP | {"to__country": "elsewhere", "layer": "page.1"}),
    "lens of gates": ("views/lens.py", {"checkpoint": "mmoe", "to__country": "elsewhere"}),
    "atlas": ("views/atlas.py", SHOP | {"over": "all", "beside": "mmoe"}),
    "atlas of some": ("views/atlas.py", SHOP | {
        "s__page": "1", "measure": "weight", "roles": "shared", "layers": "one",
        "layer": "task.1", "grouping": "country", "rows": "validation"}),
    "atlas of gates": ("views/atlas.py", {"checkpoint": "mmoe", "s__country": "fr"}),
    "curves": ("views/curves.py", SHOP | {
        "compare": "mmoe,plain", "smooth": "0.5", "x": "seconds", "at": "9", "layer": "page.1"}),
    "home": ("", SHOP),
    "home of no layers": ("", {"checkpoint": "plain", "metrics__scope": "path"}),
    "data": ("views/data.py", SHOP),
    "data of splits": ("views/data.py", SHOP | {
        "data__by": "page", "data__split": "test", "drift": "splits", "feature": "price"}),
    "slices of three measures": ("views/slices.py", SHOP | {
        "rows": "train", "slices": "all", "support": "0.1",
        "measures": "loss:ctr,calibration:ctr,set:page.1"}),
    "geometry of a slice": ("views/geometry.py", SHOP | {"slice": "price >= 3", "cloud": "1"}),
    "bench": ("views/bench.py", {"ids": "without", "margin": "0.5"}),
    "relations": ("views/relations.py", {}),
    "impact": ("views/impact.py", {}),
    "lab": ("views/lab.py", {}),
    "lab, experts": ("views/lab.py", {"lab__part": "experts", "lab__layer": "task.1"}),
}  # fmt: skip
LEAST = {
    "lens": 10,
    "atlas": 4,
    "curves": 4,
    "home": 2,
    "data": 4,
    "bench": 7,
    "lab": 3,
    "lab, experts": 4,
}


@pytest.mark.parametrize("name", VIEWS)
def test_the_code_of_every_chart_makes_it(look: Look, name: str) -> None:
    page, view = VIEWS[name]
    drawn = look(page, **view)
    assert len(drawn) >= LEAST.get(name, 1)
    check(drawn)


def test_the_code_of_the_shipped_checkpoint_runs_from_the_root(look: Look) -> None:
    drawn = look("views/atlas.py", REPOSITORY, checkpoint="kuairand", s__tab="4")
    drawn |= look("views/lens.py", REPOSITORY, checkpoint="kuairand", layer="task.1")
    drawn |= look("views/relations.py", REPOSITORY, study="kuairand")
    assert len(drawn) >= 13
    codes = {key: code for key, (_, code) in drawn.items()}
    assert "aesm2.load('checkpoints/kuairand')" in codes["lens-strip"]
    assert "aesm2.Dataset.open('data_samples/kuairand_pure').split('test')" in codes["lens-strip"]
    assert "Path('checkpoints/evidence/kuairand')" in codes["relations-auc-ctr"]
    check(drawn)


def test_a_difference_between_figures_is_found() -> None:
    same({"a": [1.0, "x"]}, {"a": [1.0 + 1e-9, "x"]}, "")
    for other in ({"a": [1.1, "x"]}, {"a": [1.0, "y"]}, {"a": [1.0]}, {"b": [1.0, "x"]}):
        with pytest.raises(AssertionError):
            same(other, {"a": [1.0, "x"]}, "")
