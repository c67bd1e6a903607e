"""The Utilisation Atlas through AppTest."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

import aesm2
from aesm2.data.dataset import Dataset
from aesm2.data.scenarios import OVERALL
from aesm2.plots import utilisation as utilisation_plot
from aesm2.routing.shares import layer_choices, layer_shares
from app.cache import figures
from tests import small
from tests.app.conftest import with_numbers

PAGE = "views/atlas.py"
OPTIONS = "atlas-own-share-specific-shared-all"  # key of the chart with the default options
Start = Callable[..., AppTest]


def sound(at: AppTest) -> AppTest:
    assert not at.exception
    assert [error.value for error in at.error] == []
    return at


def charts(at: AppTest) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")]


def shapes(chart: dict[str, Any]) -> list[tuple[int, int]]:
    return [
        (len(trace["text"]), len(trace["text"][0]))
        for trace in chart["data"]
        if trace["type"] == "heatmap"
    ]


def address(at: AppTest) -> dict[str, str]:
    """The address as text; AppTest gives a value or a list of one."""
    return {n: v if isinstance(v, str) else v[0] for n, v in at.query_params.items()}


def pick(at: AppTest, label: str, value: str) -> AppTest:
    (box,) = [box for box in at.selectbox if box.label == label]
    return box.select(value).run()


def click(at: AppTest, cell: list[Any], key: str = OPTIONS) -> AppTest:
    points = [{"customdata": cell}]
    at.session_state[key] = {"selection": {"points": points}}
    return at.run()


def panel(at: AppTest) -> str:
    (text,) = [m.value for m in at.markdown if m.value.startswith("**Expert")]
    return text


def test_it_shows_every_layer_in_both_roles(start: Start) -> None:
    at = sound(start(PAGE))
    use, distance = charts(at)
    assert shapes(use) == [(3, 5), (3, 5), (2, 5), (2, 5), (2, 3), (2, 3)]
    assert shapes(distance) == [(3, 3)]
    says = next(m.value for m in at.markdown if m.value.startswith("- In country.1"))
    assert 2 <= len(says.splitlines()) <= 4
    assert "most alike" in says
    labels = [annotation["text"] for annotation in use["layout"]["annotations"]]
    assert any("simulated data" in label and "test split" in label for label in labels)


def test_the_numbers_are_those_of_the_library(start: Start) -> None:
    at = with_numbers(start(PAGE), "atlas-own")
    checkpoint = aesm2.load(small.run() / "checkpoint", "cpu")
    frame = Dataset.open(small.dataset()).split("test")
    used = checkpoint.utilisation(frame)
    shares = layer_shares(used, "country.1", "country")
    table = at.dataframe[0].value
    mine = table[(table["layer"] == "country.1") & (table["role"] == "specific")]
    np.testing.assert_allclose(
        mine["share"].to_numpy().reshape(3, 5), shares.values("specific", "share")[0]
    )


def test_other_splits(start: Start) -> None:
    at = with_numbers(start(PAGE), "atlas-own")
    before = at.dataframe[0].value["rows"].iloc[0]
    for split in ("validation", "train"):
        at = sound(pick(at, "Rows", split))
        assert address(at)["rows"] == split
    assert at.dataframe[0].value["rows"].iloc[0] > before


@pytest.mark.parametrize(
    ("label", "value", "wanted"),
    [
        ("Scenarios", "page", [(2, 5)] * 4 + [(4, 3)] * 2),
        ("Scenarios", "path", [(6, 5)] * 4 + [(12, 3)] * 2),
        ("Measure", "weight", [(3, 5), (2, 5), (2, 3)]),
        ("Measure", "count", [(3, 5), (3, 5), (2, 5), (2, 5), (2, 3), (2, 3)]),
        ("Role", "shared", [(3, 5), (2, 5), (2, 3)]),
        ("Layers", "one", [(3, 5), (3, 5)]),
    ],
)
def test_options(start: Start, label: str, value: str, wanted: list[tuple[int, int]]) -> None:
    at = sound(pick(start(PAGE), label, value))
    assert shapes(charts(at)[0]) == wanted
    again = sound(start(PAGE, **address(at)))
    assert shapes(charts(again)[0]) == wanted, "the address brings the options back"


def test_distance_over_all_layers_and_for_a_task_layer(start: Start) -> None:
    at = sound(pick(start(PAGE), "Distance over", "all"))
    assert any("all layers" in m.value for m in at.markdown)
    task = sound(start(PAGE, layer="task.1"))
    assert shapes(charts(task)[1]) == [(3, 3)]
    assert any("In task.1, for ctr" in m.value for m in task.markdown)


@pytest.mark.parametrize("role", ["specific", "shared"])
def test_a_click_lists_the_rows_that_chose_the_expert(start: Start, role: str) -> None:
    checkpoint = aesm2.load(small.run() / "checkpoint", "cpu")
    frame = Dataset.open(small.dataset()).split("test")
    batch = checkpoint.encode(frame)
    choices = layer_choices(checkpoint.model, batch, "country.1")
    mask = choices.specific if role == "specific" else choices.shared
    of_fr = batch.scenarios[:, 0].numpy() == 0
    expert = int((mask[0] & of_fr[:, None]).sum(0).argmax())
    positions = np.flatnonzero(mask[0, :, expert] & of_fr)
    at = sound(click(start(PAGE), ["country.1", role, 0, "country", 0, expert]))
    assert f"{len(positions):,} of {of_fr.sum():,} rows take it" in panel(at)
    listed = next(d.value for d in at.dataframe if list(d.value.columns)[:2] == ["row", "scenario"])
    assert listed["row"].tolist() == [str(i) for i in frame.index[positions[:20]]]
    assert listed["scenario"].str.startswith("fr → ").all()


def test_open_in_the_lens(start: Start) -> None:
    at = click(start(PAGE), ["task.1", "shared", 1, OVERALL, 0, 0])
    if "0 of" in panel(at):
        at = click(start(PAGE), ["task.1", "shared", 1, OVERALL, 0, 1])
    listed = next(d.value for d in at.dataframe if list(d.value.columns)[:2] == ["row", "scenario"])
    (button,) = [b for b in at.button if b.label == "Open the first in the Lens"]
    at = sound(button.click().run())
    view = address(at)
    assert view["row"] == listed["row"].iloc[0]
    assert view["layer"] == "task.1"
    assert view["task"] == "ctcvr"
    assert view["rows"] == "test"
    assert view["expert"] in ("0", "1")
    assert any("Instance Lens" in header.value for header in at.header)


def test_a_cell_of_a_path_sets_every_level(start: Start) -> None:
    at = start(PAGE, grouping="path")
    key = OPTIONS.replace("own", "path")
    for expert in range(5):
        at = click(at, ["page.1", "shared", 0, "path", 3, expert], key)
        if buttons := [b for b in at.button if b.label == "Open the first in the Lens"]:
            at = buttons[0].click().run()
            break
    assert address(at)["s-country"] == "it"
    assert address(at)["s-page"] == "1"


def test_a_cell_that_nobody_chose_offers_nothing(start: Start) -> None:
    checkpoint = aesm2.load(small.run() / "checkpoint", "cpu")
    used = checkpoint.utilisation(Dataset.open(small.dataset()).split("test"))
    counts = layer_shares(used, "country.1", "country").specific[0]
    scenario, expert = map(int, np.argwhere(counts == 0)[0])
    at = sound(click(start(PAGE), ["country.1", "specific", 0, "country", scenario, expert]))
    assert ": 0 of" in panel(at)
    assert not [b for b in at.button if "Lens" in b.label]


def test_training_rows_open_in_the_lens_too(start: Start) -> None:
    checkpoint = aesm2.load(small.run() / "checkpoint", "cpu")
    frame = Dataset.open(small.dataset()).split("train")
    counts = layer_shares(checkpoint.utilisation(frame), "country.1", OVERALL).shared[0, 0]
    expert = int(counts.argmax())
    at = sound(click(start(PAGE, rows="train"), ["country.1", "shared", 0, OVERALL, 0, expert]))
    at = sound(at.button(key="atlas-open").click().run())
    view = dict(at.query_params)
    assert view["rows"] == "train"
    assert int(view["row"]) in frame.index
    assert any(f"Row {view['row']}" in s.value for s in at.subheader)


@pytest.mark.parametrize(
    "cell",
    [
        ["gone.1", "specific", 0, "country", 0, 0],
        ["country.1", "specific", 0, "city", 0, 0],
        ["country.1", "specific", 0, "country", 9, 0],
        ["country.1", "specific", 0, "country", 0, 99],
    ],
)
def test_a_click_of_another_checkpoint_is_forgotten(start: Start, cell: list[Any]) -> None:
    at = sound(click(start(PAGE), cell))
    assert not [m for m in at.markdown if m.value.startswith("**Expert")]


def test_the_bars_scenario_restricts_the_rows(start: Start) -> None:
    whole = with_numbers(start(PAGE, layers="one"), "atlas-own")
    part = with_numbers(sound(start(PAGE, layers="one", s__country="it")), "atlas-own")
    table = part.dataframe[0].value
    rows = table.groupby("scenario")["rows"].first()
    assert rows["fr"] == rows["elsewhere"] == 0
    assert rows["it"] == whole.dataframe[0].value.groupby("scenario")["rows"].first()["it"]
    assert any("nothing to compare" in info.value for info in part.info)
    assert any("Only rows of country it" in caption.value for caption in part.caption)
    (button,) = [b for b in part.button if b.label == "Show all scenarios"]
    at = sound(button.click().run())
    assert "s-country" not in at.query_params


def test_a_model_without_selection_says_so(start: Start) -> None:
    at = start(PAGE, checkpoint="plain")
    assert not at.exception
    (error,) = at.error
    assert "no expert selection" in error.value
    assert charts(at) == []


def test_without_the_dataset_the_way_on_is_offered(
    start: Start, small_root: Path, tmp_path: Path
) -> None:
    shutil.copytree(small_root / "checkpoints", tmp_path / "bare" / "checkpoints")
    at = sound(start(PAGE, root=tmp_path / "bare"))
    (warning,) = at.warning
    assert "dataset 'shop' of this checkpoint is not here" in warning.value
    assert len(at.get("page_link")) == 1
    assert charts(at) == []


def test_a_level_with_a_single_gate(start: Start, tmp_path: Path) -> None:
    described = small.DESCRIPTION.replace("values = [0, 1]", "values = [0]").replace(
        'keep = { country = ["fr", "it", "xx"] }', "keep = { page = [0] }"
    )
    root = tmp_path / "single"
    data = small.write_dataset(root / "data_samples" / "shop", described)
    small.fit(tmp_path / "run", small.config(epochs=1), dataset=data)
    shutil.copytree(tmp_path / "run" / "checkpoint", root / "checkpoints" / "shop")
    at = sound(start(PAGE, root=root, layer="page.1"))
    assert any("has a single gate" in m.value for m in at.markdown)
    assert any("nothing to compare" in info.value for info in at.info)


def test_hostile_addresses(start: Start) -> None:
    bad = {"rows": "../x", "grouping": "city", "measure": "?", "roles": "none", "layers": "9"}
    at = sound(start(PAGE, over="x", layer="gone", s__country="zz", **bad))
    assert len(charts(at)) == 2


def test_a_figure_is_built_once_for_a_view_and_anew_for_another(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[go.Figure] = []
    draw = utilisation_plot.utilisation_figure

    def counted(*arguments: Any) -> go.Figure:
        built.append(draw(*arguments))
        return built[-1]

    monkeypatch.setattr(utilisation_plot, "utilisation_figure", counted)
    figures._drawn.clear()
    at = sound(start(PAGE))
    at.run()
    assert len(built) == 1
    first = charts(at)[0]
    pick(at, "Role", "shared")
    assert len(built) == 2
    assert charts(at)[0] != first
    pick(at, "Role", "both")
    assert len(built) == 2
    assert charts(at)[0]["data"] == first["data"]
    at = sound(start(PAGE, s__country="fr"))
    assert len(built) == 3
    assert charts(at)[0]["data"] != first["data"]
