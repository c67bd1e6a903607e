"""Draws by hash: as the oracle says, of the right share, and independent of each other."""

import numpy as np
import pytest

from aesm2.prepare.draw import (
    BUCKET,
    COUNTRIES,
    SAMPLE,
    SPLITS,
    VALIDATION,
    drawn,
    hashes,
    unique_ids,
)
from tests.prepare import files

PAGES = np.arange(100_000)
FILES = [(country, split) for country in COUNTRIES for split in SPLITS]


@pytest.mark.parametrize("purpose", [SAMPLE, VALIDATION, BUCKET])
def test_hashes_equal_those_made_of_python_integers(purpose: int) -> None:
    pages = np.array([0, 1, 2, 977, 2**40, 2**63 // 10])
    for country, split in FILES:
        found = (hashes(pages, country, split, purpose) >> np.uint64(11)) / 2**53
        assert found.tolist() == [files.uniform(int(p), country, split, purpose) for p in pages]


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5])
def test_a_share_is_within_four_standard_deviations(share: float) -> None:
    spread = 4 * np.sqrt(share * (1 - share) * len(PAGES))
    for country, split in FILES:
        count = drawn(PAGES, country, split, VALIDATION, share).sum()
        assert abs(count - share * len(PAGES)) < spread


def test_draws_of_files_and_purposes_are_independent() -> None:
    draws = np.array(
        [drawn(PAGES, *file, purpose, 0.5) for file in FILES for purpose in (SAMPLE, VALIDATION)]
    )
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlation).max() < 5 / np.sqrt(len(PAGES))


def test_a_smaller_share_is_part_of_a_larger_one() -> None:
    smaller, larger = (drawn(PAGES, "NL", "train", SAMPLE, share) for share in (0.2, 0.3))
    assert not (smaller & ~larger).any()
    assert drawn(PAGES, "NL", "train", SAMPLE, 1.0).all()


def test_buckets_are_filled_evenly() -> None:
    counts = np.bincount((hashes(PAGES * 64, "NL", "train", BUCKET) % np.uint64(64)).astype(int))
    assert np.abs(counts - len(PAGES) / 64).max() < 5 * np.sqrt(len(PAGES) / 64)


def test_ids_are_unique_and_fit() -> None:
    pages = np.array([0, 1, 2**63 // 10 - 1])
    ids = np.concatenate([unique_ids(pages, *file) for file in FILES])
    assert len(set(ids.tolist())) == len(ids)
    assert ids.min() == 0
    assert (ids // 10).tolist() == pages.tolist() * len(FILES)
