"""Configurations, studies, folders of evidence, presets of simulations, and reports."""

import html.parser
import io
import json
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pyarrow.parquet as pq

from aesm2.config import read_config
from aesm2.data.schema import Schema
from aesm2.evidence.folder import add_tables, read_evidence
from aesm2.evidence.regimes import read_map, read_plan
from aesm2.evidence.report import regimes_report, report
from aesm2.evidence.study import read_study
from aesm2.models import build
from aesm2.report import read_report, to_html, to_notebook, to_zip, write_report
from aesm2.simulation.planted import read_structure, read_world
from aesm2.simulation.presets import read_preset
from aesm2.simulation.world import World
from aesm2.simulation.write import simulate
from tests.fuzz import mutate
from tests.fuzz.dice import Dice, Wrong
from tests.fuzz.guard import Case, unchanged
from tests.fuzz.targets.tables import parquet_content
from tests.report.hand import EVIL
from tests.report.hand import report as made_report

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "checkpoints" / "evidence"


def configs() -> Case:
    """Configurations, studies and plans: refused, or a model of them can be built."""
    files = [*(ROOT / "configs").glob("*.toml"), *(ROOT / "configs" / "evidence").glob("*.toml")]
    sources = {own: (own.read_bytes(), tomllib.loads(own.read_text())) for own in sorted(files)}
    schema = Schema((4, 5), (("a", "b"), ("c", "d", "e")), ("x", "y"), ("t", "u"), (-1, 0))

    def case(dice: Dice, place: Path) -> None:
        file = dice.one(list(sources))
        content, values = sources[file]
        if dice.random() < 0.3:
            content = mutate.mutated(dice, content, file.name)
        else:
            values = mutate.changed(dice, values, file.name)
            content = mutate.to_toml(values if isinstance(values, dict) else {"x": values})
        (place / "it.toml").write_bytes(content)
        if file.parent.name != "evidence":
            build(read_config(place / "it.toml").model, schema)
        elif file.stem == "regimes":
            read_plan(place / "it.toml").quick()
        else:
            study = read_study(place / "it.toml")
            study.training(1000, 0, 0)
            study.quick()

    return case


def evidence() -> Case:
    """Folders of evidence with their manifest or a table changed; they are refused or reported."""
    folders = [own for own in sorted(SHIPPED.iterdir()) if own.is_dir()]
    files = {own: {f.name: f.read_bytes() for f in own.iterdir()} for own in folders}

    def case(dice: Dice, place: Path) -> None:
        folder = dice.one(folders)
        made = dict(files[folder])
        manifest = next(name for name in made if name.endswith(".json"))
        for _ in range(dice.some(2)):
            if dice.random() < 0.5:
                values = json.loads(files[folder][manifest])
                made[manifest] = mutate.to_json(dice, mutate.changed(dice, values, manifest))
                continue
            name = dice.one(sorted(made))
            made[name] = _other(dice, name, made[name])
        for name, content in made.items():
            (place / name).write_bytes(content)
        if manifest == "regimes.json":
            found_map = read_map(place)
            if dice.random() < 0.5:
                regimes_report(found_map)
            return
        found = read_evidence(place)
        if dice.random() < 0.3:  # it tests every difference, which takes a second
            report(found)
        for name in found.tables:
            found.made(name)
        with unchanged(place):
            add_tables(place, {"rows": dice.one(({}, found.manifest.get("rows")))}, {}, "x")

    return case


