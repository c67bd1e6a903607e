"""Saturation against masks compared row by row, and against a file that does not fit."""

import math
from typing import Any

import pytest
import torch

from aesm2.checkpoint import load
from aesm2.data.batch import Batch
from aesm2.data.dataset import Dataset
from aesm2.inference import outputs
from aesm2.routing.saturation import WATCHED, choices, saturation, watched
from aesm2.routing.trace import layer_specs
from tests import small
from tests.models import cases
from tests.models.test_aesm2_intervene import model


def test_share_of_rows_that_choose_as_in_the_end() -> None:
    first, last = model(), cases.spread(model(), seed=3)
    batch, specs = cases.batch(first.schema, 60), layer_specs(first)
    lines = [{"step": step} | choices(own, batch) for step, own in ((5, first), (9, last))]
    found = saturation(lines, specs)
    ((_, before),) = outputs(first, batch)
    ((_, after),) = outputs(last, batch)
    for line in found.to_dict("records"):
        number = next(i for i, spec in enumerate(specs) if spec.name == line["layer"])
        same = 0
        for row in range(60):
            chosen = []
            for output in (before, after):
                own = output.routings[number].selection
                specific = own.specific
                if line["target"]:
                    specific = specific[first.schema.tasks.index(line["target"])]
                chosen.append((specific[row].tolist(), own.shared[row].tolist()))
            same += chosen[0] == chosen[1]
        assert line["rows"] == 60
        assert line["share"] == (pytest.approx(same / 60) if line["step"] == 5 else 1.0)
    assert found["share"].min() < 1
    assert len(found) == 2 * (4 + 2 * 2)  # four scenario layers, two task layers for two tasks


@pytest.mark.parametrize(
    "broken",
    [{"layers": {}}, {"rows": 10**9}, {"rows": "many"}, {"layers": None},
     {"layers": {"level0.1": "%"}}, {"rows": 0}, {"rows": math.inf}, {"rows": 20.5},
     {"rows": 10**30}, {"rows": 20 + 2**60}, {"step": 10**400}],
)  # fmt: skip
def test_a_line_that_does_not_fit_is_left_out(broken: dict[str, Any]) -> None:
    own = model()
    line = choices(own, cases.batch(own.schema, 20))
    found = saturation([{"step": 1} | line | broken, {"step": 2} | line], layer_specs(own))
    assert set(found["step"]) <= {1, 2}
    assert (found.loc[found["layer"] == "level0.1", "step"] == 2).all()


def test_the_watched_rows_are_few_and_evenly_spaced() -> None:
    shape = cases.schema()
    many = cases.batch(shape, 5 * WATCHED)
    kept = watched(many)
    assert len(kept) == WATCHED
    assert torch.equal(kept.fields[[0, -1]], many.fields[[0, -1]])
    assert len(watched(cases.batch(shape, 3))) == 3
    assert len(watched(cases.batch(shape, 1)[:0])) == 0


def test_rows_are_watched_among_more_than_float32_counts() -> None:
    rows = 2**24 + 4
    every = torch.arange(rows, dtype=torch.int32).unsqueeze(1)
    kept = watched(Batch(every, every)).fields.flatten()
    assert kept[[0, -1]].tolist() == [0, rows - 1]
    assert set(kept.diff().tolist()) <= {(rows - 1) // (WATCHED - 1), rows // (WATCHED - 1) + 1}


def test_training_records_it_at_every_measurement() -> None:
    lines = small.lines(small.run() / "choices.jsonl")
    used = small.lines(small.run() / "utilisation.jsonl")
    assert [line["step"] for line in lines] == [line["step"] for line in used]
    opened = load(small.run() / "checkpoint", "cpu")
    found = saturation(lines, opened.layers)
    validation = len(Dataset.open(small.dataset()).split("validation"))
    assert set(found["rows"]) == {min(WATCHED, validation)}
    assert set(found["layer"]) == {spec.name for spec in opened.layers}
