"""A world to draw search logs from: its entities and its truth, and rows of any number.

Rows come in blocks of BLOCK; a block depends on the seed and its number alone, so that row i is
the same however many rows are drawn, and however they are cut into files.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aesm2.simulation.population import TOPICS, Entities, populate
from aesm2.simulation.presets import Preset
from aesm2.simulation.truth import Truth, plant

BLOCK = 1 << 16
ROWS_STREAM = 4  # apart from the streams of entities and factors
FIRST_DAY = pd.Timestamp("2021-11-15")  # as the log of the paper (§4.1)


@dataclass(frozen=True)
class World:
    """Everything a seed and a preset determine."""

    preset: Preset
    seed: int
    entities: tuple[Entities, Entities, Entities]
    truth: Truth

    @staticmethod
    def make(preset: Preset, seed: int) -> "World":
        """Populate a world and plant its truth."""
        entities = populate(preset, seed)
        return World(preset, seed, entities, plant(preset, *entities, seed))

    def block(self, number: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Draw a block of the log and its truth, BLOCK lines each."""
        rng = np.random.default_rng((self.seed, ROWS_STREAM, number))
        uniform = rng.random((6, BLOCK))
        path = np.searchsorted(np.cumsum(self.truth.share)[:-1], uniform[0], side="right")
        pairs = zip(self.entities, uniform[1:4], strict=True)
        drawn = [entities.draw(path, u) for entities, u in pairs]
        cells = [e.cell[d] for e, d in zip(self.entities, drawn, strict=True)]
        cell = np.ravel_multi_index(tuple(cells), tuple(e.kind.cells for e in self.entities))
        click_given, conversion_given = self.truth.probability_at(path, cell)
        click = uniform[4] < click_given
        conversion = click & (uniform[5] < conversion_given)
        log = {e.table.columns[0]: d for e, d in zip(self.entities, drawn, strict=True)}
        frame = pd.DataFrame(log).astype(np.int32)
        for position, level in enumerate(self.preset.levels):
            of_path = [level.scenarios.index(line.path[position]) for line in self.preset.traffic]
            frame[level.name] = np.array(level.scenarios, object)[np.array(of_path)[path]]
        if self.preset.days:
            frame["day"] = self._days(rng)
        frame["click"], frame["conversion"] = click.astype(np.int8), conversion.astype(np.int8)
        return frame, self._truth_of(path, cell, click_given, conversion_given)

    def _days(self, rng: np.random.Generator) -> np.ndarray:
        """Day of each row as YYYYMMDD."""
        days = pd.date_range(FIRST_DAY, periods=self.preset.days).strftime("%Y%m%d")
        chosen = rng.integers(0, self.preset.days, BLOCK)
        return days.astype(np.int32).to_numpy()[chosen]

    def _truth_of(
        self, path: np.ndarray, cell: np.ndarray, click: np.ndarray, conversion: np.ndarray
    ) -> pd.DataFrame:
        found = {
            "truth_ctr": click.astype(np.float32),
            "truth_ctcvr": (click * conversion).astype(np.float32),
        }
        topic = (cell % self.entities[2].kind.cells) // (self.entities[2].kind.cells // TOPICS)
        for position, level in enumerate(self.preset.levels):
            sensitivity = self.truth.sensitivity(position)[path, cell]
            found[f"truth_sensitivity_{level.name}"] = sensitivity.astype(np.float32)
            regime = self.truth.regime(position)[path, topic]
            found[f"truth_regime_{level.name}"] = regime.astype(np.int16)
        return pd.DataFrame(found)
