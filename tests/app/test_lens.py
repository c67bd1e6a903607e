"""The Instance Lens, driven as a user would."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

from aesm2.checkpoint import load
from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from app import cache
from app.cache import RowSet
from app.lens import page as lens
from app.lens import rows as lens_rows
from app.metrics import TimedLock
from app.rows import search as row_search
from app.rows import table as row_table
from app.rows import upload
from tests import small
from tests.app.conftest import each_gets_its_own

Start = Callable[..., AppTest]
LENS = "views/lens.py"


@pytest.fixture(scope="module")
def rows() -> RowSet:
    frame = Dataset.open(small.dataset()).split("test")
    checkpoint = load(small.run() / "checkpoint", "cpu")
    return RowSet("x:test", "test", frame, checkpoint.encode(frame, labels=True), True)


def filtered(rows: RowSet, query: str, path: tuple[int | None, ...] = (None, None)) -> pd.DataFrame:
    described = load(small.run() / "checkpoint", "cpu").description
    return rows.frame.iloc[row_search.filtered(rows, described, path, query)]


def headings(at: AppTest) -> list[str]:
    return [heading.value for heading in at.subheader]


def said(at: AppTest) -> str:
    return "\n".join(element.value for element in [*at.markdown, *at.caption, *at.info])


def button(at: AppTest, key: str) -> AppTest:
    return at.button(key=key).click().run()


def param(at: AppTest, name: str) -> str:
    value = at.query_params[name]
    return value if isinstance(value, str) else value[-1]


def clean(at: AppTest) -> AppTest:
    assert not at.exception
    assert not at.error
    return at


def test_search_by_id_and_by_condition(rows: RowSet) -> None:
    name = rows.frame.index[7]
    assert list(filtered(rows, str(name)).index) == [name]
    assert filtered(rows, "999999").empty
    assert filtered(rows, "abc").empty
    user = int(rows.frame["user"].iloc[0])
    assert (filtered(rows, f"user={user}")["user"] == user).all()
    assert len(filtered(rows, "")) == len(rows.frame)
    both = filtered(rows, "price>=3, price<6 country != fr")
    assert len(both)
    assert both["price"].between(3, 5.99).all()
    assert (both["country"] != "fr").all()
    assert filtered(rows, "age=missing")["age"].isna().all()
    assert filtered(rows, 'age!=missing country="it"')["age"].notna().all()
    assert (filtered(rows, "age>0")["age"] > 0).all()


def test_the_path_of_the_bar_filters(rows: RowSet) -> None:
    assert set(filtered(rows, "", (1, None))["country"]) == {"it"}
    assert set(filtered(rows, "", (2, 0))["country"]) == {"xx"}
    assert set(filtered(rows, "", (2, 0))["page"]) == {0}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("prize=3", "did you mean 'price'"),
        ("price=dear", "needs a number"),
        ("country>fr", "use = or !="),
    ],
)
def test_a_search_that_makes_no_sense_is_explained(rows: RowSet, query: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        filtered(rows, query)


def test_rows_may_be_named_by_text(rows: RowSet) -> None:
    named = replace(rows, frame=rows.frame.set_axis([f"r{i}" for i in range(len(rows.frame))]))
    assert list(filtered(named, "r3").index) == ["r3"]


def test_values_are_spelt_for_reading() -> None:
    assert [lens.spell(v) for v in (None, np.nan, 1.0, 0.1234567, 7, "x")] == [
        "—", "—", "1", "0.123457", "7", "x",
    ]  # fmt: skip
    assert lens.percent(0.25) == "25.00 %"
    assert lens.percent(0.00001) == "0.001 %"
    assert lens.points(-0.0123) == "−1.23 points"


def test_the_page_from_top_to_bottom(start: Start, rows: RowSet) -> None:
    at = clean(start(LENS))
    first = str(rows.frame.index[0])
    assert headings(at)[0] == f"Row {first}"
    assert headings(at)[1].startswith("Layer country.1: the choice for country ")
    assert len(at.get("plotly_chart")) == 8
    table = at.dataframe[0].value
    assert list(table["row"]) == [str(name) for name in rows.frame.index]
    assert {"scenario", "pCTR", "pCTCVR", "click", "buy"} <= set(table.columns)
    metrics = {m.label: m.value for m in at.metric}
    checkpoint = load(small.run() / "checkpoint", "cpu")
    predicted = checkpoint.predict(rows.frame.head(1)).iloc[0]
    assert metrics["ctr · pCTR"] == lens.percent(predicted["ctr"])
    assert metrics["pCVR"] == lens.percent(predicted["ctcvr"] / predicted["ctr"])
    assert metrics["ctcvr · pCTCVR"] == lens.percent(predicted["ctcvr"])


@pytest.mark.parametrize("layer", ["country.1", "page.1", "task.1"])
@pytest.mark.parametrize("task", ["ctr", "ctcvr"])
def test_every_layer_and_task(start: Start, layer: str, task: str) -> None:
    at = clean(start(LENS, layer=layer, task=task))
    assert headings(at)[1].startswith(f"Layer {layer}: the choice for ")
    if layer == "task.1":
        assert headings(at)[1].endswith(f"task {task}")


def test_the_address_names_the_row_and_the_source(start: Start, rows: RowSet) -> None:
    name = str(rows.frame.index[20])
    at = clean(start(LENS, row=name))
    assert headings(at)[0] == f"Row {name}"
    validation = Dataset.open(small.dataset()).split("validation")
    at = clean(start(LENS, rows="validation"))
    assert headings(at)[0] == f"Row {validation.index[0]}"


def test_changing_the_source_lets_go_of_a_row_it_does_not_have(start: Start, rows: RowSet) -> None:
    at = start(LENS, row=str(rows.frame.index[20]))
    at.selectbox(key="view-rows").select("validation").run()
    validation = Dataset.open(small.dataset()).split("validation")
    assert headings(clean(at))[0] == f"Row {validation.index[0]}"


def test_an_id_that_is_not_there_is_told_kindly(start: Start, rows: RowSet) -> None:
    at = clean(start(LENS, row="123456789"))
    assert any("no row “123456789”" in info.value for info in at.info)
    assert not at.get("plotly_chart")
    at = clean(button(at, "lens-first"))
    assert headings(at)[0] == f"Row {rows.frame.index[0]}"


def test_a_filter_without_rows_offers_to_clear_it(start: Start, rows: RowSet) -> None:
    at = clean(start(LENS, s__country="it", q="price>1000"))
    assert any("No row has country = it and “price>1000”" in info.value for info in at.info)
    at = clean(button(at, "lens-clear"))
    assert headings(at)[0] == f"Row {rows.frame.index[0]}"
    assert "q" not in at.query_params
    assert "s-country" not in at.query_params


def test_a_random_row_is_one_of_the_filtered(start: Start, rows: RowSet) -> None:
    at = clean(button(start(LENS, s__country="it"), "lens-random"))
    name = int(param(at, "row"))
    assert rows.frame.loc[name, "country"] == "it"


def test_a_search_that_fails_is_a_message(start: Start) -> None:
    at = start(LENS, q="prize=3")
    assert not at.exception
    assert "did you mean 'price'" in at.error[0].value


def test_the_expert_of_the_view(start: Start) -> None:
    at = clean(start(LENS, expert="3"))
    assert at.selectbox(key="view-expert").value == "3"
    assert "Expert 3 gives" in said(at)
    at.selectbox(key="view-expert").select("1").run()
    assert param(at, "expert") == "1"
    assert "Expert 1 gives" in said(clean(at))


def test_an_expert_that_the_layer_has_not_gives_way(start: Start) -> None:
    at = clean(start(LENS, layer="task.1", expert="4"))
    assert at.selectbox(key="view-expert").value in "012"


def test_unseen_and_missing_features_are_flagged(start: Start, rows: RowSet) -> None:
    name = str(rows.frame.index[rows.frame["age"].isna().argmax()])
    at = clean(start(LENS, row=name))
    (user,) = [d.value for d in at.dataframe if "encoded as" in d.value.columns
               and "age" in set(d.value["feature"])]  # fmt: skip
    age = user.set_index("feature").loc["age"]
    assert (age["value"], age["encoded as"], age["flag"]) == ("—", "missing", "∅")


def test_another_door_is_compared_and_undone(start: Start, rows: RowSet) -> None:
    own = rows.frame["country"].iloc[0]
    other = "fr" if own != "fr" else "it"
    at = clean(start(LENS, to__country=other))
    (table,) = [d.value for d in at.dataframe if "difference" in d.value.columns]
    assert list(table["prediction"]) == ["pCTR", "pCVR", "pCTCVR"]
    expected = load(small.run() / "checkpoint", "cpu").predict(
        rows.frame.head(1).assign(country=other)
    )
    assert table["changed"].iloc[0] == lens.percent(expected["ctr"].iloc[0])
    assert len(at.get("plotly_chart")) == 10
    at = clean(button(at, "lens-reset"))
    assert "to-country" not in at.query_params
    assert len(at.get("plotly_chart")) == 8


def test_a_feature_is_changed_listed_and_taken_back(start: Start) -> None:
    at = start(LENS)
    at.selectbox(key="lens-feature").select("price").run()
    at.number_input[-1].set_value(4.5)
    at = clean(button(at, "lens-change"))
    assert param(at, "set") == "price=4.5"
    assert any("→ 4.5" in b.label for b in at.button)
    at.selectbox(key="lens-feature").select("brand").run()
    at = clean(button(at, "lens-change"))  # nothing chosen: missing
    assert param(at, "set") == "price=4.5;brand"
    assert any("→ missing" in b.label for b in at.button)
    at = clean(button(at, "lens-undo-price"))
    assert param(at, "set") == "brand"


def test_changes_that_do_not_fit_are_left_out(start: Start) -> None:
    at = clean(start(LENS, set="prize=3"))
    assert any("were left out" in info.value for info in at.info)
    assert "set" not in at.query_params


def test_the_prediction_through_every_door(start: Start) -> None:
    at = clean(start(LENS))
    (table,) = [d.value for d in at.dataframe if "own" in d.value.columns]
    assert list(table["scenario"]) == ["fr", "it", "elsewhere", "0", "1"]
    assert list(table["own"]).count("▶") == 2
    assert (table.loc[table["own"] == "▶", "Δ pCTR"] == "+0.00 points").all()


def test_a_model_without_selection_has_predictions_and_a_notice(start: Start) -> None:
    at = clean(start(LENS, checkpoint="plain", to__page="1"))
    assert any("no expert selection" in info.value for info in at.info)
    assert len(at.metric) == 3
    assert not at.get("plotly_chart")
    assert [d for d in at.dataframe if "own" in d.value.columns]


def test_a_page_beyond_the_last_is_the_last(
    start: Start, monkeypatch: pytest.MonkeyPatch, rows: RowSet
) -> None:
    monkeypatch.setattr(row_table, "PAGE", 20)
    at = clean(start(LENS, rows__page="99"))
    assert at.number_input(key="view-rows-page").value == 5
    assert list(at.dataframe[0].value["row"]) == [str(n) for n in rows.frame.index[80:]]
    assert len(clean(start(LENS, rows__page="x")).dataframe[0].value) == 20


def test_each_row_task_and_change_has_its_own_figures(start: Start, rows: RowSet) -> None:
    layer, other = {"layer": "task.1"}, {"row": str(rows.frame.index[20])}
    own = rows.frame["country"].iloc[0]
    through = [{"to-country": name} for name in ("fr", "it", "elsewhere") if name != own]
    each_gets_its_own(
        start, LENS, layer, layer | {"task": "ctr"}, layer | other, {"rows": "validation"},
        *through, through[0] | {"set": "price=4.5"},
    )  # fmt: skip


def test_rows_of_one_name_are_told_apart_and_uploads_not_kept(rows: RowSet) -> None:
    opened = cache.Opened(load(small.run() / "checkpoint", "cpu"), TimedLock(lambda _: None))
    figures = [go.Figure(), go.Figure()]
    first, second = (
        lens_rows.drawn(opened, rows, place)("figure = …", lambda own=own: own)
        for place, own in enumerate(figures)
    )
    assert first is not second
    assert lens_rows.drawn(opened, rows, 0)("figure = …", go.Figure) is first
    upload = replace(rows, id="upload:1")
    assert lens_rows.drawn(opened, upload, 0)("figure = …", lambda: figures[0]) is figures[0]
    assert lens_rows.told(opened, upload, "x", lambda: 1) == 1
    assert lens_rows.told(opened, upload, "x", lambda: 2) == 2


def test_whole_numbers_that_no_float_holds_are_told_apart(rows: RowSet) -> None:
    ids = 2**53 + np.arange(len(rows.frame))
    large = replace(rows, frame=rows.frame.assign(user=ids))
    for query, found in ((f"user={ids[1]}", [1]), (f"user<{ids[2]}", [0, 1]), ("user=1e3", [])):
        assert list(filtered(large, query)["user"]) == list(ids[found])
    gone = rows.frame.assign(user=pd.array([*ids[:-1], None], dtype="Int64"))
    assert len(filtered(replace(rows, frame=gone), f"user!={ids[1]}")) == len(ids) - 2


def uploads(monkeypatch: pytest.MonkeyPatch, rows: RowSet, *prices: float) -> None:
    """Let files of three rows be there, one of each price."""
    frame = rows.frame.head(3).reset_index(drop=True)
    kept = {f"upload:{p}": (f"{p}.csv", frame.assign(price=p)) for p in prices}
    monkeypatch.setattr(upload, "_uploads", lambda: kept)


def test_a_new_value_begins_with_that_of_the_row(
    start: Start, rows: RowSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads(monkeypatch, rows, 5.0, 7.0)
    at = start(LENS, rows="upload:5.0")
    at = clean(at.selectbox(key="lens-feature").select("price").run())
    assert at.number_input[-1].value == 5
    at = clean(at.selectbox(key="view-rows").select("upload:7.0").run())
    assert at.number_input[-1].value == 7  # row 0 of either file


def test_an_infinite_number_breaks_no_page(
    start: Start, rows: RowSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads(monkeypatch, rows, np.inf)
    at = start(LENS, rows="upload:inf")
    at = clean(at.selectbox(key="lens-feature").select("price").run())
    assert at.number_input[-1].value is None


@pytest.mark.parametrize("view", [{"expert": "²"}, {"rows__page": "9" * 5000}], ids=["²", "9…"])
def test_what_only_looks_like_a_number_is_none(start: Start, view: dict[str, str]) -> None:
    assert len(clean(start(LENS, **view)).get("plotly_chart")) == 8
