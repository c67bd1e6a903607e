"""Costs against counting by hand."""

import pytest

from aesm2.config import MixtureGroup, MLPConfig, MMoEConfig
from aesm2.evidence.cost import costs
from aesm2.models import build
from tests.models import cases

SCHEMA = cases.schema((3,), (-1, 0), fields=(4, 5))  # 9 table rows, x of width 2 · 3


def test_a_perceptron_by_hand() -> None:
    models = {
        "blind": build(MLPConfig(embedding_dim=3, hidden=(7,), scenario_features=False), SCHEMA),
        "given": build(MLPConfig(embedding_dim=3, hidden=(7,)), SCHEMA),
    }
    found = costs(models, cases.batch(SCHEMA, 50), rounds=2).set_index("variant")
    assert found.loc["blind", "multiply_adds"] == 6 * 7 + 7 * 2
    assert found.loc["given", "multiply_adds"] == 9 * 7 + 7 * 2
    assert found.loc["blind", "embedding_parameters"] == 9 * 3
    assert found.loc["given", "embedding_parameters"] == 12 * 3
    assert found.loc["blind", "parameters"] == 9 * 3 + 6 * 7 + 7 + 7 * 2 + 2
    assert (found["rows_per_second"] > 0).all()


def test_a_mixture_by_hand() -> None:
    config = MMoEConfig(
        embedding_dim=3, scenario=MixtureGroup(experts=2, width=5),
        task=MixtureGroup(experts=3, width=4), tower=(),
    )  # fmt: skip
    found = costs({"mmoe": build(config, SCHEMA)}, cases.batch(SCHEMA, 40), rounds=1)
    level = 6 * 2 + 6 * 5 * 2 + 2 * 5  # own gate, experts, mixing
    tasks = 2 * 5 * 3 + 5 * 4 * 3 + 2 * 3 * 4  # a gate a task, experts once, mixing a task
    assert found["multiply_adds"].item() == pytest.approx(level + tasks + 2 * 4)
