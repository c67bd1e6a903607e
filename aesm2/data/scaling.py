"""Numbers that a model takes as they are, but for their scale."""

from typing import NamedTuple

import numpy as np

from aesm2.data.description import Scale

FARTHEST = 8.0  # standard deviations from the mean; a number beyond them counts as that far


class Scaling(NamedTuple):
    """How a numeric feature is brought to mean 0 and standard deviation 1.

    scale: "standard", or "log" of sign(x) log(1 + |x|). mean, deviation: of the finite values in
    the training split. missing: whether values were missing there; then a second column says where
    they are.
    """

    scale: Scale
    mean: float
    deviation: float
    missing: bool

    @staticmethod
    def fit(numbers: np.ndarray, scale: Scale) -> "Scaling":
        """Learn from the values of the training split, (rows,), NaN where missing."""
        present = _curved(numbers[np.isfinite(numbers)], scale)
        mean, deviation = (present.mean(), present.std()) if len(present) else (0.0, 0.0)
        return Scaling(scale, float(mean), float(deviation) or 1.0, bool(np.isnan(numbers).any()))

    @property
    def columns(self) -> int:
        """How many columns the feature takes: the number, and where it is missing."""
        return 1 + self.missing

    def scaled(self, numbers: np.ndarray) -> np.ndarray:
        """Scale values, (rows,) → (rows, columns) float32; a missing one counts as the mean."""
        own = (_curved(numbers, self.scale) - self.mean) / self.deviation
        gone = np.isnan(numbers)
        columns = [np.where(gone, 0, own.clip(-FARTHEST, FARTHEST)), gone]
        return np.stack(columns[: self.columns], axis=1).astype(np.float32)


def _curved(numbers: np.ndarray, scale: Scale) -> np.ndarray:
    curved: np.ndarray = np.sign(numbers) * np.log1p(np.abs(numbers)) if scale == "log" else numbers
    return curved
