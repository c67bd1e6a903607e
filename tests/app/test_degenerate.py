"""Every page on datasets at the edges of what a description allows."""

import base64
import re
from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import aesm2
from aesm2.checkpoint import Checkpoint
from aesm2.data.counts import count, stored_counts
from app.atlas import page as atlas
from tests import degenerate
from tests.app.test_data import charts, sound, table, texts

Start = Callable[..., AppTest]
PAGES = {n: f"views/{n}.py" for n in ("home", "data", "lens", "atlas", "curves", "slices")}
PARTIAL = "some_scenarios"  # ctcvr only in fr, like only on page 1 and without half of its labels


def opened(name: str) -> Checkpoint:
    return aesm2.load(degenerate.root() / "checkpoints" / name, "cpu")


def page(start: Start, name: str, path: str, **view: str) -> AppTest:
    return sound(start(PAGES[path], root=degenerate.root(), checkpoint=name, **view))


def tiles(at: AppTest) -> dict[str, tuple[str, str]]:
    return {metric.label: (metric.value, metric.delta) for metric in at.metric}


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("name", degenerate.NAMES)
def test_every_page_stands(start: Start, name: str, path: str) -> None:
    page(start, name, path)


@pytest.mark.parametrize("path", ["data", "lens", "atlas", "curves"])
def test_the_task_layer_of_tasks_that_exist_in_some_scenarios(start: Start, path: str) -> None:
    view = {"grouping": "path", "data__by": "path", "curve__by": "page", "snapshot__by": "country"}
    page(start, PARTIAL, path, layer="task.1", s__country="it", **view)


def test_the_lens_shows_no_prediction_and_no_label_where_there_is_none(start: Start) -> None:
    at = page(start, PARTIAL, "lens", s__country="it", s__page="0", layer="task.1", task="like")
    shown = tiles(at)
    assert shown["pCVR"][0] == "–"
    assert shown["ctcvr · pCTCVR"] == shown["like · pLIKE"] == ("–", "not in this scenario")
    assert shown["ctr · pCTR"][0].endswith("%")
    rows = at.dataframe[0].value
    assert rows[["pCTCVR", "pLIKE", "buy", "like"]].isna().all(axis=None)
    assert rows[["pCTR", "click"]].notna().all(axis=None)
    doors = table(at, "own").set_index("scenario")
    assert doors["pCTCVR"].eq("–").tolist() == [s != "fr" for s in doors.index]
    assert "like does not exist in this row's scenario" in texts(at)


def test_a_row_may_lack_its_label_where_the_task_exists(start: Start) -> None:
    rows = degenerate.rows()
    lacks = rows[(rows.index % 2 == 0) & (rows["page"] == 1) & (rows["day"] >= 9)].index[0]
    at = page(start, PARTIAL, "lens", row=str(lacks))
    value, delta = tiles(at)["like · pLIKE"]
    assert value.endswith("%")
    assert delta == "no label"


def test_another_door_to_a_task_and_from_it(start: Start) -> None:
    rows = degenerate.rows()
    row = rows[(rows["country"] == "it") & (rows["day"] >= 9)].index[0]
    at = page(start, PARTIAL, "lens", row=str(row), to__country="fr")
    found = table(at, "as it is").set_index("prediction")
    assert found.loc["pCTCVR", "as it is"] == found.loc["pCTCVR", "difference"] == "–"
    assert found.loc["pCTCVR", "changed"].endswith("%")


def test_home_says_where_there_are_no_labels_and_counts_those_there_are(start: Start) -> None:
    at = page(start, PARTIAL, "home", data__by="page")
    words = [text for trace in charts(at)["home-metrics-test-levels"]["data"]
             for text in trace["text"]]  # fmt: skip
    assert sum("no labels here" in word for word in words) == 4  # ctcvr in 3 countries, like on 0
    found = table(at, "ALL").set_index("measure")
    labelled = degenerate.rows()[lambda f: (f["page"] == 1) & (f.index % 2 == 1)]
    assert found.loc["#like"].tolist() == [f"{labelled['like'].sum()}", "–",
                                           f"{labelled['like'].sum()}"]  # fmt: skip
    assert found.loc["#like / #impressions", "1"] == f"{labelled['like'].mean():.2%}"


def test_stored_counts_are_those_of_the_rows() -> None:
    for name in degenerate.NAMES:
        checkpoint = opened(name)
        schema = checkpoint.encoder.schema
        frame = aesm2.Dataset.open(degenerate.root() / "data_samples" / name).frame()
        found = count(checkpoint.encode(frame, labels=True), schema)
        stored = stored_counts(checkpoint.statistics, schema, "all")
        for values in ("impressions", "labelled", "given", "positives"):
            np.testing.assert_array_equal(getattr(found, values), getattr(stored, values))


