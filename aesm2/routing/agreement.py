"""How far two descriptions of the same rows agree, within strata.

Axes: n rows.
"""

import math

import numpy as np
from scipy.stats import rankdata


def adjusted_rand(a: np.ndarray, b: np.ndarray, within: np.ndarray) -> float:
    """Adjusted Rand index of two labellings within strata, averaged by rows.

    1 where they are the same partition, 0 expected where they are independent (Hubert and Arabie,
    1985). A stratum in which both put all rows together says nothing and is left out; NaN where
    none is left. a, b, within: (n,) integer.
    """
    strata, stratum = np.unique(within, return_inverse=True)
    of_a, of_b = codes(a), codes(b)
    together = _pairs(stratum, of_a, of_b)
    alone_a, alone_b = _pairs(stratum, of_a), _pairs(stratum, of_b)
    rows = np.bincount(stratum, minlength=len(strata)).astype(np.float64)
    everything = rows * (rows - 1) / 2
    expected = alone_a * alone_b / np.maximum(everything, 1)
    room = (alone_a + alone_b) / 2 - expected
    telling = room > 0
    if not telling.any():
        return math.nan
    index = (together - expected)[telling] / room[telling]
    return float(np.average(index, weights=rows[telling]))


def within_ranks(values: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Ranks within strata, ties averaged, centred and scaled to unit variance; (n,)."""
    found = np.zeros(len(values))
    for stratum in np.unique(within):
        rows = within == stratum
        ranks = rankdata(values[rows])
        spread = ranks.std()
        found[rows] = (ranks - ranks.mean()) / spread if spread > 0 else 0.0
    return found


def codes(values: np.ndarray) -> np.ndarray:
    """Number the distinct values from 0; (n,) → (n,)."""
    numbered: np.ndarray = np.unique(values, return_inverse=True)[1]
    return numbered


def _pairs(stratum: np.ndarray, *labels: np.ndarray) -> np.ndarray:
    """Pairs of rows in the same stratum that share all labels, (strata,)."""
    sizes = tuple(int(values.max()) + 1 for values in (stratum, *labels))
    cells = np.bincount(
        np.ravel_multi_index((stratum, *labels), sizes), minlength=math.prod(sizes)
    ).reshape(sizes[0], -1)
    pairs: np.ndarray = (cells * (cells - 1.0) / 2).sum(1)
    return pairs
