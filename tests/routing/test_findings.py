"""What is said must follow from the numbers."""

import numpy as np

from aesm2.data.scenarios import OVERALL, PATH
from aesm2.routing.distance import scenario_distances
from aesm2.routing.findings import (
    distance_findings,
    gate_findings,
    health_findings,
    layer_findings,
    scenario_label,
)
from aesm2.routing.gates import GateMeans, MixtureSpec
from aesm2.routing.shares import LayerShares
from aesm2.routing.trace import LayerSpec
from tests.routing.test_distance import A, B, C, use
from tests.routing.test_shares import SHAPE, of_counts

WHAT = "the specific experts of level0.1"


def said(rows: list[int], counts: list) -> list[str]:
    found = use(rows, (counts, counts))
    return distance_findings(scenario_distances(found, ["level0.1"], ["specific"], "level0"), WHAT)


def test_labels() -> None:
    assert scenario_label("tab", "1") == "tab 1"
    assert scenario_label("activity", "full_active") == "full_active"
    assert scenario_label(PATH, "1 → 2") == "1 → 2"
    assert scenario_label(OVERALL, OVERALL) == "all rows"


def test_the_closest_and_the_furthest_are_named() -> None:
    nearest, furthest = said([100, 100, 100], [A, [88, 12, 0, 0], C])
    assert nearest == (
        f"s0 and s1 use {WHAT} most alike: distance 0.03, no more than chance explains"
        " (up to 0.12)."
    )
    assert furthest == (
        "s2 stands furthest from the others: 1.00 on average, beyond chance for all 2."
    )


def test_chance_is_not_called_a_difference() -> None:
    few = said([30, 30], [[16, 14], [14, 16]])
    assert "no more than chance explains" in few[0]
    many = said([30_000, 30_000], [[16_000, 14_000], [14_000, 16_000]])
    assert "more than chance explains" in many[0]
    assert "no more" not in many[0]
    assert len(few) == 1


def test_two_scenarios_are_not_called_the_closest_pair() -> None:
    (sentence,) = said([100, 100], [A, C])
    assert sentence.startswith(f"s0 and s1 are 1.00 apart in their use of {WHAT}")


def test_few_and_missing_rows_are_said() -> None:
    sentences = said([100, 100, 20, 0], [A, B, [20, 0, 0, 0], [0] * 4])
    assert "Read with care, fewer than 30 rows: s2." in sentences
    assert "Without rows, and so not compared: s3." in sentences


def test_one_scenario_cannot_be_compared() -> None:
    assert "nothing to compare" in said([100, 0], [A, [0] * 4])[0]


def test_furthest_counts_only_those_beyond_chance() -> None:
    sentences = said([40, 4000, 40], [[20, 20, 0, 0], [2200, 1800, 0, 0], [40, 0, 0, 0]])
    assert "beyond chance for all 2" in sentences[1]
    alike = said([40, 40, 40], [[20, 20], [21, 19], [22, 18]])
    assert "beyond chance for 0 of the 2" in alike[1]


def test_the_most_used_experts_of_a_layer() -> None:
    shares = of_counts([60, 40], [[60, 0, 0, 0], [0, 40, 0, 0]], [[0, 0, 60, 0], [0, 0, 40, 0]])
    assert layer_findings(shares) == [
        "In level0.1, 60% of rows take expert 0 as specific, and specific choices spread as if"
        " evenly over 2.0 of 4 experts; 100% of rows take expert 2 as shared, and shared choices"
        " spread as if evenly over 1.0 of 4 experts."
    ]


def test_a_task_layer_speaks_of_each_task() -> None:
    task = LayerSpec("task.1", "task", None, SHAPE.tasks, 3, 8, 1, 1)
    specific = np.array([[[90, 10, 0]], [[0, 100, 0]]])
    shared = np.array([[[0, 0, 100]]] * 2)
    shares = LayerShares(task, OVERALL, (OVERALL,), np.array([100]), specific, shared, specific)
    (sentence,) = layer_findings(shares)
    assert (
        "for task0 90% of rows take expert 0 and for task1 100% of rows take expert 1" in sentence
    )
    assert "100% of rows take expert 2 as shared" in sentence


def test_a_single_gate_and_no_rows_are_said() -> None:
    alone = LayerSpec("level0.1", "scenario", 0, ("s0",), 4, 8, 2, 1)
    shares = of_counts([10], [[10, 10, 0, 0]], [[10, 0, 0, 0]], alone)
    (sentence,) = layer_findings(shares)
    assert "a single gate" in sentence
    assert sentence.endswith("it always takes the first, 0 and 1.")
    assert layer_findings(of_counts([0], [[0] * 4])) == ["No rows reach level0.1 here."]


def test_dead_and_overloaded_experts_are_counted() -> None:
    shares = of_counts([10_000], [[9_000, 996, 4, 0]])
    dead, over, _ = health_findings([shares])
    assert dead == (
        "level0.1: experts 2 and 3 are dead: chosen by fewer than 0.1% of 10,000 rows in either"
        " role."
    )
    assert over == (
        "level0.1: overloaded as specific, that is taken by more than 3 times the even share"
        " (75%): expert 0 (9,000 of 10,000 rows, 90%)."
    )


def test_healthy_layers_are_called_so_with_the_thresholds() -> None:
    (sentence,) = health_findings([of_counts([100], [[25, 25, 25, 25]])])
    assert sentence.startswith("No expert is dead (chosen by fewer than 0.1% of rows")


def test_nearly_all_is_not_called_all() -> None:
    shares = of_counts([1000], [[999, 1, 0, 0]], [[1000, 0, 0, 0]])
    (sentence,) = layer_findings(shares)
    assert "over 99% of rows take expert 0 as specific" in sentence
    assert "100% of rows take expert 0 as shared" in sentence


def gate_means(targets: tuple[str, ...], rows: list, weight: list, effective: list) -> GateMeans:
    gates = ("s0", "s1")
    spec = MixtureSpec("level0.1", "scenario", 0, gates, (None, None), targets)
    found = [np.array(values, float) for values in (weight, effective)]
    return GateMeans(spec, "level0", gates, np.array(rows), *found)


def test_gates_are_told_by_their_effective_number_and_highest_weight() -> None:
    weight = [[[0.5, 0.5], [0.2, 0.8]]]
    assert gate_findings(gate_means(("",), [[10, 30]], weight, [[2.0, 1.6]])) == [
        "In level0.1 a row's weights amount to 1.7 of 2 experts on average; the most goes to"
        " expert 1 for s1: 0.80."
    ]
    empty = [[[0.5, 0.5], [np.nan, np.nan]], [[0.1, 0.9], [np.nan, np.nan]]]
    of_tasks = gate_means(("a", "b"), [[10, 0], [10, 0]], empty, [[2, np.nan], [1, np.nan]])
    (sentence,) = gate_findings(of_tasks)
    assert "amount to 1.5 of 2 experts" in sentence
    assert sentence.endswith("expert 1 for s0, b: 0.90.")
    assert gate_findings(gate_means(("",), [[0, 0]], weight, [[0, 0]])) == [
        "No rows reach level0.1 here."
    ]
