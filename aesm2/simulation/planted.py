"""Reading the truth of rows back from a simulated folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field

from aesm2.config import Strict, parse
from aesm2.data.encoder import require_columns
from aesm2.data.tables import read_table
from aesm2.errors import InputError
from aesm2.files import exists, read_json
from aesm2.simulation.presets import Preset
from aesm2.simulation.world import World
from aesm2.simulation.write import TRUTH


@dataclass(frozen=True)
class Planted:
    """The truth of some rows of a simulated log.

    Axes: n rows; levels; P fine-grained scenarios.
    probability: of each task along its chain, (n, tasks). regime: which factors of each level act
    on a row, as a code, (n, levels). sensitivity: mean change of the log-odds of a click in another
    scenario of each level, (n, levels). distance: between fine-grained scenarios, (P, P), in the
    order of `paths`, their scenarios by name.
    """

    probability: np.ndarray
    regime: np.ndarray
    sensitivity: np.ndarray
    distance: np.ndarray
    paths: tuple[tuple[str, ...], ...]


def read_planted(
    folder: Path, rows: pd.Index, tasks: tuple[str, ...], levels: tuple[str, ...]
) -> Planted:
    """Read the truth of rows, given by their numbers in the log; InputError where there is none."""
    structure = read_structure(folder)
    truth = read_table(folder / "truth")
    groups = [
        [f"truth_{task}" for task in tasks],
        [f"truth_regime_{level}" for level in levels],
        [f"truth_sensitivity_{level}" for level in levels],
    ]
    require_columns(truth, [name for group in groups for name in group], f"{folder / 'truth'}")
    if len(rows) and rows.max() >= len(truth):
        raise InputError(
            f"{folder / 'truth'}: {len(truth):,} rows, fewer than the log; simulate it again"
        )
    own = truth.iloc[rows]
    probability, regime, sensitivity = (own[columns].to_numpy(np.float64) for columns in groups)
    return Planted(
        probability,
        regime.astype(np.int64),
        sensitivity,
        np.array(structure["distance"]),
        tuple(tuple(path) for path in structure["paths"]),
    )


def read_world(folder: Path) -> World:
    """Make the world again that a simulated folder was drawn from; InputError where it is none."""
    structure = read_structure(folder)
    preset = parse(Preset, structure["preset"], f"{folder / TRUTH}: preset")
    return World.make(preset, structure["seed"])


class _Structure(Strict):
    """What is read back of truth.json; the rest is for people."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    preset: dict[str, Any]
    seed: int = Field(ge=0)
    distance: list[list[float]]
    paths: list[list[str]]


def read_structure(folder: Path) -> dict[str, Any]:
    """Read truth.json of a simulated folder; InputError where there is none, or another file."""
    file = folder / TRUTH
    if not exists(file):
        raise InputError(f"{folder}: no {TRUTH} here; `aesm2 simulate` writes one beside the rows")
    structure: dict[str, Any] = read_json(file)
    found = parse(_Structure, structure, str(file))
    sizes = {len(found.distance), *map(len, found.distance)}
    if sizes != {len(found.paths)}:
        raise InputError(f"{file}: distance is not between its {len(found.paths)} paths")
    return structure
