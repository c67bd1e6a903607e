"""Names of files."""

import pytest

from aesm2.report import Report
from aesm2.report.names import file_name, file_names, part
from tests.report.hand import made, report


def test_a_name_says_what_is_in_the_file() -> None:
    own = made(slice="test row 12").model_copy(update={"key": "lens-gates"})
    assert file_name(own) == "shop_tab.1_tab-4_test-row-12_lens-gates"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("../../etc/passwd", "etc-passwd"), ("a/b\\c:d*e", "a-b-c-d-e"), ("Élan → 🚀", "Elan"),
        ("con", "con-"), ("..", ""), ("tab.1", "tab.1"), ("a..b", "a.b"), (".hidden", "hidden"),
        ("x\ny", "x-y"), ("Tom's <b>", "Tom-s-b"),
    ],
)  # fmt: skip
def test_only_harmless_characters_are_left(text: str, wanted: str) -> None:
    assert part(text) == wanted


def test_names_are_unique_and_short() -> None:
    pins = [
        made(number, checkpoint="c" * 200, layer="l" * 200, scenario="s" * 200, slice="x" * 200)
        .model_copy(update={"key": ("K" if number else "k") * 300})
        for number in range(3)
    ]  # fmt: skip
    names = list(file_names(Report(pins=tuple(pins))).values())
    assert len({name.lower() for name in names}) == 3
    assert max(len(f"{name}.json") for name in names) <= 96
    assert names[1].endswith("-2")
    assert len(set(file_names(report(3)).values())) == 3
