"""Agreement, means over rows, and what completeness says."""

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr
from scipy.stats import t as student

from aesm2.attribution import (
    Attribution,
    Logit,
    agreement,
    attribute,
    completeness_words,
    mean_baseline,
    means,
    means_words,
)
from tests.attribution.test_methods import ONE, THREE, flipping
from tests.attribution.test_targets import model
from tests.models import cases


def made(contributions: list[list[float]], method: str = "held", **changes: object) -> Attribution:
    own = np.array(contributions)
    rows, features = own.shape
    values: dict[str, object] = {
        "method": method, "names": tuple("abcdefgh"[:features]), "unit": "nats",
        "contributions": own, "at_row": own.sum(1) + 2, "at_baseline": np.full(rows, 2.0),
        "model_baseline": np.full(rows, 2.0), "changes": np.zeros(rows, int), "steps": 50,
        "samples": 26,
    }  # fmt: skip
    return Attribution(**(values | changes))


def test_agreement_is_of_sizes() -> None:
    a, b = [3.0, -2.0, 1.0, 0.5, 0.1], [-1.0, 2.5, 3.0, 0.2, 0.9]
    found = agreement({"held": made([a]), "shapley": made([[0.0] * 5, b])}, 0)
    assert found["spearman"].isna().all(), "a method that gives all the same has no order"
    found = agreement({"held": made([a, a]), "shapley": made([[0.0] * 5, b])}, 1)
    (line,) = found.to_dict("records")
    assert line["spearman"] == pytest.approx(spearmanr(np.abs(a), np.abs(b)).statistic)
    assert line["kendall"] == pytest.approx(kendalltau(np.abs(a), np.abs(b)).statistic)
    assert line["top"] == 3
    assert line["method"] == "integrated gradients, choice held"
    turned = agreement({"held": made([a]), "gradients": made([a[::-1]])})
    assert turned["top"].tolist() == [1]
    assert len(agreement(dict.fromkeys(("held", "gradients", "ablation"), made([a])))) == 3
    assert agreement({"held": made([[1.0]]), "shapley": made([[2.0]])})["top"].tolist() == [1]


def test_means_are_those_of_single_rows_by_scenario() -> None:
    own = model()
    rows = cases.batch(own.schema, 12)
    start = mean_baseline(own, rows)
    found = attribute(own, rows, Logit("task1"), "held", start, THREE)
    alone = np.stack(
        [
            attribute(own, rows[i : i + 1], Logit("task1"), "held", start, THREE).contributions[0]
            for i in range(12)
        ]
    )
    scenario = rows.scenarios[:, 0].numpy()
    table = means(found, scenario, own.schema.levels[0]).set_index(["scenario", "feature"])
    masks = {"all": np.ones(12, bool)} | {f"s{i}": scenario == i for i in range(3)}
    for name, mask in masks.items():
        for i, feature in enumerate("abc"):
            values, line = alone[mask, i], table.loc[(name, feature)]
            assert line["n"] == mask.sum() > 1
            assert line["mean"] == pytest.approx(values.mean(), abs=1e-7)
            assert line["absolute"] == pytest.approx(np.abs(values).mean(), abs=1e-7)
            error = values.std(ddof=1) / np.sqrt(len(values))
            low, high = student.interval(0.95, len(values) - 1, values.mean(), error)
            assert [line["low"], line["high"]] == pytest.approx([low, high], abs=1e-7)


def test_one_row_has_no_interval_and_no_row_no_line() -> None:
    table = means(made([[1.0, -2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([0, 0, 2]), ["x", "y", "z"])
    assert table["scenario"].unique().tolist() == ["all", "x", "z"]
    assert table[table["scenario"] == "z"]["low"].isna().all()
    assert table[table["scenario"] == "all"]["absolute"].tolist() == [3.0, 4.0]
    single = means(made([[1.0]]), np.zeros(1, int), ["only"])
    assert single["scenario"].tolist() == ["all"]


def test_the_words_tell_a_jump_from_an_error_of_steps() -> None:
    own, row = flipping()
    arguments = (own, row, Logit("task0"))
    start = own.embedding.weight[:1].detach()
    plain, held, ablated, shapley = (
        completeness_words(attribute(*arguments, method, start, ONE))
        for method in ("gradients", "held", "ablation", "shapley")
    )
    assert "add up to +0 log-odds" in plain[0]
    assert "from 2 at the baseline to 1 at the row, a difference of −1" in plain[0]
    assert "Delta: +1 (1e+02 % of the difference)" in plain[0]
    assert "changes once on the path" in plain[1]
    assert "error of 50 steps" in held[1]
    assert "would change once on the way" in held[1]
    assert "give 2: −1 log-odds of the way" in held[2]
    assert "need not add up" in ablated[1]
    assert "26 random orders" in shapley[1]
    still = completeness_words(made([[1.0, 2.0]], "gradients"))
    assert "does not change on the path" in still[1]
    assert len(still) == 2


def test_words_of_many_rows() -> None:
    words = means_words(made([[3.0], [4.0]], changes=np.array([0, 3])))
    assert words.startswith("2 rows. Delta, typical size over rows: 0 (0 % of the difference)")
    assert "path of 50% of the rows, 1.5 times on average" in words
