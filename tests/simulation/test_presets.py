"""Presets, those of the paper and one's own."""

from pathlib import Path

import pytest

from aesm2.errors import InputError
from aesm2.simulation.presets import PRESETS, read_preset

OWN = """
name = "shop"
title = "A shop"
source = "invented"
levels = [{ name = "site", title = "Site", scenarios = ["nl", "be"] }]
traffic = [
  { path = ["nl"], impressions = 1000, clicks = 100, conversions = 10 },
  { path = ["be"], impressions = 3000, clicks = 100, conversions = 5 },
]
days = 7
dials = { conflict = 2.0 }
"""


def test_the_counts_are_those_of_the_paper() -> None:
    """Tables 1 and 2 give the totals of their rows."""
    totals = {"alipay": (96_612_494, 26_519_344, 1_664_640),
              "aliexpress": (103_814_836, 2_215_494, 58_171)}  # fmt: skip
    for name, (impressions, clicks, conversions) in totals.items():
        traffic = PRESETS[name].traffic
        assert sum(line.impressions for line in traffic) == impressions
        assert abs(sum(line.clicks for line in traffic) - clicks) <= 1
        assert sum(line.conversions for line in traffic) == conversions


def test_a_preset_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(OWN)
    preset = read_preset(str(file))
    assert preset.dials.conflict == 2.0
    assert [line.clicks for line in preset.traffic] == [100, 100]
    assert read_preset("alipay") is PRESETS["alipay"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dials", "dails", "unknown key (did you mean 'dials'?)"),
        ('["be"], i', '["de"], i', "('de',) is no path through the levels"),
        ('["be"], i', '["nl"], i', "a path is there twice"),
        ("clicks = 100, conversions = 5", "clicks = 4, conversions = 5", "impressions > clicks"),
        ("days = 7", "days = 2", "a log needs 3 days for its splits, or 0 for none"),
        ("days = 7", 'items_of = "sote"', "items_of: no level 'sote'"),
        ("conflict = 2.0", "conflict = -1", "dials.conflict"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(OWN.replace(old, new))
    with pytest.raises(InputError) as caught:
        read_preset(str(file))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no preset 'alipy' \(did you mean 'alipay'\?\)"):
        read_preset("alipy")
    with pytest.raises(InputError, match="no such file"):
        read_preset("nowhere.toml")
