"""What to simulate: scenarios with their traffic, sizes, and how much each factor matters.

Counts are those of Tables 1 and 2 of Zou et al., SIGIR 2022.
"""

from pathlib import Path

from pydantic import Field, model_validator

from aesm2.config import Strict, parse, read_toml
from aesm2.data.description import Name
from aesm2.errors import InputError, nearest


class SimulatedLevel(Strict):
    """One level of the scenario hierarchy, outermost first."""

    name: Name
    title: str
    scenarios: tuple[str, ...] = Field(min_length=1)


class Traffic(Strict):
    """Traffic of one fine-grained scenario: its shares and rates are what is simulated.

    path: its scenario at each level. impressions, clicks, conversions: counts.
    """

    path: tuple[str, ...]
    impressions: int = Field(gt=0)
    clicks: int = Field(gt=0)
    conversions: int = Field(gt=0)

    @model_validator(mode="after")
    def _funnel(self) -> "Traffic":
        if not self.impressions > self.clicks > self.conversions:
            raise ValueError(f"{self.path}: expected impressions > clicks > conversions")
        return self


class Dials(Strict):
    """How much each kind of planted factor matters: its standard deviation in log-odds.

    shared: the same in every scenario. branch: of one scenario of one level, whatever the other
    levels (only where there are several). leaf: of one fine-grained scenario. conflict: of
    opposite sign in neighbouring scenarios of a level. task: of one task alone.
    """

    shared: float = Field(1.0, ge=0, le=5)
    branch: float = Field(0.5, ge=0, le=5)
    leaf: float = Field(0.5, ge=0, le=5)
    conflict: float = Field(1.0, ge=0, le=5)
    task: float = Field(0.5, ge=0, le=5)


class Preset(Strict):
    """A world to simulate.

    users, items, queries: how many there are. users_of, items_of: the level whose scenarios each
    have users or items of their own, "" where all are everywhere. shift: how differently scenarios
    draw from them, in standard deviations of log-frequency. days: length of the log; 0 for a log
    without dates, which is then split at random. source: where the counts come from.
    """

    name: Name
    title: str
    source: str
    levels: tuple[SimulatedLevel, ...] = Field(min_length=1)
    traffic: tuple[Traffic, ...] = Field(min_length=1)
    dials: Dials = Dials()
    users: int = Field(20_000, ge=100, le=10_000_000)
    items: int = Field(8_000, ge=100, le=10_000_000)
    queries: int = Field(2_000, ge=100, le=10_000_000)
    users_of: str = ""
    items_of: str = ""
    shift: float = Field(0.5, ge=0, le=3)
    days: int = Field(16, ge=0, le=366)

    @model_validator(mode="after")
    def _consistent(self) -> "Preset":
        known = {level.name for level in self.levels}
        for key in ("users_of", "items_of"):
            if getattr(self, key) not in {"", *known}:
                raise ValueError(f"{key}: no level '{getattr(self, key)}'")
        if self.days in (1, 2):
            raise ValueError("days: a log needs 3 days for its splits, or 0 for none")
        for line in self.traffic:
            if len(line.path) != len(self.levels) or any(
                name not in level.scenarios
                for name, level in zip(line.path, self.levels, strict=True)
            ):
                raise ValueError(f"traffic: {line.path} is no path through the levels")
        if len({line.path for line in self.traffic}) < len(self.traffic):
            raise ValueError("traffic: a path is there twice")
        return self


def _alipay() -> Preset:
    return Preset(
        name="alipay_sim",
        title="Simulated AliPay search: channel → domain",
        source="Table 1 of Zou et al., SIGIR 2022",
        levels=(
            SimulatedLevel(name="channel", title="Channel", scenarios=("HP", "VP")),
            SimulatedLevel(name="domain", title="Domain", scenarios=("RI", "BS")),
        ),
        traffic=(
            _traffic("HP", "RI", counts=(12_543_990, 3_554_662, 310_917)),
            _traffic("HP", "BS", counts=(27_930_226, 650_338, 25_495)),
            _traffic("VP", "RI", counts=(49_919_544, 21_833_316, 1_311_422)),
            _traffic("VP", "BS", counts=(6_218_734, 481_028, 16_806)),
        ),
        items_of="domain",
    )


def _aliexpress() -> Preset:
    return Preset(
        name="aliexpress_sim",
        title="Simulated AliExpress search: country",
        source="Table 2 of Zou et al., SIGIR 2022",
        levels=(
            SimulatedLevel(name="country", title="Country", scenarios=("NL", "FR", "ES", "US")),
        ),
        traffic=(
            _traffic("NL", counts=(17_717_195, 381_078, 13_815)),
            _traffic("FR", counts=(27_035_601, 542_753, 14_430)),
            _traffic("ES", counts=(31_669_427, 842_055, 19_096)),
            _traffic("US", counts=(27_392_613, 449_608, 10_830)),
        ),
        users_of="country",
        days=0,
    )


def _traffic(*path: str, counts: tuple[int, int, int]) -> Traffic:
    impressions, clicks, conversions = counts
    return Traffic(path=path, impressions=impressions, clicks=clicks, conversions=conversions)


PRESETS = {"alipay": _alipay(), "aliexpress": _aliexpress()}


def read_preset(name: str) -> Preset:
    """Return a preset by name, or read one from a TOML file."""
    if name in PRESETS:
        return PRESETS[name]
    if not name.endswith(".toml"):
        known = ", ".join(PRESETS)
        raise InputError(
            f"no preset '{name}'{nearest(name, PRESETS)}; there are {known}, or give a .toml file"
        )
    return parse(Preset, read_toml(Path(name)), name)
