"""Reading the truth of rows back."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aesm2.errors import InputError
from aesm2.simulation.planted import read_planted
from aesm2.simulation.presets import PRESETS
from aesm2.simulation.write import simulate

LEVELS, TASKS = ("channel", "domain"), ("ctr", "ctcvr")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("planted") / "alipay"
    simulate(PRESETS["alipay"], 1500, made, progress=False, per_file=1000)
    return made


def test_rows_are_found_by_their_numbers(folder: Path) -> None:
    rows = pd.Index([1200, 3, 999, 1000])
    found = read_planted(folder, rows, TASKS, LEVELS)
    files = [pd.read_parquet(file) for file in sorted((folder / "truth").iterdir())]
    for position, (file, at) in enumerate([(1, 200), (0, 3), (0, 999), (1, 0)]):
        own = files[file].iloc[at]
        assert found.probability[position].tolist() == [own["truth_ctr"], own["truth_ctcvr"]]
        regime = [own["truth_regime_channel"], own["truth_regime_domain"]]
        assert found.regime[position].tolist() == regime
        sensitivity = [own["truth_sensitivity_channel"], own["truth_sensitivity_domain"]]
        assert found.sensitivity[position].tolist() == sensitivity
    assert found.paths == (("HP", "RI"), ("HP", "BS"), ("VP", "RI"), ("VP", "BS"))
    assert np.allclose(found.distance, found.distance.T)


def test_what_is_no_simulation_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no truth\.json here; `aesm2 simulate` writes one"):
        read_planted(tmp_path, pd.Index([0]), TASKS, LEVELS)
    with pytest.raises(InputError, match="truth_regime_tab"):
        read_planted(folder, pd.Index([0]), TASKS, ("tab",))
    with pytest.raises(InputError, match="1,500 rows, fewer than the log"):
        read_planted(folder, pd.Index([1500]), TASKS, LEVELS)
