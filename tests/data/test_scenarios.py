"""Where tasks exist, and sums over the scenarios of a grouping."""

import numpy as np

from aesm2.data.scenarios import OVERALL, PATH, existing, path_names, paths_within, summed_by
from aesm2.data.schema import Schema
from tests.data.tables import describe
from tests.models import cases

DESCRIBED = describe(
    ("level", [{"name": "tab", "column": "tab", "values": [0, 1]},
               {"name": "page", "column": "page", "values": ["a"], "other": "b"}]),
    ("task.1.only", {"tab": [1], "page": ["b"]}),
)  # fmt: skip
SHAPE = Schema((), (("0", "1"), ("a", "b")), ("tab", "page"), ("ctr", "ctcvr"), (-1, 0))


def test_a_task_exists_in_a_scenario_that_has_a_path_with_it() -> None:
    assert path_names(SHAPE) == ["0 → a", "0 → b", "1 → a", "1 → b"]
    assert existing(DESCRIBED, SHAPE, PATH)[:, 1].tolist() == [False, False, False, True]
    assert existing(DESCRIBED, SHAPE, "tab")[:, 1].tolist() == [False, True]
    assert existing(DESCRIBED, SHAPE, "page")[:, 1].tolist() == [False, True]
    assert existing(DESCRIBED, SHAPE, OVERALL).tolist() == [[True, True]]
    assert existing(DESCRIBED, SHAPE, PATH)[:, 0].all()


def test_sums_keep_other_axes_and_types() -> None:
    shape = cases.schema(levels=(3, 2))
    values = np.arange(12).reshape(6, 2)
    np.testing.assert_array_equal(
        summed_by(shape, "level0", values), values.reshape(3, 2, 2).sum(1)
    )
    np.testing.assert_array_equal(
        summed_by(shape, "level1", values), values.reshape(3, 2, 2).sum(0)
    )
    assert summed_by(shape, OVERALL, values[:, 0]).tolist() == [30]
    assert summed_by(shape, PATH, values / 2).dtype == float


def test_paths_within_scenarios() -> None:
    assert paths_within(SHAPE, (None, None)).tolist() == [True, True, True, True]
    assert paths_within(SHAPE, (1, None)).tolist() == [False, False, True, True]
    assert paths_within(SHAPE, (None, 0)).tolist() == [True, False, True, False]
    assert paths_within(SHAPE, (0, 1)).tolist() == [False, True, False, False]
