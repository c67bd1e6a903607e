"""A draft for a table nobody has described: it parses, it trains, and it doubts what it should."""

import datetime
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import aesm2
from aesm2.data.dataset import Dataset
from aesm2.data.description import Description, read_description
from aesm2.data.draft import draft_description
from aesm2.errors import InputError
from tests import small

ROWS = 400


def table() -> pd.DataFrame:
    """A reasonable log: ten days in order, clicks that depend on the price, sales after clicks."""
    rng = np.random.default_rng(0)
    price = rng.random(ROWS).round(3)
    click = rng.random(ROWS) < 0.1 + 0.6 * price
    return pd.DataFrame(
        {
            "user_id": rng.integers(0, 30, ROWS),
            "tab": rng.integers(0, 3, ROWS),
            "date": np.repeat(np.arange(20220425, 20220435), ROWS // 10),
            "price": price,
            "click": click.astype(int),
            "purchase": (click & (rng.random(ROWS) < 0.4)).astype(int),
        }
    )


def draft(folder: Path, frame: pd.DataFrame, suffix: str = "parquet") -> tuple[str, Description]:
    """Write the table and its draft, as `aesm2 describe log.csv > dataset.toml` would."""
    file = folder / f"log.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(file, index=False)
    else:
        frame.to_csv(file, index=False)
    text = draft_description(file)
    (folder / "dataset.toml").write_text(text, encoding="utf-8")
    return text, read_description(folder)


def drafted(folder: Path, **columns: object) -> tuple[str, Description]:
    return draft(folder, table().assign(**columns))


def refused(folder: Path, frame: pd.DataFrame) -> str:
    with pytest.raises(InputError) as caught:
        draft(folder, frame)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def trains(folder: Path) -> aesm2.Checkpoint:
    made = small.fit(folder / "run", small.config(epochs=1), dataset=folder)
    return aesm2.load(made, "cpu")


def commented(text: str, column: str) -> str:
    """Why a column is left out of the features."""
    key = f"# {column} = "
    (line,) = [line for line in text.splitlines() if line.startswith(key)]
    return line.split("left out: ")[1]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_reasonable_table_is_described_and_trains_in_one_go(tmp_path: Path, suffix: str) -> None:
    text, described = draft(tmp_path, table(), suffix)
    assert described.name == described.title == "log"
    assert described.provenance == "private"
    assert described.source.table == f"log.{suffix}"
    assert [(level.name, level.column) for level in described.level] == [("tab", "tab")]
    assert described.level[0].scenarios == ("0", "1", "2", "other")
    assert [(t.name, t.label, t.follows) for t in described.task] == [
        ("click", "click", None),
        ("purchase", "purchase", "click"),
    ]
    kinds = {name: feature.kind for name, feature in described.fields.items()}
    assert kinds == {"user_id": "categorical", "tab": "categorical", "price": "numeric"}
    assert commented(text, "date").startswith("orders the rows")
    split = described.split
    assert (split.column, split.train.last, split.validation.first) == ("date", 20220431, 20220432)
    assert (split.validation.last, split.test.first) == (20220432, 20220433)
    rates = 100 * table().groupby("tab")["click"].mean()
    assert f"# tab has 3 values; rate of click in each: 0: {rates[0]:.1f} %" in text
    opened = trains(tmp_path)
    assert opened.statistics.groupby("split")["impressions"].sum().to_dict() == {
        "train": 280,
        "validation": 40,
        "test": 80,
    }
    assert opened.predict(table()).shape == (ROWS, 2)


@pytest.mark.parametrize(
    "dates",
    [
        lambda days: days.dt.strftime("%Y-%m-%d"),
        lambda days: days.dt.strftime("%Y/%m/%d %H:%M"),
        lambda days: days,
        lambda days: days.dt.tz_localize("UTC"),
        lambda days: days.dt.date,
    ],
    ids=["iso", "slashes", "timestamps", "with a zone", "dates"],
)
def test_dates_of_every_kind_split_the_rows_by_time(tmp_path: Path, dates: object) -> None:
    day = pd.Timestamp(2022, 4, 25) + pd.to_timedelta(np.repeat(np.arange(10), 40), unit="D")
    _, described = drafted(tmp_path, date=dates(pd.Series(day)))
    assert described.split.column == "date"
    sizes = Dataset.open(tmp_path).frame()["split"].value_counts().to_dict()
    assert sizes == {"train": 280, "validation": 40, "test": 80}
    trains(tmp_path)


def test_text_dates_that_do_not_sort_as_time_are_not_taken_for_an_order(tmp_path: Path) -> None:
    days = [datetime.date(2022, 1, 30) + datetime.timedelta(days=i // 40) for i in range(ROWS)]
    text, described = drafted(tmp_path, date=[day.strftime("%d/%m/%Y") for day in days])
    assert described.split.column == "user_id"
    assert "[split]    # no date found: choose a column whose order is time, and its bounds" in text


def test_an_update_is_no_date(tmp_path: Path) -> None:
    frame = table().drop(columns="date").assign(n_updates=np.arange(ROWS) % 7)
    assert draft(tmp_path, frame)[1].split.column == "user_id"


def test_without_a_date_it_still_trains(tmp_path: Path) -> None:
    text, described = draft(tmp_path, table()[["tab", "price", "click", "user_id"]])
    assert described.split.column == "price"  # not the level
    assert "no date found" in text
    trains(tmp_path)


def test_flags_as_booleans(tmp_path: Path) -> None:
    frame = table().assign(premium=lambda f: f["user_id"] % 2 == 0)
    frame = frame.astype({"click": bool, "purchase": bool})
    text, described = draft(tmp_path, frame)
    assert [task.label for task in described.task] == ["click", "purchase"]
    assert "premium" in described.fields
    assert [level.column for level in described.level] == ["tab"]  # flags come last
    assert "# premium has 2 values" in text
    trains(tmp_path)


def test_a_flag_can_be_the_level_where_nothing_else_can(tmp_path: Path) -> None:
    frame = table().drop(columns="tab").assign(premium=lambda f: f["user_id"] % 2 == 0)
    _, described = draft(tmp_path, frame)
    assert [level.column for level in described.level] == ["premium"]
    assert described.level[0].scenarios == ("0", "1", "other")
    opened = trains(tmp_path)
    by_level = opened.evaluation.query("scope == 'premium' and split == 'test' and task == 'click'")
    assert by_level.set_index("scenario")["n"].to_dict().keys() == {"0", "1", "other"}
    assert by_level["n"].tolist()[2] == 0


def test_answers_in_words_are_no_labels(tmp_path: Path) -> None:
    words = table()["click"].map({0: "no", 1: "yes"})
    text, described = drafted(tmp_path, click=words)
    assert [task.label for task in described.task] == ["purchase"]
    assert "click" not in described.fields
    assert commented(text, "click")
    assert refused(tmp_path, table().assign(click=words).drop(columns="purchase")) == (
        f"{tmp_path / 'log.parquet'}: no column of 0 and 1 that could be a label (click,"
        " purchase, …)"
    )


def test_a_table_without_labels_is_refused(tmp_path: Path) -> None:
    frame = table().drop(columns=["click", "purchase"])
    assert "no column of 0 and 1 that could be a label" in refused(tmp_path, frame)


def test_a_table_without_levels_is_refused(tmp_path: Path) -> None:
    frame = table().assign(tab=1, date=np.arange(ROWS))
    assert "no column of 2 to 20 values that could be a scenario level" in refused(tmp_path, frame)


def test_a_table_with_nothing_to_split_by_is_refused(tmp_path: Path) -> None:
    frame = table()[["tab", "click"]].assign(tab=lambda f: f["tab"] % 2)
    assert "no column with three values to split by; add a date" in refused(tmp_path, frame)


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    assert "no rows to describe" in refused(tmp_path, table().iloc[:0])


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.parquet").write_bytes(b"not parquet")
    (tmp_path / "log.xlsx").write_bytes(b"")
    for name in ("log.parquet", "log.xlsx", "missing.csv"):
        with pytest.raises(InputError) as caught:
            draft_description(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")


def test_columns_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    text, described = drafted(
        tmp_path,
        constant=1,
        empty=np.nan,
        row=np.arange(ROWS),
        uuid=[f"u{i}" for i in range(ROWS)],
        tags=[[1, 2]] * ROWS,
    )
    assert set(described.fields) == {"user_id", "tab", "price"}
    assert commented(text, "constant") == commented(text, "empty") == "constant"
    for name in ("row", "uuid"):
        assert commented(text, name) == "nearly every row has its own value"
    assert "# tags is left out: it holds lists" in text
    trains(tmp_path)


def test_columns_that_tell_the_label_are_left_out_of_features_and_levels(tmp_path: Path) -> None:
    click, rng = table()["click"], np.random.default_rng(1)
    text, described = drafted(
        tmp_path,
        seconds=click * rng.random(ROWS),
        score=click + rng.normal(0, 0.1, ROWS),
        reverse=-click - rng.random(ROWS) / 2,
        outcome=np.where(click == 1, "left", "kept"),
        honest=click + rng.normal(0, 2, ROWS),
    )
    for name in ("seconds", "score", "reverse", "outcome"):
        assert "tells a label almost perfectly" in commented(text, name)
        assert name not in described.fields
    assert "honest" in described.fields
    assert [level.column for level in described.level] == ["tab"]
    assert "# outcome has 2 values" not in text


def test_columns_of_behaviour_are_left_out(tmp_path: Path) -> None:
    noise = np.random.default_rng(2)
    text, described = drafted(
        tmp_path,
        is_like=(noise.random(ROWS) < 0.1).astype(int),
        stay_ms=noise.integers(0, 900, ROWS),
        click_type=noise.integers(0, 3, ROWS),
    )
    assert set(described.fields) == {"user_id", "tab", "price"}
    assert "known only after the impression" in commented(text, "is_like")
    for name in ("stay_ms", "click_type"):
        assert "speaks of behaviour" in commented(text, name)
    assert "# Other columns that could be labels: is_like" in text


@pytest.mark.parametrize(
    ("values", "scenarios"),
    [
        (["b", "a", "other"], ("a", "b", "other", "none of these")),
        ([0.5, 1.0, 2.0], ("0.5", "1", "2", "other")),
        (['a"b', "a\\b", "a\nb"], ("a\nb", 'a"b', "a\\b", "other")),
        (["x\x7f", "\ttab", "ü]"], ("\ttab", "x\x7f", "ü]", "other")),
        (["1", "x", "#"], ("#", "1", "x", "other")),
    ],
)
def test_values_of_any_spelling_are_scenarios(
    tmp_path: Path, values: list[object], scenarios: tuple[str, ...]
) -> None:
    frame = table()
    _, described = draft(tmp_path, frame.assign(tab=frame["tab"].map(dict(enumerate(values)))))
    assert described.level[0].scenarios == scenarios
    sizes = trains(tmp_path).statistics.groupby("tab")["impressions"].sum()
    counts = frame["tab"].value_counts()
    assert sorted(sizes) == sorted(counts)  # every row is in its own scenario, none in "other"


@pytest.mark.parametrize("name", ["task", "all", "path", "impressions", "click"])
def test_a_level_whose_column_has_a_name_that_is_taken(tmp_path: Path, name: str) -> None:
    frame = table().rename(columns={"click": "is_click"} if name == "click" else {})
    frame = frame.rename(columns={"tab": name})
    if name == "click":  # then it does not look like a level, and another is needed
        frame = frame.assign(place=table()["tab"])
    _, described = draft(tmp_path, frame)
    assert described.level[0].name == ("place" if name == "click" else f"c_{name}")
    trains(tmp_path)


def test_a_column_called_split_is_never_used(tmp_path: Path) -> None:
    text, described = drafted(tmp_path, split=lambda f: f["tab"])
    assert "split" not in described.input_columns
    assert commented(text, "split") == "the name is taken: rename the column"
    trains(tmp_path)


def test_names_of_any_spelling(tmp_path: Path) -> None:
    names = {"tab": "Mon onglet é", "price": "price ($)\n# x", "click": "is click"}
    _, described = draft(tmp_path, table().rename(columns=names))
    assert described.level[0].column == "Mon onglet é"
    assert described.task[0].label == "is click"
    assert described.task[0].name == described.task[1].follows == "is_click"
    assert set(described.fields) == {"user_id", "Mon onglet é", "price ($)\n# x"}
    trains(tmp_path)


def test_columns_that_are_named_by_numbers(tmp_path: Path) -> None:
    _, described = draft(tmp_path, table().set_axis(range(6), axis=1))
    assert [task.label for task in described.task] == ["4", "5"]
    trains(tmp_path)


def test_missing_values_are_fine_where_they_may_be(tmp_path: Path) -> None:
    frame = table()
    gone = frame["price"] < 0.2
    _, described = draft(
        tmp_path,
        frame.assign(tab=frame["tab"].where(~gone), price=frame["price"].where(~gone)),
    )
    assert described.level[0].scenarios == ("0", "1", "2", "other")
    statistics = trains(tmp_path).statistics
    assert statistics.loc[statistics["tab"] == "other", "impressions"].sum() == gone.sum()


def test_only_labels_inside_one_another_make_a_chain(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    text, described = drafted(tmp_path, is_like=rng.integers(0, 2, ROWS))
    assert [task.label for task in described.task][:1] == ["is_like"]  # the most frequent
    assert len(described.task) == 1
    assert "# Other columns that could be labels: click, purchase" in text


def test_only_the_first_rows_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aesm2.data.draft.SAMPLE", 300)
    text, _ = drafted(tmp_path)
    assert text.startswith("# Drafted from log.parquet (300 rows looked at). Check every guess.\n")


def test_the_name_of_the_file_becomes_a_valid_name(tmp_path: Path) -> None:
    file = tmp_path / "-2022 été (1).csv"
    table().to_csv(file, index=False)
    text = draft_description(file)
    (tmp_path / "dataset.toml").write_text(text, encoding="utf-8")
    described = read_description(tmp_path)
    assert described.name == "2022__t___1_"
    assert described.source.table == file.name
    assert json.dumps(file.stem, ensure_ascii=False) in text
