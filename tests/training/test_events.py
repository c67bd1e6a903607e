"""TensorBoard event files hold the history, number by number."""

import sys
from pathlib import Path

import pytest

from aesm2.errors import InputError
from aesm2.training.events import scalars, writer
from tests import small


@pytest.mark.filterwarnings("ignore")  # of tensorboard's own dependencies
def test_the_files_hold_the_history_also_after_it_was_resumed(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    small.fit(tmp_path / "run", small.config(epochs=1), tensorboard=True)
    small.fit(tmp_path / "run", None, resume=True, tensorboard=True)
    read = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    read.Reload()
    expected: dict[str, list[tuple[int, float]]] = {}
    for record in small.lines(tmp_path / "run" / "history.jsonl"):
        record |= {"rows_per_second": 0.0}
        for name, value in scalars(record):
            expected.setdefault(name, []).append((record["step"], value))
    assert set(read.Tags()["scalars"]) == set(expected)
    assert {"loss/ctr", "kl_specific/country.1", "auc/ctcvr/country=fr"} <= set(expected)
    for name in expected.keys() - {"rows_per_second"}:
        found = [(event.step, event.value) for event in read.Scalars(name)]
        assert found == [(step, pytest.approx(value)) for step, value in expected[name]]


def test_without_the_package_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"pip install 'aesm2\[tensorboard\]'"):
        writer(tmp_path)