def test_disagreement_is_among_scenarios_that_have_the_task(start: Start) -> None:
    at = page(start, PARTIAL, "home", task="ctcvr")
    assert "No row here is in a scenario that shares this task with another one" in texts(at)
    at = page(start, PARTIAL, "home", task="like")
    assert not re.search(r"\bnan\b", texts(at))
    assert "The same features scored under every country: like is" in texts(at)


def test_the_atlas_leaves_out_tasks_where_they_do_not_exist(start: Start) -> None:
    at = page(start, PARTIAL, "atlas", grouping="country", layer="task.1", layers="one")
    (found,) = [figure for key, figure in charts(at).items() if key.startswith("atlas-country")]
    ticks = found["layout"]["yaxis"]["ticktext"]
    gone = [tick.split("<br>")[0] for tick in ticks if "no such task here" in tick]
    assert gone == ["ctcvr · it", "ctcvr · xx", "ctcvr · zz"]
    test = degenerate.rows()[lambda f: f["day"] >= 9]
    italian = ((test["country"] == "it") & (test["page"] == 1)).sum()
    assert f"like · it<br>n = {italian}" in ticks
    effective = table(at, "effective, shared")
    assert effective.loc[effective["task"] == "ctcvr", "rows"].tolist() == [
        (test["country"] == "fr").sum()
    ]


def test_a_cell_of_a_task_holds_only_rows_that_have_it(start: Start) -> None:
    test = degenerate.rows()[lambda f: f["day"] >= 9]
    clicked = []
    for expert in range(3):
        at = page(start, PARTIAL, "atlas", layer="task.1")
        (key,) = [key for key in charts(at) if key.startswith("atlas-own")]
        cell = ["task.1", "specific", 1, "all", 0, expert]
        at.session_state[key] = {"selection": {"points": [{"customdata": cell}]}}
        clicked.append(texts(sound(at.run())))
    of = f"of {(test['country'] == 'fr').sum()} rows take it"
    assert all(of in said for said in clicked)


def test_many_fine_grained_scenarios_are_drawn_for_one_layer(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atlas, "MOST_LINES", 100)
    at = page(start, "four_levels", "atlas", grouping="path", layer="device.1")
    assert "Too many scenarios to draw every layer: only device.1" in texts(at)
    (found,) = [figure for key, figure in charts(at).items() if key.startswith("atlas-path")]
    titles = [note["text"] for note in found["layout"]["annotations"]]
    assert all(title.startswith(("device.1", "private data")) for title in titles)


def test_one_scenario_can_only_be_compared_over_time(start: Start) -> None:
    at = page(start, "one_scenario", "data")
    assert "Only one scenario has rows here; compare training and test" in texts(at)
    at = page(start, "one_scenario", "data", drift="splits")
    assert [key for key in charts(at) if key.startswith("data-drift")]


def test_a_level_without_a_column_is_searched_like_any_other(start: Start) -> None:
    at = start(PAGES["lens"], root=degenerate.root(), checkpoint="one_scenario", q="prize=3")
    (error,) = at.error
    assert "the search names 'prize', which is no column" in error.value


def test_a_chain_of_four_has_a_rate_a_task_and_one_a_step(start: Start) -> None:
    at = page(start, "chain", "data")
    rates = [key.split("-")[2:4] for key in charts(at) if key.startswith("data-rate")]
    assert rates == [
        ["ctr", "impressions"], ["ctcvr", "impressions"], ["paid", "impressions"],
        ["kept", "impressions"], ["ctcvr", "ctr"], ["paid", "ctcvr"], ["kept", "paid"],
        ["ctcvr", "value"],
    ]  # fmt: skip
    given = {label: delta for label, (_, delta) in tiles(page(start, "chain", "lens")).items()}
    assert given["pCVR"] == "given CTR"
    assert given["pPAY"] == "given CTCVR"
    assert given["pKEEP"] == "given PAID"


def test_independent_tasks_have_no_conditional_rate(start: Start) -> None:
    at = page(start, "independent", "data")
    rates = [key for key in charts(at) if key.startswith("data-rate")]
    assert len(rates) == 2
    measures = table(at, "ALL")["measure"]
    assert not measures.str.contains("#like / #ctr").any()


def test_values_are_added_up_over_positives(start: Start) -> None:
    at = page(start, "chain", "data")
    value = charts(at)["data-rate-ctcvr-value-country-all"]["data"][0]["x"]
    rows = degenerate.rows()
    worth = rows["worth"].where((rows["click"] == 1) & (rows["buy"] == 1), 0)
    by_country = worth.groupby(rows["country"]).mean()[["fr", "it", "xx", "zz"]]
    drawn = np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"])
    np.testing.assert_allclose(drawn, 1000 * np.array([worth.mean(), *by_country]))
