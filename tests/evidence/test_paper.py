"""The paper's figures, by hand and by what its prose says of them."""

import pandas as pd
import pytest

from aesm2.data.scenarios import OVERALL, SEPARATOR
from aesm2.errors import InputError
from aesm2.evidence.paper import TABLES, published
from aesm2.simulation.presets import PRESETS


def wide(table: int, index: str = "model") -> pd.DataFrame:
    return published(table).pivot_table(index=index, columns=["scenario", "task"], values="value")


def test_every_table_is_whole() -> None:
    counts = published()["table"].value_counts()
    assert dict(counts) == {3: 80, 4: 80, 5: 16, 6: 30, 7: 16, 8: 4, 9: 8}
    keys = ["table", "model", "train", "scenario", "task"]
    assert not published().duplicated(keys).any()
    assert set(counts.index) == set(TABLES)


@pytest.mark.parametrize(
    ("table", "model", "train", "scenario", "task", "value"),
    [
        (3, "Hard Sharing", "", "HP → RI", "ctr", 90.89),
        (3, "HMoE", "", "VP → BS", "ctcvr", 70.56),
        (3, "AESM²", "", "all", "ctcvr", 90.42),
        (4, "Cross-Stitch", "", "NL", "ctr", 72.04),
        (4, "PLE", "", "US", "ctcvr", 86.18),
        (4, "AESM²", "", "all", "ctr", 72.30),
        (5, "ESMM", "VP → RI", "HP → RI", "ctr", 86.87),
        (5, "ESMM", "HP → BS", "HP → BS", "ctr", 77.92),
        (6, "AESM² w/o auxiliary loss", "", "VP → RI", "ctcvr", 86.61),
        (7, "ESMM", "HP → RI", "VP → BS", "ctcvr", 65.51),
        (7, "ESMM", "VP → BS", "HP → RI", "ctcvr", 55.02),
        (8, "AESM²", "", "all", "gmv", 7.21),
        (9, "AESM²", "", "HP → BS", "gmv", 31.15),
    ],
)
def test_figures_as_printed(
    table: int, model: str, train: str, scenario: str, task: str, value: float
) -> None:
    found = published(table)
    where = {"model": model, "train": train, "scenario": scenario, "task": task}
    for column, wanted in where.items():
        found = found[found[column] == wanted]
    assert found["value"].tolist() == [value]


@pytest.mark.parametrize("table", [3, 4, 6])
def test_aesm2_is_best_in_every_cell(table: int) -> None:
    figures = wide(table)
    assert (figures.idxmax() == "AESM²").all()
    assert (figures.loc["AESM²"] > figures.drop(index="AESM²").max()).all()


@pytest.mark.parametrize("table", [5, 7])
def test_its_own_scenarios_model_is_best_in_each(table: int) -> None:
    figures = published(table).pivot_table(index="train", columns="scenario", values="value")
    assert (figures.idxmax() == figures.columns).all()


def test_scenarios_are_named_as_in_the_simulated_logs() -> None:
    paths = {SEPARATOR.join(line.path) for line in PRESETS["alipay"].traffic}
    assert set(published(5)["train"]) == set(published(9)["scenario"]) == paths
    assert set(published(3)["scenario"]) == paths | {OVERALL}
    countries = set(PRESETS["aliexpress"].levels[0].scenarios)
    assert set(published(4)["scenario"]) == countries | {OVERALL}


def test_contradictions_are_as_described() -> None:
    """Table 6 against Table 3, Table 8 in itself, and the prose of §4.2 and §4.3."""
    three, four, six = (wide(table) for table in (3, 4, 6))
    difference = (six.loc["AESM²"] - three.loc["AESM²"]).round(2)
    assert difference[difference != 0].to_dict() == {("VP → BS", "ctr"): 0.05}
    uplift = published(8).set_index("task")["value"] / 100 + 1
    assert uplift["ctr"] * uplift["cvr"] == pytest.approx(1.0271, abs=1e-4)
    assert uplift["ctcvr"] == pytest.approx(1.0251)
    assert published().query("note != ''")["table"].tolist() == [3, 6, 8]
    assert four.loc["STAR", ("ES", "ctr")] < four.loc["HMoE", ("ES", "ctr")]
    assert four.loc["STAR", ("ES", "ctcvr")] > four.loc["HMoE", ("ES", "ctcvr")]
    assert three["HP → BS", "ctr"].idxmin() == "STAR"
    assert (three.drop(columns=[("HP → BS", "ctr")]).idxmin() == "HMoE").sum() == 9
    alone = published(7).query("train == 'HP → BS' and scenario == 'HP → BS'")["value"].item()
    beaten = three["HP → BS", "ctcvr"] > alone
    assert set(beaten.index[beaten]) == {"AESM²", "MMoE"}
    assert four["NL", "ctr"].nlargest(2).index[1] == "Cross-Stitch"


def test_an_unknown_table_is_named() -> None:
    with pytest.raises(InputError, match="no figures of table 2; there are 3 to 9"):
        published(2)
