"""Scenario levels: which columns, in which order, with which scenarios."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency

from aesm2.data.draft import Draft, draft_of, sample_of
from aesm2.data.draft.levels import determines, differ, levels
from aesm2.data.draft.preview import preview
from aesm2.data.draft.sample import Sample

ROWS = 3000


def frame(**columns: Any) -> pd.DataFrame:
    """Rows whose clicks depend on what is passed as `strong`, if anything."""
    rng = np.random.default_rng(0)
    base = {"x": rng.random(ROWS), "click": (rng.random(ROWS) < 0.3).astype(int)}
    return pd.DataFrame({**base, **columns})


def made(**columns: Any) -> Draft:
    return draft_of(sample_of(frame(**columns), "t.csv"))


def chosen(draft: Draft) -> list[str | None]:
    return [drafted.level.column for drafted in levels(draft)]


def drawn(*shares: float, seed: int = 1) -> np.ndarray:
    """Texts v0, v1, … with these shares."""
    rng = np.random.default_rng(seed)
    values = np.array([f"v{i}" for i in range(len(shares))], object)
    return rng.choice(values, ROWS, p=shares)


def clicks(values: np.ndarray) -> np.ndarray:
    """Clicks whose rate depends on the values: 20 % for v0, 20 points more for each further one."""
    rate = 0.2 + 0.2 * np.array([int(v[1:]) for v in values])
    return (np.random.default_rng(2).random(ROWS) < rate).astype(int)


@pytest.mark.parametrize("seed", range(4))
def test_how_rates_differ_is_the_chi_square_of_the_counts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, label = rng.integers(0, 4, 500), (rng.random(500) < 0.3).astype(float)
    table = pd.crosstab(values, label)
    wanted = chi2_contingency(table, correction=False)
    assert differ(pd.Series(values), [label]) == pytest.approx(wanted.statistic / wanted.dof)
    masked = np.where(rng.random(500) < 0.2, np.nan, label)
    known = ~np.isnan(masked)
    wanted = chi2_contingency(pd.crosstab(values[known], masked[known]), correction=False)
    found = differ(pd.Series(values), [np.zeros(500), masked])
    assert found == pytest.approx(wanted.statistic / wanted.dof)


def test_rates_of_one_value_or_one_class_do_not_differ() -> None:
    assert differ(pd.Series([1, 1, 1]), [np.array([0.0, 1, 1])]) == 0
    assert differ(pd.Series([1, 2, 3]), [np.ones(3)]) == 0
    assert differ(pd.Series([1, 2]), []) == 0


def test_names_choose_two_levels_at_most_those_whose_rates_differ_most() -> None:
    page = drawn(0.4, 0.3, 0.3)
    columns = {"site": drawn(0.5, 0.5, seed=3), "page": page, "tab": drawn(0.6, 0.4, seed=4)}
    found = made(**columns, click=clicks(page))
    assert "page" in chosen(found)
    assert len(chosen(found)) == 2
    rest = ({"site", "tab"} - set(chosen(found))).pop()  # type: ignore[arg-type]
    assert rest in {column.name for column in found.of("feature")}
    assert f'\n# name = "{rest}"\n' in preview(found).text  # written out, in comments


def test_without_a_name_a_column_whose_rates_differ_is_the_level() -> None:
    kind, other = drawn(0.4, 0.3, 0.3), drawn(0.5, 0.5, seed=5)
    assert chosen(made(kind=kind, other=other, click=clicks(kind))) == ["kind"]
    assert chosen(made(kind=kind, other=other)) == [None]  # nothing differs: one scenario
    codes = np.array([int(v[1:]) for v in kind])
    assert chosen(made(code=codes, click=clicks(kind))) == ["code"]


@pytest.mark.parametrize(
    "country",
    [
        np.full(ROWS, "fr"),
        np.array([f"c{i}" for i in range(ROWS)]),
        np.where(np.arange(ROWS) % 3 > 0, None, "fr"),
        np.array([f"c{i % 300}" for i in range(ROWS)]),
    ],
    ids=["constant", "unique", "mostly missing", "three hundred"],
)
def test_what_is_no_level_for_all_its_name(country: np.ndarray) -> None:
    assert chosen(made(country=country)) == [None]


def test_the_outer_level_is_the_one_that_the_other_determines() -> None:
    country = drawn(0.3, 0.3, 0.2, 0.2)
    region = np.where(np.isin(country, ["v0", "v1"]), "west", "east")
    found = made(country=country, region=region, click=clicks(country) % 2)
    assert chosen(found) == ["region", "country"]
    assert "each value of country lies in one of region" in levels(found)[1].notes
    assert determines(found.frame, "country", "region")
    assert not determines(found.frame, "region", "country")


def test_two_spellings_of_one_level_are_one_level() -> None:
    country = drawn(0.4, 0.3, 0.3)
    found = made(country=country, country_name=pd.Series(country).map("land {}".format))
    assert len(chosen(found)) == 1


def test_four_levels_where_they_are_asked_for() -> None:
    names = ["country", "site", "page", "tab"]
    columns = {n: drawn(*[1 / k] * k, seed=k) for n, k in zip(names, (2, 3, 4, 5), strict=True)}
    found = made(**columns).with_roles(**dict.fromkeys(names, "level"))  # type: ignore[arg-type]
    assert chosen(found) == names
    assert [len(lv.scenarios) for lv in preview(found).description.level] == [2, 3, 4, 5]


def test_a_scenario_of_few_rows_is_kept_with_a_warning() -> None:
    country = drawn(0.6, 0.4)
    country[:30] = "li"
    (found,) = levels(made(country=country))
    assert found.level.scenarios == ("li", "v0", "v1")
    assert found.warnings == ("country li has only 30 rows: what is learnt there is uncertain",)


def test_many_scenarios_of_few_rows_are_put_together() -> None:
    country = drawn(0.6, 0.4)
    for i in range(5):
        country[10 * i : 10 * (i + 1)] = f"small{i}"
    (found,) = levels(made(country=country))
    assert found.level.scenarios == ("v0", "v1", "other")
    assert "5 rare values are together in “other”" in found.notes
    assert found.warnings == ()
    table = preview(made(country=country)).counts.by("country")[0]
    assert table[2] == 50


def test_of_many_scenarios_twenty_are_listed() -> None:
    (found,) = levels(made(country=drawn(*[1 / 40] * 40)))
    assert len(found.level.values) == 20
    assert found.level.other == "other"


def test_rows_that_were_not_looked_at_may_hold_another_scenario() -> None:
    sample = Sample("t.csv", frame(country=drawn(0.5, 0.5)), rows=10**6)
    (found,) = levels(draft_of(sample))
    assert found.level.scenarios == ("v0", "v1", "other")
    assert found.notes[-1].startswith("other: for values in rows not looked at")
    assert "3,000 of 1,000,000 rows looked at" in preview(draft_of(sample)).text
    guessed = Sample("t.csv", sample.frame, rows=10**6, exact=False)
    assert "3,000 of about 1,000,000 rows looked at" in preview(draft_of(guessed)).text


def test_rows_not_looked_at_count_for_what_is_small() -> None:
    """Thirty of 3,000 rows looked at are ten thousand of a million."""
    country = drawn(0.6, 0.4)
    country[:30] = "li"
    sample = Sample("t.csv", frame(country=country), rows=10**6)
    assert levels(draft_of(sample))[0].warnings == ()


# ---- tasks that exist in some scenarios ---------------------------------------------------------


def test_where_tasks_exist_is_told_from_missing_and_from_nought() -> None:
    rng, site = np.random.default_rng(5), drawn(0.4, 0.3, 0.3)
    click = (rng.random(ROWS) < 0.5).astype(float)
    sale = np.where(site == "v1", np.nan, click * (rng.random(ROWS) < 0.4))
    lead = np.where(site == "v0", 0, click * (rng.random(ROWS) < 0.4))
    found = preview(made(site=site, click=click, sale=sale, lead=lead)).description
    only = {task.name: (task.follows, task.only) for task in found.task}
    assert only["click"] == (None, {})
    assert only["sale"] == ("click", {"site": ("v0", "v2")})
    assert only["lead"] == ("click", {"site": ("v1", "v2")})
    assert not any(task.may_be_missing for task in found.task)


def test_a_task_exists_only_where_the_one_it_follows_does() -> None:
    rng, site = np.random.default_rng(5), drawn(0.5, 0.5)
    click = (rng.random(ROWS) < 0.5).astype(float)
    cart = np.where(site == "v1", 0, click * (rng.random(ROWS) < 0.5))
    bought = cart * (rng.random(ROWS) < 0.5)
    found = preview(made(site=site, click=click, cart=cart, purchase=bought)).description
    assert {task.name: (task.follows, dict(task.only)) for task in found.task} == {
        "click": (None, {}),
        "cart": ("click", {"site": ("v0",)}),
        "purchase": ("cart", {"site": ("v0",)}),
    }


def test_a_task_may_exist_in_fewer_scenarios_than_the_one_it_follows() -> None:
    rng, site = np.random.default_rng(5), drawn(0.4, 0.3, 0.3)
    click = (rng.random(ROWS) < 0.6).astype(float)
    cart = np.where(site == "v2", 0, click * (rng.random(ROWS) < 0.6))
    bought = np.where(site == "v1", 0, cart * (rng.random(ROWS) < 0.6))
    found = preview(made(site=site, click=click, cart=cart, purchase=bought)).description
    assert [dict(task.only) for task in found.task] == [
        {},
        {"site": ("v0", "v1")},
        {"site": ("v0",)},
    ]


def test_rows_after_a_nought_tell_nothing_about_where_a_task_exists() -> None:
    """In v1 nobody clicks, so no purchase was to be expected: only clicks have a say."""
    rng, site = np.random.default_rng(5), drawn(0.5, 0.5)
    click = np.where(site == "v1", rng.random(ROWS) < 0.002, rng.random(ROWS) < 0.6).astype(float)
    bought = np.where(site == "v1", 0, click * (rng.random(ROWS) < 0.5))
    found = preview(made(site=site, click=click, purchase=bought)).description
    assert [dict(task.only) for task in found.task] == [{}, {}]
