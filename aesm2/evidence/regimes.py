"""When does choosing experts help? AESM² and its strongest baselines as one thing at a time moves.

Worlds are simulated, so that models can be scored against what is true. Every model is tuned anew
at every point, with the same trials: what moves is the world, or the size of all models together,
never the care.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from scipy.stats import t as student

from aesm2.config import Strict, parse, read_toml
from aesm2.data.dataset import Dataset
from aesm2.data.scenarios import OVERALL
from aesm2.errors import InputError
from aesm2.evidence.cells import Store
from aesm2.evidence.comparison import final_runs, lines_of, search
from aesm2.evidence.measures import WEIGHTED
from aesm2.evidence.rows import encode_rows
from aesm2.evidence.stored import check_map, read_stored
from aesm2.evidence.study import Study
from aesm2.files import read_json, replaced, write_atomically
from aesm2.machine import place
from aesm2.simulation.presets import Dials, Preset, SimulatedLevel, Traffic
from aesm2.simulation.write import FEWEST, simulate

FORMAT = 1
MANIFEST, LINES = "regimes.json", "regimes.parquet"
FACTORS = {
    "conflict": "conflict between scenarios",
    "imbalance": "largest scenario : smallest",
    "scenarios": "scenarios",
    "rows": "rows per scenario",
    "experts": "experts (n)",
    "selected": "selected of each kind (K)",
}
CLICKS, CONVERSIONS = 0.25, 0.25  # rates per impression and per click, equal in every scenario
AESM2 = "aesm2"


class Point(Strict):
    """A world and the size of the models in it.

    conflict: see `Dials`. imbalance: rows of the largest scenario over those of the smallest; the
    others lie between, each by the same ratio. scenarios: of one level. rows: of a scenario, on
    average. experts: n, of every layer. selected: K of Eq. 10 and of Eq. 12.
    """

    conflict: float = Field(1.0, ge=0, le=5)
    imbalance: float = Field(1.0, ge=1, le=1000)
    scenarios: int = Field(4, ge=2, le=64)
    rows: int = Field(12_500, ge=100)
    experts: int = Field(8, ge=1, le=256)
    selected: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _enough_experts(self) -> "Point":
        if self.selected > self.experts:
            raise ValueError(f"selected = {self.selected} is more than experts = {self.experts}")
        return self

    @property
    def world(self) -> dict[str, Any]:
        """What its data depend on."""
        return self.model_dump(include={"conflict", "imbalance", "scenarios", "rows"})

    def preset(self) -> Preset:
        """Return the world to simulate. Rates are equal, so that an id alone predicts nothing."""
        names = tuple(f"s{i + 1:02d}" for i in range(self.scenarios))
        shares = np.geomspace(self.imbalance, 1.0, self.scenarios)
        counts = (1_000_000 * shares).astype(int).tolist()
        traffic = tuple(
            Traffic(path=(name,), impressions=count, clicks=int(count * CLICKS),
                    conversions=int(count * CLICKS * CONVERSIONS))
            for name, count in zip(names, counts, strict=True)
        )  # fmt: skip
        return Preset(
            name="regime",
            title="A simulated world",
            source="none: chosen to vary one thing at a time",
            levels=(SimulatedLevel(name="market", title="Market", scenarios=names),),
            traffic=traffic,
            dials=Dials(conflict=self.conflict),
            users=5_000,
            items=2_000,
            queries=500,
            days=0,
        )


class Regimes(Strict):
    """A file such as configs/evidence/regimes.toml.

    out: folder to write, relative to the file. base: the point from which one factor at a time
    moves. vary: the values of each factor, the base's own among them. study: the models
    (`only` names the variants), their tuning and seeds; n and K come from the points.
    """

    out: str
    base: Point = Point()
    vary: dict[str, tuple[float, ...]]
    study: Study

    @model_validator(mode="after")
    def _consistent(self) -> "Regimes":
        for factor, values in self.vary.items():
            if factor not in FACTORS:
                raise ValueError(f"vary: no factor '{factor}'; there are {', '.join(FACTORS)}")
            if getattr(self.base, factor) not in values:
                raise ValueError(f"vary.{factor}: has not the base's own value among its values")
            if len(set(values)) < 2:
                raise ValueError(f"vary.{factor}: expected two values or more")
            for value in values:
                self.at(factor, value)
        if AESM2 not in self.study.only:
            raise ValueError(f"study.only: expected {AESM2} and at least one other variant")
        return self

    def at(self, factor: str, value: float) -> Point:
        """Return the base with one factor moved."""
        return Point.model_validate(self.base.model_dump() | {factor: value})

    def study_at(self, point: Point) -> Study:
        """Return the study with the models' n and K of a point."""
        k = point.selected
        of_point = {"experts": point.experts, "specific": k, "shared": k}
        size = self.study.size
        groups = {"scenario": size.scenario, "task": size.task}
        moved = {name: group.model_copy(update=of_point) for name, group in groups.items()}
        return self.study.model_copy(update={"size": size.model_copy(update=moved)})

    def quick(self) -> "Regimes":
        """Return a short form: two values of each factor, few rows, seeds and trials."""
        base = self.base.model_copy(update={"rows": FEWEST // 2})  # enough for two scenarios
        vary = {}
        for factor, values in self.vary.items():
            own = getattr(base, factor)
            other = 2 * own if factor == "rows" else next(v for v in values if v != own)
            vary[factor] = (own, other)
        return Regimes(out=self.out, base=base, vary=vary, study=self.study.quick())


def read_plan(path: Path) -> Regimes:
    """Read a file of regimes; InputError names what is wrong."""
    return parse(Regimes, read_toml(path), str(path))


def run_regimes(plan: Regimes, work: Path, jobs: int) -> pd.DataFrame:
    """Simulate every world, train every model in it, and return what was measured.

    One line a factor, value, variant, seed and task, over all test rows and as the mean over
    scenarios: see `comparison.lines_of`. Finished runs in `work` are never run again.
    """
    parts: dict[str, pd.DataFrame] = {}
    lines = []
    for factor, values in plan.vary.items():
        for value in values:
            point = plan.at(factor, value)
            key = point.model_dump_json()
            if key not in parts:
                store, study = _store(point, work), plan.study_at(point)
                runs = final_runs(store, study, search(store, study, jobs), jobs)
                found = lines_of(store, runs)
                parts[key] = found[found["scope"].isin([OVERALL, WEIGHTED])]
            lines.append(parts[key].assign(factor=factor, value=value, base=point == plan.base))
    table = pd.concat(lines, ignore_index=True)
    first = ["factor", "value", "base"]
    return table[first + [column for column in table.columns if column not in first]]


@dataclass(frozen=True)
class Map:
    """A regime map. plan: the values of `Regimes`; made: by which command, commit and machine."""

    plan: Mapping[str, Any]
    made: str
    lines: pd.DataFrame


def save_map(folder: Path, plan: Regimes, lines: pd.DataFrame, command: str) -> None:
    """Write a regime map into a folder, whole or not at all."""
    values = {"format": FORMAT, "plan": plan.model_dump(mode="json")}
    made = place() | {"command": command, "lines": len(lines)}
    text = json.dumps(values | {"made": made}, indent=1, ensure_ascii=False)
    with replaced(folder, kept=True) as part:
        with (part / LINES).open("wb") as file:
            lines.to_parquet(file, index=False, compression="zstd")
        write_atomically(part / MANIFEST, text + "\n")


def read_map(folder: Path) -> Map:
    """Read what `save_map` wrote; InputError where it cannot be read."""
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{folder / MANIFEST}: no regime map of this version; compute it again")
    check_map(manifest, folder / MANIFEST)
    lines = read_stored(folder, LINES.removesuffix(".parquet"))
    made = manifest["made"]
    return Map(manifest["plan"], f"{made['command']}; commit {made['commit']}; {made['machine']}",
               lines)  # fmt: skip


def leads(lines: pd.DataFrame, measure: str = "truth_auc", scope: str = OVERALL) -> pd.DataFrame:
    """Return AESM²'s lead over the best baseline at every point, in points of AUC × 100.

    lines: see `run_regimes`. One line a factor, value and task: base; baseline, the best by its
    mean over seeds; lead, the mean difference; low and high, its 95 % interval by Student's t over
    seeds, in which both models share the seed; seeds. The best baseline is chosen on the very rows
    it is compared on, which is hard on AESM².
    """
    own = lines[lines["scope"] == scope]
    found = []
    for (factor, value, task), part in own.groupby(["factor", "value", "task"], sort=False):
        wide = 100 * part.pivot_table(measure, "seed", "variant", sort=False)
        baseline = wide.drop(columns=AESM2).mean().idxmax()
        differences = (wide[AESM2] - wide[baseline]).to_numpy(np.float64)
        n, mean = len(differences), differences.mean()
        half = np.nan
        if n > 1:
            half = student.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n)
        found.append(
            {"factor": factor, "value": value, "base": bool(part["base"].iloc[0]), "task": task,
             "baseline": baseline, "lead": mean, "low": mean - half, "high": mean + half,
             "seeds": n}
        )  # fmt: skip
    return pd.DataFrame(found)


def tally(lines: pd.DataFrame, measure: str = "truth_auc") -> pd.DataFrame:
    """Count how AESM² stands against each baseline alone, and against the best of them.

    One line a baseline, "" for the best: points (of a task, the base once), ahead and behind (by
    the interval of `leads`), and the mean lead.
    """
    found = []
    for name in ["", *(v for v in lines["variant"].unique() if v != AESM2)]:
        own = lines if name == "" else lines[lines["variant"].isin([AESM2, name])]
        shown = once(leads(own, measure))
        found.append(
            {"baseline": name, "points": len(shown), "ahead": int((shown["low"] > 0).sum()),
             "behind": int((shown["high"] < 0).sum()), "lead": shown["lead"].mean()}
        )  # fmt: skip
    return pd.DataFrame(found)


def once(leads: pd.DataFrame) -> pd.DataFrame:
    """Return leads with the base point, which every factor has, once."""
    return leads[~leads["base"] | ~leads.duplicated(["base", "task"])]


def _store(point: Point, work: Path) -> Store:
    """Return the store of a point's world, which is simulated where it is missing."""
    text = json.dumps(point.world, sort_keys=True)
    folder = work / hashlib.sha256(text.encode()).hexdigest()[:12]
    data = folder / "data"
    if not data.exists():
        folder.mkdir(parents=True, exist_ok=True)
        simulate(point.preset(), point.scenarios * point.rows, data, seed=0, progress=False)
    return Store(folder, encode_rows(Dataset.open(data)))
