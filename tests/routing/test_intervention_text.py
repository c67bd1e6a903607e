"""Interventions written and read back, and in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aesm2.errors import InputError
from aesm2.routing.interventions import (
    Fix,
    Force,
    Intervention,
    KnockOut,
    Noise,
    Retarget,
    SetK,
    Swap,
    parse,
    to_text,
    words,
)

NUMBERS = st.integers(0, 10**9)
NAMES = st.text(max_size=6)
EXPERTS = st.lists(NUMBERS, max_size=3).map(tuple)
ANY: st.SearchStrategy[Intervention] = st.one_of(
    st.builds(KnockOut, NAMES, NUMBERS),
    st.builds(Force, NAMES, NUMBERS, st.sampled_from(["specific", "shared"])),
    st.builds(Fix, NAMES, EXPERTS, EXPERTS),
    st.builds(SetK, NAMES, NUMBERS, NUMBERS),
    st.builds(Retarget, NAMES, NAMES),
    st.builds(Noise, st.floats(0, 1e6), NUMBERS),
    st.builds(Swap, NAMES, NAMES),
)


@given(st.lists(ANY, max_size=3).map(tuple))
def test_what_is_written_is_read_back(interventions: tuple[Intervention, ...]) -> None:
    assert parse(to_text(interventions)) == interventions


def test_the_form_of_the_address() -> None:
    text = (
        "out:tab.1.3;force:tab.1.2.specific;k:task.1.2.1;noise:0.1.7;retarget:tab.1=4;swap:tab=4;"
        "fix:tab.1=0,3|1,2"
    )
    found = parse(text)
    assert found == (
        KnockOut("tab.1", 3), Force("tab.1", 2, "specific"), SetK("task.1", 2, 1), Noise(0.1, 7),
        Retarget("tab.1", "4"), Swap("tab", "4"), Fix("tab.1", (0, 3), (1, 2)),
    )  # fmt: skip
    assert to_text(found) == text
    assert parse("") == parse(" ; ") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aut:tab.1.3", r"'aut' in 'aut:tab\.1\.3' is no intervention \(did you mean 'out'\?\)"),
        ("tab.1.3", "is no intervention"),
        ("out:3", r"'out:3' cannot be read: write out:LAYER\.EXPERT"),
        ("out:tab.1.-3", "cannot be read"),
        ("out:tab.1.٣", "cannot be read"),
        ("force:tab.1.2.any", r"write force:LAYER\.EXPERT"),
        ("fix:tab.1=0,3", "write fix:"),
        ("fix:tab.1=0,,3|1", "write fix:"),
        ("noise:a.7", r"write noise:SCALE\.SEED"),
        ("swap:tab", "write swap:LEVEL=SCENARIO"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(text)


def test_every_kind_in_words() -> None:
    said = [words(own) for own in parse(
        "out:tab.1.3;force:tab.1.2.specific;k:task.1.2.1;noise:0.1.7;retarget:tab.1=4;swap:tab=4;"
        "fix:tab.1=0,3|"
    )]  # fmt: skip
    assert said == [
        "Expert 3 of tab.1 is knocked out",
        "Expert 2 of tab.1 is forced in as specific",
        "In task.1 a row takes 2 specific and 1 shared",
        "Noise of scale 0.1 is added to all gates, seed 7",
        "The gate of every row in tab.1 is that of 4, and nothing else changes",
        "Every row comes from tab 4",
        "The roles of tab.1 are fixed for every row: specific 0 and 3, shared none",
    ]


def test_half_a_character_is_refused() -> None:
    with pytest.raises(InputError, match="half a character"):
        parse("out:co\ud800ry.1.3")
