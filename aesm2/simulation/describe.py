"""The `dataset.toml` of a simulated log."""

import json

import pandas as pd

from aesm2.simulation.population import ITEM, QUERY, USER, Kind
from aesm2.simulation.presets import Preset, SimulatedLevel
from aesm2.simulation.world import FIRST_DAY

HEAD = """\
name = {name}
title = {title}
provenance = "simulated"
licence = "CC0 1.0: made by a program, from no one's data"
citation = {citation}
notes = [
  {rates},
  "The truth of every row is in truth/, the planted structure in truth.json; no model may see them.",
]

[source]
table = "log"
join = [
  {{ table = "users.parquet", on = "user_id" }},
  {{ table = "items.parquet", on = "item_id" }},
  {{ table = "queries.parquet", on = "query_id" }},
]
"""  # noqa: E501
RATES = (
    "Shares of impressions, click and conversion rates are those of {source}; everything else is"
    " invented."
)
TASKS = """
[[task]]
name = "ctr"
title = "Click"
label = "click"

[[task]]
name = "ctcvr"
title = "Click and conversion"
label = "conversion"
follows = "ctr"
conditional = "cvr"
value = "price"
"""


def describe(preset: Preset) -> str:
    """Write the description of a preset's log; it does not depend on the number of rows."""
    head = HEAD.format(
        name=json.dumps(preset.name),
        title=json.dumps(preset.title, ensure_ascii=False),
        citation=json.dumps(f"Rates: {preset.source}", ensure_ascii=False),
        rates=json.dumps(RATES.format(source=preset.source), ensure_ascii=False),
    )
    levels = "".join(map(_level, preset.levels))
    features = "".join(map(_features, (USER, ITEM, QUERY)))
    return head + _split(preset) + levels + TASKS + features


def _split(preset: Preset) -> str:
    """The last day is for test and the one before for validation, as in §4.1; else at random."""
    if not preset.days:
        return "\n[split]\nrandom = { validation = 0.15, test = 0.15 }\n"
    days = pd.date_range(FIRST_DAY, periods=preset.days).strftime("%Y%m%d")
    return (
        '\n[split]\ncolumn = "day"\n'
        f"train = {{ last = {days[-3]} }}\n"
        f"validation = {{ first = {days[-2]}, last = {days[-2]} }}\n"
        f"test = {{ first = {days[-1]} }}\n"
    )


def _level(level: SimulatedLevel) -> str:
    values = ", ".join(json.dumps(name, ensure_ascii=False) for name in level.scenarios)
    title = json.dumps(level.title, ensure_ascii=False)
    return (
        f'\n[[level]]\nname = "{level.name}"\ntitle = {title}\ncolumn = "{level.name}"\n'
        f"values = [{values}]\n"
    )


def _features(kind: Kind) -> str:
    """Features of a group; its trait and score are known and do not matter."""
    name = kind.name
    return (
        f"\n[features.{name}]\n"
        f'{name}_id = {{ kind = "categorical", min_count = 30 }}\n'
        f'{kind.category} = {{ kind = "categorical" }}\n'
        f'{kind.number} = {{ kind = "numeric" }}\n'
        f'{name}_trait = {{ kind = "categorical" }}\n'
        f'{name}_score = {{ kind = "numeric" }}\n'
    )
