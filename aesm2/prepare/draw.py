"""Random draws that belong to a result page, whatever the order, chunk or run it is read in.

A draw is a hash (the finaliser of SplitMix64) of the page's search id, salted by country, original
split and purpose: nothing has to be stored, a second run draws the same, and a page keeps its
validation draw whatever share of pages is prepared.
"""

import numpy as np

COUNTRIES = ("NL", "FR", "ES", "US", "RU")  # their order is part of every draw and search id
SPLITS = ("train", "test")  # of the published files
SAMPLE, VALIDATION, BUCKET = range(3)  # purposes


def hashes(pages: np.ndarray, country: str, split: str, purpose: int) -> np.ndarray:
    """Hash search ids, (rows,) int64 → (rows,) uint64, evenly over all values."""
    salt = np.random.SeedSequence((COUNTRIES.index(country), SPLITS.index(split), purpose))
    mixed = pages.astype(np.uint64) + salt.generate_state(1, np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def drawn(pages: np.ndarray, country: str, split: str, purpose: int, share: float) -> np.ndarray:
    """Whether each page is among the drawn `share` of pages, (rows,) bool."""
    uniform = (hashes(pages, country, split, purpose) >> np.uint64(11)) * 2.0**-53
    return np.asarray(uniform < share)


def unique_ids(pages: np.ndarray, country: str, split: str) -> np.ndarray:
    """Search ids that differ between files: ten times the file's own, plus the file's number."""
    return pages * 10 + len(SPLITS) * COUNTRIES.index(country) + SPLITS.index(split)
