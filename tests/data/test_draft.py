"""A draft for a table nobody has described: it parses, it trains, and it doubts what it should."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import aesm2
from aesm2.data.dataset import Dataset
from aesm2.data.description import Description, read_description
from aesm2.data.draft import Draft, draft, draft_description, to_toml
from aesm2.data.draft.preview import preview, scenario_table, task_table
from aesm2.errors import InputError
from tests import small

ROWS = 800


def table(**columns: object) -> pd.DataFrame:
    """A reasonable log: ten days in order, clicks by price and tab, sales after clicks."""
    rng = np.random.default_rng(0)
    price, tab = rng.random(ROWS).round(3), rng.integers(0, 3, ROWS)
    click = rng.random(ROWS) < 0.1 + 0.3 * price + 0.3 * (tab == 1)
    return pd.DataFrame(
        {
            "user_id": rng.integers(0, 30, ROWS),
            "tab": tab,
            "date": np.repeat(np.arange(20220421, 20220431), ROWS // 10),
            "price": price,
            "click": click.astype(int),
            "purchase": (click & (rng.random(ROWS) < 0.4)).astype(int),
        }
    ).assign(**columns)


def write(folder: Path, frame: pd.DataFrame, suffix: str = "parquet") -> Draft:
    file = folder / f"log.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(file, index=False)
    else:
        frame.to_csv(file, index=False)
    return draft(file)


def described(folder: Path, made: Draft) -> tuple[str, Description]:
    """Write a draft beside its table, as `aesm2 describe log.csv > dataset.toml` would."""
    text = to_toml(made)
    (folder / "dataset.toml").write_text(text, encoding="utf-8")
    return text, read_description(folder)


def drafted(folder: Path, frame: pd.DataFrame, suffix: str = "parquet") -> tuple[str, Description]:
    return described(folder, write(folder, frame, suffix))


def refused(folder: Path, frame: pd.DataFrame) -> str:
    with pytest.raises(InputError) as caught:
        drafted(folder, frame)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def trains(folder: Path) -> aesm2.Checkpoint:
    made = small.fit(folder / "run", small.config(epochs=1), dataset=folder)
    return aesm2.load(made, "cpu")


def why_left_out(text: str, column: str) -> str:
    """Why a column is left out of the features."""
    key = f"# {column} = "
    (line,) = [line for line in text.splitlines() if line.startswith(key)]
    return line.split("left out: ")[1]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_reasonable_table_is_described_and_trains_in_one_go(tmp_path: Path, suffix: str) -> None:
    text, found = drafted(tmp_path, table(), suffix)
    assert text.startswith(f"# Drafted from log.{suffix}: all 800 rows looked at. Check every")
    assert found.name == found.title == "log"
    assert (found.provenance, found.licence) == ("private", "unknown")
    assert found.source.table == f"log.{suffix}"
    assert [(lv.name, lv.column, lv.scenarios) for lv in found.level] == [
        ("tab", "tab", ("0", "1", "2"))
    ]
    assert [(t.name, t.label, t.follows, t.value) for t in found.task] == [
        ("click", "click", None, None),
        ("purchase", "purchase", "click", "price"),
    ]
    groups = {g: {n: f.kind for n, f in own.items()} for g, own in found.features.items()}
    assert groups == {"user": {"user_id": "categorical"}, "item": {"price": "numeric"}}
    assert why_left_out(text, "date").startswith("orders the rows")
    assert why_left_out(text, "tab") == "a scenario level; it may be a feature too"
    split = found.split
    assert (split.column, split.train.last, split.validation.first) == ("date", 20220428, 20220429)  # type: ignore[union-attr]
    assert (split.validation.last, split.test.first) == (20220429, 20220430)  # type: ignore[union-attr]
    frame = table()
    rates, rows = 100 * frame.groupby("tab")["click"].mean(), frame["tab"].value_counts()
    shown = ", ".join(f"{v} {rates[v]:.3g} % of {rows[v]}" for v in rows.index)
    assert f"# tab: rate of click by value: {shown} rows\n" in text
    opened = trains(tmp_path)
    assert opened.statistics.groupby("split")["impressions"].sum().to_dict() == {
        "train": 640,
        "validation": 80,
        "test": 80,
    }
    assert opened.predict(table()).shape == (ROWS, 2)


def day(index: int) -> pd.Timestamp:
    return pd.Timestamp(2022, 4, 25) + pd.to_timedelta(index, unit="D")


@pytest.mark.parametrize(
    "dates",
    [
        lambda days: days.dt.strftime("%Y-%m-%d"),
        lambda days: days.dt.strftime("%Y/%m/%d %H:%M"),
        lambda days: days.dt.strftime("%d.%m.%Y"),
        lambda days: days.dt.strftime("%B %d, %Y"),
        lambda days: days.dt.strftime("%m/%d/%Y %I:%M %p"),
        lambda days: days.dt.strftime("%Y-%m-%dT%H:%M:%S+02:00"),
        lambda days: days,
        lambda days: days.dt.tz_localize("Asia/Tokyo"),
        lambda days: days.dt.date,
        lambda days: days.dt.strftime("%Y%m%d").astype(int),
        lambda days: days.dt.strftime("%Y%m%d"),
        lambda days: (days - pd.Timestamp(0)).dt.total_seconds().astype(int) * 1000,
    ],
)
def test_dates_of_every_kind_split_the_rows_by_time(tmp_path: Path, dates: Any) -> None:
    days = pd.Series([day(i) for i in np.repeat(np.arange(10), ROWS // 10)]) + pd.Timedelta("9h")
    _, found = drafted(tmp_path, table(date=dates(days)))
    assert found.split.column == "date"
    sizes = Dataset.open(tmp_path).frame()["split"].value_counts().to_dict()
    assert sizes == {"train": 640, "validation": 80, "test": 80}
    assert "date" not in found.fields


def test_days_are_cut_where_the_shares_of_rows_are_nearest(tmp_path: Path) -> None:
    """Half of all rows are on the last day: it is the test split, and two more are left."""
    days = [20220421, 20220422, 20220423]
    drafted(tmp_path, table(date=np.repeat(days, [300, 100, 400])))
    sizes = Dataset.open(tmp_path).frame()["split"].value_counts().to_dict()
    assert sizes == {"train": 300, "validation": 100, "test": 400}


def test_moments_within_two_days_are_cut_as_moments(tmp_path: Path) -> None:
    moments = pd.Timestamp(2022, 4, 25) + pd.to_timedelta(np.arange(ROWS), unit="min")
    drafted(tmp_path, table(date=moments))
    sizes = Dataset.open(tmp_path).frame()["split"].value_counts().to_dict()
    assert sizes == {"train": 640, "validation": 80, "test": 80}


def test_without_a_date_rows_are_drawn_and_those_of_a_user_stay_together(tmp_path: Path) -> None:
    frame = table(n_updates=np.arange(ROWS) % 7).drop(columns="date")  # an update is no date
    text, found = drafted(tmp_path, frame)
    assert found.split.random is not None
    assert found.split.random.key == "user_id"
    assert "# at random: no column tells the time; rows of the same user_id stay together" in text
    rows = Dataset.open(tmp_path).frame()
    assert rows.groupby("user_id")["split"].nunique().eq(1).all()
    assert (
        rows["split"].value_counts(normalize=True)[["validation", "test"]].between(0.05, 0.2).all()
    )
    trains(tmp_path)


def test_a_key_of_too_few_values_gives_way(tmp_path: Path) -> None:
    made = write(tmp_path, table().drop(columns="date"))
    text, found = described(tmp_path, replace(made, key="tab"))
    assert found.split.random is not None
    assert found.split.random.key is None
    assert "# Warning: tab has too few values to keep its rows together" in text
    trains(tmp_path)


def test_without_a_date_and_a_key_every_row_is_drawn_alone(tmp_path: Path) -> None:
    _, found = drafted(tmp_path, table().drop(columns=["date", "user_id"]))
    assert found.split.random is not None
    assert found.split.random.key is None
    trains(tmp_path)


def test_a_date_that_many_rows_lack_does_not_split(tmp_path: Path) -> None:
    rare = table()["date"].where(np.arange(ROWS) % 2 == 0)
    assert drafted(tmp_path, table(date=rare))[1].split.random is not None
    some = table()["date"].where(np.arange(ROWS) % 10 > 0)
    text, found = drafted(tmp_path, table(date=some))
    assert found.split.column == "date"
    assert "# Warning: 10 % of the rows have no date and are left out" in text
    assert Dataset.open(tmp_path).frame()["split"].isna().sum() == ROWS / 10


def test_flags_as_booleans_and_as_words(tmp_path: Path) -> None:
    frame = table(premium=lambda f: f["user_id"] % 2 == 0)
    frame["click"] = frame["click"].astype(bool)
    frame["purchase"] = frame["purchase"].map({0: "No", 1: "Yes"})
    text, found = drafted(tmp_path, frame)
    assert [(task.label, task.positive) for task in found.task] == [
        ("click", ()),
        ("purchase", ("Yes",)),
    ]
    assert "premium" in found.fields
    assert "# premium: rate of " in text  # a candidate, in comments
    trains(tmp_path)


def test_a_flag_can_be_the_level_where_nothing_else_can(tmp_path: Path) -> None:
    frame = table(premium=lambda f: f["tab"] == 1).drop(columns="tab")
    _, found = drafted(tmp_path, frame)
    assert [(lv.column, lv.scenarios) for lv in found.level] == [("premium", ("0", "1"))]
    opened = trains(tmp_path)
    by_level = opened.evaluation.query("scope == 'premium' and split == 'test' and task == 'click'")
    assert set(by_level["scenario"]) == {"0", "1"}


def test_a_table_of_one_scenario(tmp_path: Path) -> None:
    text, found = drafted(tmp_path, table(tab=1))
    assert [(lv.name, lv.column, lv.scenarios) for lv in found.level] == [
        ("scenario", None, ("everywhere",))
    ]
    assert why_left_out(text, "tab") == "constant"
    assert "# no column tells scenarios apart: all rows are of one" in text
    trains(tmp_path)


def test_a_table_without_labels_is_refused(tmp_path: Path) -> None:
    frame = table().drop(columns=["click", "purchase"])
    assert refused(tmp_path, frame).startswith(
        "log.parquet: no column could be a label (click, purchase, …): none holds just 0 and 1,"
    )


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    assert "no rows to describe" in refused(tmp_path, table().iloc[:0])


def test_a_table_of_nothing_but_a_label_is_refused(tmp_path: Path) -> None:
    assert "no column is a feature" in refused(tmp_path, table()[["click"]])


def test_where_nothing_is_left_the_level_is_a_feature(tmp_path: Path) -> None:
    _, found = drafted(tmp_path, table()[["tab", "click"]])
    assert set(found.fields) == {"tab"}
    assert found.level[0].column == "tab"
    trains(tmp_path)


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.parquet").write_bytes(b"not parquet")
    (tmp_path / "log.xlsx").write_bytes(b"")
    for name in ("log.parquet", "log.xlsx", "missing.csv"):
        with pytest.raises(InputError) as caught:
            draft_description(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")


def test_columns_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    text, found = drafted(
        tmp_path,
        table(
            constant=1,
            empty=np.nan,
            row=np.arange(ROWS),
            uuid=[f"u{i}" for i in range(ROWS)],
            item_id=[f"i{i}" for i in range(ROWS)],
            tags=[[1, 2]] * ROWS,
            truth_p=np.random.default_rng(0).random(ROWS),
            visit_session_id=np.arange(ROWS) // 4,
        ),
    )
    assert set(found.fields) == {"user_id", "price"}
    reasons = {
        n: why_left_out(text, n) for n in ("constant", "empty", "row", "uuid", "item_id", "truth_p")
    }
    assert reasons == {
        "constant": "constant",
        "empty": "empty",
        "row": "nearly every row has its own value",
        "uuid": "nearly every row has its own value",
        "item_id": "nearly every row has its own value",
        "truth_p": "the truth of a simulation, which no model may see",
    }
    assert why_left_out(text, "visit_session_id").startswith("names one visit")
    assert "# tags is left out: it holds lists" in text
    trains(tmp_path)


def test_a_measure_that_hardly_repeats_is_a_feature(tmp_path: Path) -> None:
    weight = np.random.default_rng(1).permutation(10_000)[:ROWS] * 17
    _, found = drafted(tmp_path, table(weight=weight))
    assert found.fields["weight"].kind == "numeric"


def test_columns_that_tell_the_label_are_left_out_of_features_and_levels(tmp_path: Path) -> None:
    click, rng = table()["click"], np.random.default_rng(1)
    text, found = drafted(
        tmp_path,
        table(
            score=click + rng.normal(0, 0.1, ROWS),
            reverse=-click - rng.random(ROWS) / 2,
            result=np.where(click == 1, "left", "kept"),
            seconds=click * rng.random(ROWS),
            note=np.where(click == 1, "seen", None),
            honest=click + rng.normal(0, 2, ROWS),
        ),
    )
    for name in ("score", "reverse", "result"):
        assert why_left_out(text, name) == (
            "tells click almost perfectly: is it known before the impression?"
        )
    for name in ("seconds", "note"):
        assert why_left_out(text, name) == (
            "filled only where click is 1: known only after the impression"
        )
    assert "honest" in found.fields
    leaks = {"score", "reverse", "result", "seconds", "note"}
    assert set(found.never_features) == leaks  # so that a slip is refused
    assert [level.column for level in found.level] == ["tab"]


def test_a_leak_is_told_by_the_rarest_label_it_tells(tmp_path: Path) -> None:
    text, _ = drafted(tmp_path, table(basket=lambda f: f["purchase"] * f["price"]))
    assert why_left_out(text, "basket").startswith("filled only where purchase is 1")


def test_a_few_positives_show_no_leak(tmp_path: Path) -> None:
    """Whatever ranks five rows first is soon found among many columns."""
    few = np.r_[np.ones(5, int), np.zeros(ROWS - 5, int)]
    order = np.r_[np.arange(5), np.random.default_rng(0).permutation(ROWS - 5) + 5] / 7
    frame = table(click=few, score=-order).drop(columns="purchase")
    assert "score" in drafted(tmp_path, frame)[1].fields


def test_a_scenario_that_nearly_decides_a_label_is_a_level(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    click = (rng.random(ROWS) < np.where(table()["tab"] == 1, 0.99, 0.01)).astype(int)
    frame = table(click=click).drop(columns="purchase")
    assert drafted(tmp_path, frame)[1].level[0].column == "tab"


def test_numbers_as_large_as_epochs_are_no_dates_without_a_name(tmp_path: Path) -> None:
    large = 1_600_000_000 + np.random.default_rng(0).integers(0, 10**8, ROWS)
    frame = table(amount=large).drop(columns="date")
    assert drafted(tmp_path, frame)[1].split.random is not None


def test_a_key_that_is_mostly_one_guest_keeps_no_rows_together(tmp_path: Path) -> None:
    guests = table()["user_id"].where(np.arange(ROWS) % 2 == 0, -5)
    frame = table(user_id=guests).drop(columns="date")
    assert write(tmp_path, frame).key is None
    sessions = frame.assign(session_id=np.arange(ROWS) // 4)
    assert write(tmp_path, sessions).key == "session_id"


def test_past_behaviour_is_no_label(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = table(clicked_last_week=rng.random(ROWS) < 0.5)
    assert [task.label for task in drafted(tmp_path, frame)[1].task] == ["click", "purchase"]


def test_columns_of_behaviour_are_left_out(tmp_path: Path) -> None:
    noise = np.random.default_rng(2)
    text, found = drafted(
        tmp_path,
        table(
            stay_ms=noise.integers(0, 900, ROWS),
            click_type=noise.integers(0, 3, ROWS),
            clicks_7d=noise.integers(0, 90, ROWS),
            playlist_id=noise.integers(0, 90, ROWS),
        ),
    )
    assert set(found.fields) == {"user_id", "price", "clicks_7d", "playlist_id"}
    for name in ("stay_ms", "click_type"):
        assert why_left_out(text, name).startswith("its name speaks of behaviour")
    assert 'clicks_7d = { kind = "numeric" }    # speaks of past behaviour: was it known' in text


def test_more_labels_than_tasks(tmp_path: Path) -> None:
    """The funnel first, then the most frequent; a copy and rare ones are named as outcomes."""
    rng, frame = np.random.default_rng(3), table()
    extra = {n: rng.random(ROWS) < rate for n, rate in
             {"is_like": 0.5, "is_share": 0.3, "is_follow": 0.2}.items()}  # fmt: skip
    text, found = drafted(tmp_path, frame.assign(**extra, clicked=frame["click"]))
    assert {task.label for task in found.task} == {"click", "purchase", "is_like", "is_share"}
    assert why_left_out(text, "is_follow").startswith("an outcome too")
    assert why_left_out(text, "clicked") == "1 in the same rows as click"
    assert set(found.never_features) == {"is_follow", "clicked"}


def test_an_unrelated_frequent_flag_leaves_the_chain_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    _, found = drafted(tmp_path, table(is_like=(rng.random(ROWS) < 0.97).astype(int)))
    assert {task.name: task.follows for task in found.task} == {
        "is_like": None,
        "click": None,
        "purchase": "click",
    }
    trains(tmp_path)


@pytest.mark.parametrize(
    ("values", "scenarios"),
    [
        (["b", "a", "other"], ("a", "b", "other")),
        ([0.5, 1.0, 2.0], ("1", "2", "0.5")),
        (['a"b', "a\\b", "a\nb"], ("a\nb", 'a"b', "a\\b")),
        (["x\x7f", "\ttab", "ü]"], ("\ttab", "x\x7f", "ü]")),
        (["1", "x", "#"], ("#", "1", "x")),
    ],
)
def test_values_of_any_spelling_are_scenarios(
    tmp_path: Path, values: list[object], scenarios: tuple[str, ...]
) -> None:
    frame = table()
    _, found = drafted(tmp_path, frame.assign(tab=frame["tab"].map(dict(enumerate(values)))))
    assert found.level[0].scenarios == scenarios
    sizes = trains(tmp_path).statistics.groupby("tab")["impressions"].sum()
    assert sorted(sizes) == sorted(frame["tab"].value_counts())


@pytest.mark.parametrize("name", ["task", "all", "path", "impressions", "click"])
def test_a_level_whose_column_has_a_name_that_is_taken(tmp_path: Path, name: str) -> None:
    frame = table().rename(columns={"click": "is click"} if name == "click" else {})
    frame = frame.rename(columns={"tab": name}).assign(
        **{name: lambda f: f[name].map("v{}".format)}
    )
    _, found = drafted(tmp_path, frame)
    assert [level.column for level in found.level] == [name]
    assert found.level[0].name == (name if name == "click" else f"c_{name}")
    trains(tmp_path)


def test_a_level_and_a_task_never_share_a_name(tmp_path: Path) -> None:
    frame = table().rename(columns={"click": "tab!"}).rename(columns={"tab": "tab?"})
    made = write(tmp_path, frame).with_roles(**{"tab!": "label", "tab?": "level"})
    _, found = described(tmp_path, made)
    assert found.level[0].name not in {task.name for task in found.task}


def test_a_column_called_split_is_never_used(tmp_path: Path) -> None:
    text, found = drafted(tmp_path, table(split=lambda f: f["tab"]))
    assert "split" not in found.input_columns
    assert why_left_out(text, "split") == "the name is taken: rename the column"
    trains(tmp_path)


def test_names_of_any_spelling(tmp_path: Path) -> None:
    names = {"tab": "Mon tab é", "price": "price ($)\n# x", "click": "is click", "date": "day, 1"}
    _, found = drafted(tmp_path, table().rename(columns=names))
    assert found.level[0].column == "Mon tab é"
    assert found.task[0].label == "is click"
    assert found.task[0].name == found.task[1].follows == "is_click"
    assert set(found.fields) == {"user_id", "price ($)\n# x"}
    trains(tmp_path)


def test_columns_that_are_named_by_numbers(tmp_path: Path) -> None:
    """Then the last flag is the label, and those that contain it."""
    _, found = drafted(tmp_path, table().set_axis(range(6), axis=1))
    assert [(task.label, task.follows) for task in found.task] == [("4", None), ("5", "c_4")]
    trains(tmp_path)


def test_missing_values_are_fine_where_they_may_be(tmp_path: Path) -> None:
    frame = table()
    gone = frame["price"] < 0.2
    _, found = drafted(
        tmp_path, frame.assign(tab=frame["tab"].where(~gone), price=frame["price"].where(~gone))
    )
    assert found.level[0].scenarios == ("0", "1", "2", "other")
    statistics = trains(tmp_path).statistics
    assert statistics.loc[statistics["tab"] == "other", "impressions"].sum() == gone.sum()


def test_labels_may_be_missing(tmp_path: Path) -> None:
    """After a 0 of the task before anyway; elsewhere the description says so."""
    frame = table()
    after = frame.assign(purchase=frame["purchase"].where(frame["click"] == 1))
    assert not any(task.may_be_missing for task in drafted(tmp_path, after)[1].task)
    gone = frame.assign(purchase=frame["purchase"].where(np.arange(ROWS) % 5 > 0))
    text, found = drafted(tmp_path, gone)
    assert [task.may_be_missing for task in found.task] == [False, True]
    lacking = int((frame["click"] == 1)[::5].sum())
    assert f"# Warning: purchase: {lacking} of the rows looked at have no label" in text
    trains(tmp_path)


def test_positives_outside_the_chain_are_counted(tmp_path: Path) -> None:
    frame = table()
    odd = frame.index[frame["click"] == 0][:1]
    text, found = drafted(tmp_path, frame.assign(purchase=frame["purchase"].mask(
        frame.index.isin(odd), 1)))  # fmt: skip
    assert found.task[1].follows == "click"
    assert "# Warning: purchase is 1 in 1 rows where click is not 1: these count as 0" in text
    trains(tmp_path)


def test_the_name_of_the_file_becomes_a_valid_name(tmp_path: Path) -> None:
    file = tmp_path / "-2022 été (1).csv"
    table().to_csv(file, index=False)
    text = draft_description(file)
    (tmp_path / "dataset.toml").write_text(text, encoding="utf-8")
    found = read_description(tmp_path)
    assert found.name == "2022__t___1_"
    assert found.source.table == file.name
    assert json.dumps(file.stem, ensure_ascii=False) in text


# ---- changing a draft ---------------------------------------------------------------------------


def test_a_changed_draft_is_written_again(tmp_path: Path) -> None:
    made = write(tmp_path, table(premium=lambda f: f["user_id"] % 2 == 0))
    changed = replace(
        made.with_roles(premium="level", tab="feature", date="ignored", purchase="ignored"),
        name="mine",
        title='My "log"',
        licence="CC0",
        provenance="public",
        key=None,
        value=None,
    )
    _, found = described(tmp_path, changed)
    assert (found.name, found.title, found.licence) == ("mine", 'My "log"', "CC0")
    assert found.provenance == "public"
    assert [level.column for level in found.level] == ["premium"]
    assert [task.label for task in found.task] == ["click"]
    assert "tab" in found.fields
    assert found.split.random is not None
    assert found.split.random.key is None
    assert made.key == "user_id"
    assert to_toml(made) == to_toml(write(tmp_path, table(premium=lambda f: f["user_id"] % 2 == 0)))


def test_a_column_that_is_chosen_is_no_longer_forbidden(tmp_path: Path) -> None:
    made = write(tmp_path, table(seconds=lambda f: f["click"] * f["price"]))
    assert described(tmp_path, made)[1].never_features == ("seconds",)
    _, found = described(tmp_path, made.with_roles(seconds="feature"))
    assert found.never_features == ()
    assert "seconds" in found.fields


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ({"click": "ignored", "purchase": "ignored"}, "no column is a label"),
        ({"price": "label"}, "'price' cannot be a label: it has"),
        ({"user_id": "split"}, "'user_id' and 'date' are both to split the rows"),
        ({"date": "ignored", "tab": "split", "page": "split"}, "'tab' and 'page' are both"),
        ({"date": "ignored", "page": "split"}, "'page' cannot split the rows: it needs three"),
        ({"user_id": "ignored", "price": "ignored", "tab": "ignored", "page": "ignored"},
         "no column is a feature"),
        ({"tags": "feature"}, "'tags' cannot be a feature: it holds lists"),
        ({"tags": "level"}, "'tags' cannot be a level"),
        ({"nothing": "level"}, "'nothing' cannot be a level"),
        ({"tags": "label"}, "'tags' cannot be a label"),
    ],
)  # fmt: skip
def test_roles_that_make_no_description_are_refused(
    tmp_path: Path, roles: dict[str, Any], words: str
) -> None:
    frame = table(page=np.where(np.arange(ROWS) % 2, "a", "b"), tags=[[1]] * ROWS, nothing=np.nan)
    with pytest.raises(InputError) as caught:
        preview(write(tmp_path, frame).with_roles(**roles))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "../up", "-x", "é"])
def test_a_name_that_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="use letters, digits"):
        preview(replace(write(tmp_path, table()), name=name))


def test_text_is_not_numeric(tmp_path: Path) -> None:
    made = write(tmp_path, table(user_id=lambda f: f["user_id"].map("u{}".format)))
    columns = tuple(replace(c, kind="numeric") for c in made.columns)
    with pytest.raises(InputError, match="'user_id' cannot be numeric: it holds no numbers"):
        preview(replace(made, columns=columns))


def test_a_preview_counts_as_training_will(tmp_path: Path) -> None:
    frame = table()
    made = write(tmp_path, frame.assign(purchase=frame["purchase"].map({0: "n", 1: "y"})))
    found = preview(made)
    assert found.text == to_toml(made)
    by_tab = scenario_table(found, "tab").set_index("scenario")
    for tab, rows in frame.groupby("tab"):
        assert by_tab.loc[str(tab), "rows"] == len(rows)
        for task in ("click", "purchase"):
            assert by_tab.loc[str(tab), task] == pytest.approx(100 * rows[task].mean())
    overall = task_table(found).set_index(["task", "of"])["rate"]
    assert overall["click", "all rows"] == pytest.approx(100 * frame["click"].mean())
    bought = frame.loc[frame["click"] == 1, "purchase"].mean()
    assert overall["purchase", "click"] == pytest.approx(100 * bought)
    _, _ = described(tmp_path, made)
    counted = trains(tmp_path).statistics.groupby("tab")["impressions"].sum()
    assert by_tab["rows"].to_dict() == counted.to_dict()


def test_rates_are_of_the_rows_that_have_a_label(tmp_path: Path) -> None:
    frame = table()
    labelled = np.arange(ROWS) % 3 > 0
    found = preview(write(tmp_path, frame.assign(click=frame["click"].where(labelled))[
        ["user_id", "tab", "date", "price", "click"]]))  # fmt: skip
    rates = scenario_table(found, "tab").set_index("scenario")["click"]
    for tab, rows in frame[labelled].groupby("tab"):
        assert rates[str(tab)] == pytest.approx(100 * rows["click"].mean())
