"""The estimate against a training that is really done."""

import json
import math

from typer.testing import CliRunner

from aesm2.cli import app
from aesm2.data.dataset import Dataset
from aesm2.lab.estimate import Estimate, estimate
from tests import small


def test_counts_are_those_of_the_run() -> None:
    config = small.config()
    found = estimate(Dataset.open(small.dataset()), config, "cpu")
    records = small.lines(small.run() / "history.jsonl")
    assert found.steps == max(record["step"] for record in records)
    assert found.validations == math.ceil(found.steps / 5)
    assert found.rows == len(Dataset.open(small.dataset()).split("train"))
    assert 0 < found.step < 1
    assert found.seconds > found.steps * found.step
    assert 50 < found.memory < 50_000


def test_the_sum_by_hand() -> None:
    found = Estimate(rows=100, parameters=1, epochs=2, steps=20, start=5, step=0.1, validation=1,
                     validations=2, memory=1)  # fmt: skip
    assert found.seconds == 5 + 2 + 2
    assert found.within(30) == (13, 10)  # 30 − 5 − 12 · 1 = 13 s at 1 s an epoch, 130 / 12 steps
    assert found.within(1) == (1, 1)  # at least one epoch


def test_the_command(tmp_path) -> None:
    file = tmp_path / "config.json"
    file.write_text(small.config().model_dump_json())
    result = CliRunner().invoke(app, ["estimate", str(small.dataset()), "--config", str(file),
                                      "--device", "cpu"])  # fmt: skip
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["steps"] > 0
