"""Dates as text, whatever zone they are written in."""

import pandas as pd
import pytest

from aesm2.data.cleaning import cleaned, is_one_of
from aesm2.data.description import Source


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%S%z", "ISO8601"])
def test_offsets_that_change_with_the_season_are_one_moment_each(form: str) -> None:
    texts = ["2026-03-28T10:00:00+01:00", "2026-03-30T10:00:00+02:00"]
    source = Source(table="x", dates={"at": form})
    found = cleaned(pd.DataFrame({"at": texts}), source)
    assert found["at"].tolist() == [
        pd.Timestamp("2026-03-28 09:00", tz="UTC"),
        pd.Timestamp("2026-03-30 08:00", tz="UTC"),
    ]
    pd.testing.assert_frame_equal(cleaned(found, source), found)


def test_several_precisions_of_one_standard() -> None:
    texts = ["2026-03-28T10:00:00", "2026-03-28T10:00:00.250"]
    found = cleaned(pd.DataFrame({"at": texts}), Source(table="x", dates={"at": "ISO8601"}))
    assert found["at"].diff().iloc[1] == pd.Timedelta("250ms")


@pytest.mark.parametrize("huge", [10**30, 2**63, -(10**400)])
def test_a_number_beyond_64_bits_is_among_no_texts(huge: int) -> None:
    texts = pd.Series(["fr", None, "1"], dtype="str")
    assert is_one_of(texts, (huge, "fr", 1)).tolist() == [True, False, False]
    marked = cleaned(pd.DataFrame({"country": texts}), Source(table="x", missing=(huge, "fr")))
    assert marked["country"].isna().tolist() == [True, True, False]
    assert is_one_of(pd.Series([huge, 1, "a"], dtype=object), (huge, 1)).tolist() == [
        True,
        True,
        False,
    ]
