"""Every page on models of other people's funnels: one scenario, nested levels, masked labels."""

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from aesm2.data.draft import draft_description
from tests import small
from tests.data.funnels import FUNNELS

PAGES = ("home", "data", "lens", "atlas", "curves")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the repository's, with a dataset and a checkpoint of each funnel."""
    root = tmp_path_factory.mktemp("root")
    for name, write in FUNNELS.items():
        folder = root / "data" / name
        folder.mkdir(parents=True)
        text = draft_description(write(folder))
        (folder / "dataset.toml").write_text(text, encoding="utf-8")
        configured = small.config(epochs=2, batch_size=256, evaluate_every=None)
        run = root / "runs" / name
        small.fit(run, configured, dataset=folder)
    return root


def shown(at: AppTest) -> list[str]:
    assert not at.exception
    assert [error.value for error in at.error] == []
    return [str(e.value) for kind in (at.metric, at.markdown, at.caption) for e in kind]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", FUNNELS)
def test_every_page_opens(start: Callable[..., AppTest], root: Path, name: str, page: str) -> None:
    at = start(f"views/{page}.py", root=root, checkpoint=f"runs/{name}")
    shown(at)
    assert [warning.value for warning in at.warning] == []


def test_a_task_that_does_not_exist_here_is_not_predicted(
    start: Callable[..., AppTest], root: Path
) -> None:
    """A sale exists in the app only: through another door, and in the tiles, there is a dash."""
    at = start("views/lens.py", root=root, checkpoint="runs/market", s__site="web")
    shown(at)
    (tile,) = [metric for metric in at.metric if metric.label.endswith("· pSALE")]
    assert tile.value == "–"
    assert "in this scenario" in tile.delta
    (lead,) = [metric for metric in at.metric if metric.label.endswith("· pLEAD")]
    assert lead.value.endswith("%")
    (doors,) = [f.value for f in at.dataframe if "own" in f.value.columns]
    known = doors.set_index("scenario")
    assert known.loc[["web", "partner"], "pSALE"].tolist() == ["–", "–"]
    assert known.loc["app", "pSALE"].endswith("%")
    assert known.loc["app", "pLEAD"] == "–"