def _other(dice: Dice, name: str, content: bytes) -> bytes:
    """Damage a table, or put another in its place."""
    kind = dice.randrange(4)
    if kind == 0 or not name.endswith(".parquet"):
        return mutate.mutated(dice, content, name, 8)
    try:
        table = pq.read_table(io.BytesIO(content))
    except (OSError, ValueError):  # damaged already
        return content
    dice.note(f"{name}: kind {kind}")
    if kind == 1:
        return parquet_content(dice)[1]
    if kind == 2 and table.num_columns:
        gone = dice.one(table.column_names)
        dice.note(f"without {gone}")
        table = table.drop_columns([gone])
    else:
        table = table.slice(0, dice.one((0, 1, 2)))
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def presets() -> Case:
    """Presets and truths of simulations."""
    base = json.loads(read_preset("alipay").model_dump_json())
    truth = {"preset": base, "seed": 0, "rows": 1000, "format": 1, "distance": [[0.0]], "paths": []}

    def case(dice: Dice, place: Path) -> None:
        if dice.random() < 0.3:
            (place / "truth.json").write_bytes(
                mutate.to_json(dice, mutate.changed(dice, truth, "truth.json"))
            )
            read_structure(place)
            read_world(place)
            return
        values = mutate.changed(dice, base, "preset")
        content = mutate.to_toml(values if isinstance(values, dict) else {"x": values})
        (place / "it.toml").write_bytes(content)
        preset = read_preset(str(place / "it.toml"))
        out = place / dice.one(("sim", "it.toml", ".", "x/y/z"))
        with unchanged(place):
            if dice.random() < 0.3:
                simulate(preset, dice.one((1_000, 999, 10**12, -1)), out, 1, progress=False)
            else:
                World.make(preset, dice.one((0, 2**40)))

    return case


class _Scripts(html.parser.HTMLParser):
    """Collects what a browser might run or fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "script" and values.get("type") != "application/json":
            self.found.append("script")
        self.found += [f"{tag} {name}" for name in values if name.startswith("on")]
        if tag in ("a", "img", "iframe", "object", "embed", "form", "link", "base"):
            href = str(values.get("href") or "")
            self.found += [] if tag == "a" and href.startswith("#chart-") else [tag]


def reports() -> Case:
    """Reports that strangers wrote: refused, or written as pages that run no script of theirs."""
    base = json.loads(write_report(made_report(2)))

    def case(dice: Dice, place: Path) -> None:
        values = (
            mutate.changed(dice, base, "report") if dice.random() < 0.7 else _forged(dice, base)
        )
        content = mutate.to_json(dice, values)
        if dice.random() < 0.2:
            content = mutate.mutated(dice, content, "report.json")
        if dice.random() < 0.2:
            content = _zipped(dice, content)
        found = read_report(content, "x.json")
        scripts = _Scripts()
        scripts.feed(to_html(found))
        if sorted(scripts.found) != ["script", "script"]:
            raise Wrong(f"the page holds {scripts.found}")
        nbformat.validate(nbformat.reads(to_notebook(found), as_version=4))
        with zipfile.ZipFile(io.BytesIO(to_zip(found))) as whole:
            odd = [
                n
                for n in whole.namelist()
                if n.startswith(("/", "..")) or "\\" in n or n.count("/") > 1
            ]
        if odd:
            raise Wrong(f"the ZIP holds {odd}")
        again = read_report(write_report(found).encode(), "x.json")
        if again != found and "NaN" not in write_report(found):
            raise Wrong("a report is another after it was written and read")

    return case


def _forged(dice: Dice, base: dict) -> dict:
    values = json.loads(json.dumps(base))
    pin = values["report"]["pins"][0]
    for _ in range(dice.some(4)):
        evil = dice.one((EVIL, *mutate.TEXTS))
        match dice.randrange(6):
            case 0:
                pin[dice.one(("title", "key", "stamp", "alt", "code"))] = evil
            case 1:
                pin["context"][dice.one(sorted(pin["context"]))] = evil
            case 2:
                pin["help"][dice.one(sorted(pin["help"]))] = evil
            case 3:
                pin["table"]["columns"][0]["name"] = evil
            case 4:
                values["report"]["title"] = evil
            case _:
                figure = json.loads(pin["figure"])
                pin["figure"] = json.dumps(mutate.changed(dice, figure, "figure"))
        dice.note(f"{evil!r:.40}")
    return values


def _zipped(dice: Dice, content: bytes) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        name = dice.one(("report.json", "report.json", "other.json"))
        archive.writestr(name, bytes(200 << 20) if dice.random() < 0.1 else content)
    return mutate.mutated(dice, into.getvalue(), "zip") if dice.random() < 0.5 else into.getvalue()
