"""Everything that writes, on small inputs: what is there before, and what must be after."""

import contextlib
import functools
import hashlib
import io
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from aesm2 import cli
from aesm2.checkpoint import load
from aesm2.data.dataset import Dataset
from aesm2.data.store import Saved, save, undo
from aesm2.errors import InputError
from aesm2.evidence.folder import add_tables, read_evidence
from aesm2.evidence.regimes import read_map, read_plan, save_map
from aesm2.files import from_trash, to_trash
from aesm2.lab.archive import pack, promote
from aesm2.lab.job import Wish
from aesm2.lab.queue import Lab
from aesm2.slices import saved as slices
from aesm2.streaming import summary_file
from aesm2.streaming.outputs import DONE, PLAN
from tests import small
from tests.fuzz.targets.tables import rows
from tests.prepare import files as aliexpress

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Writer:
    """Something that writes.

    prepare: fill an empty folder. run: write, in that folder. look: tell what is there, in a value
    that is the same for the same content; InputError, or absent files, where nothing whole is.
    again: what a second run is told where the first one finished, "" where it may just be repeated.
    """

    name: str
    prepare: Callable[[Path], Any]
    run: Callable[[Path], Any]
    look: Callable[[Path], Any]
    again: str = ""
    command: bool = True


def _command(*arguments: str) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        sys.argv = ["aesm2", *(own.format(folder) for own in arguments)]
        cli.main()

    return run


@functools.cache
def _zipped() -> bytes:
    return pack(small.run() / "checkpoint")


def digest(path: Path) -> str:
    """Return the hash of a file, or those of a folder's files but hidden ones; "" without any."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    found = {
        str(own.relative_to(path)): digest(own)
        for own in sorted(path.rglob("*"))
        if own.is_file() and not any(part.startswith(".") for part in own.relative_to(path).parts)
    }
    return json.dumps(found) if found else ""


def _with_checkpoint(folder: Path) -> None:
    small.copy_checkpoint(folder / "checkpoint")
    rows().to_csv(folder / "rows.csv", index=False)
    for name in ("out.parquet", "out.zip"):
        (folder / name).write_bytes(b"old")


def _loaded(*names: str) -> Callable[[Path], Any]:
    return lambda folder: {n: load(folder / n, "cpu").hash for n in names if (folder / n).exists()}


def _file(name: str, read: Callable[[Path], Any]) -> Callable[[Path], Any]:
    def look(folder: Path) -> Any:
        if not (folder / name).exists():
            return None
        return "old" if (folder / name).read_bytes() == b"old" else read(folder / name)

    return look


def _parquet(path: Path) -> str:
    return hashlib.sha256(pq.read_table(path).to_pandas().to_csv().encode()).hexdigest()


def _dataset(name: str) -> Callable[[Path], Any]:
    def look(folder: Path) -> Any:
        if not (folder / name / "dataset.toml").exists():
            return None
        frame = Dataset.open(folder / name).frame()
        frame = frame.sort_values(list(frame.columns[:6]), ignore_index=True)
        return hashlib.sha256(frame.to_csv().encode()).hexdigest()

    return look


def _train(folder: Path) -> None:
    config = small.config(epochs=1, evaluate_every=3)
    (folder / "config.json").write_text(config.model_dump_json())
    shutil.copytree(small.dataset(), folder / "shop")


def _trained(folder: Path) -> Any:
    if not (folder / "run" / "checkpoint").exists():
        return None
    opened = load(folder / "run" / "checkpoint", "cpu")
    return opened.steps, digest(opened.path / "model.safetensors")


def _train_command(folder: Path) -> None:
    resume = (folder / "run" / "config.json").exists()
    more = ["--resume"] if resume else ["--config", f"{folder}/config.json"]
    _command("train", "{}/shop", "--run", "{}/run", "--device", "cpu", *more)(folder)


def _aliexpress(folder: Path) -> None:
    aliexpress.write_processed(folder / "raw" / "NL", "NL")


def _files(licence: str) -> Mapping[str, bytes]:
    text = small.DESCRIPTION.replace('licence = "CC0"', f'licence = "{licence}"')
    tables = {name: (small.dataset() / name).read_bytes() for name in ("log.parquet", "items.csv")}
    return {"dataset.toml": text.encode(), **tables}


def _old_dataset(folder: Path) -> None:
    save(folder / "shop", _files("old"))


def _licence(folder: Path) -> Any:
    if not (folder / "shop").exists():
        return None
    dataset = Dataset.open(folder / "shop")
    return dataset.description.licence, len(dataset.frame())


def _replaced_dataset(folder: Path) -> None:
    _old_dataset(folder)
    done = save(folder / "shop", _files("new"), replace=True)
    stored = {"digests": dict(done.digests), "rows": dict(done.rows), "before": str(done.before)}
    (folder / "saved.json").write_text(json.dumps(stored))


def _undo(folder: Path) -> None:
    stored = json.loads((folder / "saved.json").read_text())
    undo(Saved(folder / "shop", stored["digests"], stored["rows"], Path(stored["before"])))


def _lab(folder: Path) -> None:
    (folder / "lab").mkdir()
    lab = Lab(folder / "lab")
    lab.submit("first", small.dataset(), small.config(), "cpu")
    shutil.copytree(small.run(), folder / "lab" / "done", ignore=shutil.ignore_patterns(".lock"))
    shutil.copy(folder / "lab" / "first" / "job.json", folder / "lab" / "done" / "job.json")


def _jobs(folder: Path) -> Any:
    lab = Lab(folder / "lab")
    return {job.name: (job.order().wish, job.config().training.epochs, job.position().step)
            for job in lab.jobs()}  # fmt: skip


def _submit(folder: Path) -> None:
    Lab(folder / "lab").submit("second", small.dataset(), small.config(epochs=2), "cpu")


def _branch(folder: Path) -> None:
    lab = Lab(folder / "lab")
    lab.branch(lab.job("done"), "branch", small.config(epochs=9), best=True)


def _pause(folder: Path) -> None:
    lab = Lab(folder / "lab")
    lab.wish(lab.job("first"), Wish.PAUSE)


def _kept_checkpoint(folder: Path) -> None:
    small.copy_checkpoint(folder / "mine")


def _restore(folder: Path) -> None:
    place = next((folder / ".trash").iterdir())
    from_trash(place)


def _slices(folder: Path) -> None:
    slices.save(folder, "shop", "old", "age missing")


def _evidence(folder: Path) -> None:
    shutil.copytree(ROOT / "checkpoints" / "evidence" / "kuairand", folder / "evidence")


def _add(folder: Path) -> None:
    found = read_evidence(ROOT / "checkpoints" / "evidence" / "kuairand")
    half = {name: table.head(max(1, len(table) // 2)) for name, table in found.tables.items()}
    add_tables(folder / "evidence", {k: v for k, v in found.manifest.items() if k != "tables"},
               half, "aesm2 compare")  # fmt: skip


def _tables(folder: Path) -> Any:
    found = read_evidence(folder / "evidence")
    told = {name: found.manifest["tables"][name]["lines"] for name in found.tables}
    there = {name: len(table) for name, table in found.tables.items()}
    if told != there:
        raise InputError(f"manifest and tables differ: {told}, {there}")
    return there


def _map(folder: Path) -> None:
    shutil.copytree(ROOT / "checkpoints" / "evidence" / "regimes", folder / "map")


def _save_map(folder: Path) -> None:
    found = read_map(ROOT / "checkpoints" / "evidence" / "regimes")
    plan = read_plan(ROOT / "configs" / "evidence" / "regimes.toml")
    save_map(folder / "map", plan, found.lines.head(40), "aesm2 regimes")


def _map_lines(folder: Path) -> Any:
    manifest = json.loads((folder / "map" / "regimes.json").read_text())
    lines: pd.DataFrame = read_map(folder / "map").lines
    if manifest["made"]["lines"] != len(lines):
        raise InputError("manifest and lines differ")
    return len(lines)


def _study(folder: Path) -> None:
    shutil.copytree(small.dataset(), folder / "shop")


def _with_log(folder: Path) -> None:
    """A checkpoint, a folder of three parquet files, and outputs of before."""
    small.copy_checkpoint(folder / "checkpoint")
    (folder / "log").mkdir()
    for number in range(3):
        part = rows().iloc[14 * number : 14 * (number + 1)]
        part.to_parquet(folder / "log" / f"day-{number}.parquet", index=False)
    for name in ("out.routing", "out.csv", "out.json"):
        (folder / name).write_bytes(b"old")


def _parts(command: str) -> Callable[[Path], None]:
    """Write a folder of parts; where a plan is there, with --resume, as the command asks for."""

    def run(folder: Path) -> None:
        more = ["--resume"] if (folder / "out" / PLAN).exists() else []
        _command(command, *_ON_LOG, "--out", "{}/out", *more)(folder)

    return run


def _written(folder: Path) -> Any:
    """Tell what a folder of parts holds; until it is complete, that no part of it is cut off."""
    out = folder / "out"
    parts = {own.name: _parquet(own) for own in sorted(out.glob("*.parquet"))}
    if not (out / DONE).exists():
        return None
    done = json.loads((out / DONE).read_text())
    if done["parts"] != len(parts):
        raise InputError(f"complete with {len(parts)} of {done['parts']} parts")
    return parts


@functools.cache
def _outputs() -> Path:
    """A folder with an output of each kind, for reading only."""
    folder = small.folder() / "outputs"
    folder.mkdir()
    _with_log(folder)
    for run in (_parts("predict"), _UTILISATION):
        _quietly(run, folder)
    return folder


def _quietly(run: Callable[[Path], Any], folder: Path) -> None:
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        run(folder)


def _unfinished(folder: Path) -> None:
    """An output of which a part was being written by a process that was killed."""
    shutil.copytree(_outputs() / "out", folder / "out", ignore=shutil.ignore_patterns(DONE))
    (folder / "out" / "part-000001.parquet").rename(folder / "out" / ".part-000001.parquet.1.part")


def _go_on(folder: Path) -> None:
    """Resume; the log is that of the plan, since another place would be another log."""
    there = (f"{_outputs()}/checkpoint", f"{_outputs()}/log", "--device", "cpu")
    _command("predict", *there, "--out", "{}/out", "--resume")(folder)


def _summary(path: Path) -> str:
    """Tell what a routing summary counts, but for when and where."""
    found = summary_file.read(path, load(path.parent / "checkpoint", "cpu"))
    counts = {name: values.tolist() for name, values in found.summary.arrays().items()}
    return hashlib.sha256(json.dumps([found.about.rows, counts]).encode()).hexdigest()


def _two_summaries(folder: Path) -> None:
    _with_log(folder)
    for name in ("a", "b"):
        shutil.copy(_outputs() / "out.routing", folder / f"{name}.routing")


def _drift_found(path: Path) -> Any:
    found = json.loads(path.read_text())
    return found["found"], found["tested"], len(found["cells"])


_ON_LOG = ("{}/checkpoint", "{}/log", "--device", "cpu")
_UTILISATION = _command("utilisation", *_ON_LOG, "--out", "{}/out.routing")
_TINY = ("--models", "mlp,aesm2", "--seeds", "2", "--quick", "--jobs", "1")
ALL = {
    own.name: own
    for own in (
        Writer("export", _with_checkpoint, _command("export", "{}/checkpoint", "{}/out.zip"),
               _file("out.zip", digest)),
        Writer("import", lambda f: (f / "it.zip").write_bytes(_zipped()),
               _command("import", "{}/it.zip", "{}/mine"), _loaded("mine"), "exists already"),
        Writer("trace", _with_checkpoint, _command("trace", "{}/checkpoint", "{}/rows.csv", "--out",
               "{}/out.parquet", "--device", "cpu"), _file("out.parquet", _parquet)),
        Writer("describe", _with_checkpoint,
               _command("describe", "{}/rows.csv", "--out", "{}/x.toml"),
               _file("x.toml", digest), "is there already"),
        Writer("simulate", lambda f: None,
               _command("simulate", "--preset", "alipay", "--rows", "1000", "--out", "{}/sim"),
               _dataset("sim"), "exists already"),
        Writer("prepare", _aliexpress,
               _command("prepare", "aliexpress", "{}/raw", "--out", "{}/ali"),
               _dataset("ali"), "holds a dataset already"),
        Writer("train", _train, _train_command, _trained),
        Writer("compare", _study, _command("compare", "{}/shop", "--out", "{}/evidence", "--work",
               "{}/work", *_TINY), lambda f: _tables(f) if (f / "evidence").exists() else None),
        Writer("save data", lambda f: None, lambda f: save(f / "shop", _files("new")), _licence,
               "there is a dataset of this name", False),
        Writer("replace data", _old_dataset,
               lambda f: save(f / "shop", _files("new"), replace=True),
               _licence, command=False),
        Writer("undo data", _replaced_dataset, _undo, _licence, "have been changed", False),
        Writer("submit", _lab, _submit, _jobs, "there is a run", False),
        Writer("branch", _lab, _branch, _jobs, "already", False),
        Writer("pause", _lab, _pause, _jobs, command=False),
        Writer("promote", _kept_checkpoint, lambda f: promote(f / "mine", f / "kept", "Notes"),
               _loaded("kept"), "exists already", False),
        Writer("remove", _kept_checkpoint, lambda f: to_trash(f / "mine"),
               lambda f: (_loaded("mine")(f), digest(f / ".trash")), "No such file", False),
        Writer("restore", lambda f: (_kept_checkpoint(f), to_trash(f / "mine")), _restore,
               _loaded("mine"), "StopIteration", False),
        Writer("save slice", _slices, lambda f: slices.save(f, "shop", "new", "age >= 30"),
               lambda f: slices.saved(f, "shop"), "there is a slice", False),
        Writer("delete slice", _slices, lambda f: slices.delete(f, "shop", "old"),
               lambda f: slices.saved(f, "shop"), "no saved slice", False),
        Writer("add evidence", _evidence, _add, _tables, command=False),
        Writer("save map", _map, _save_map, _map_lines, command=False),
        Writer("predict", _with_log, _parts("predict"), _written),
        Writer("resume predict", _unfinished, _go_on, _written),
        Writer("trace parts", _with_log, _parts("trace"), _written),
        Writer("utilisation", _with_log, _UTILISATION, _file("out.routing", _summary)),
        Writer("knockout", _with_log, _command("knockout", *_ON_LOG, "--out", "{}/out.csv"),
               _file("out.csv", digest)),
        Writer("drift", _two_summaries, _command("drift", "{}/checkpoint", "{}/a.routing",
               "{}/b.routing", "--replicates", "100", "--out", "{}/out.json"),
               _file("out.json", _drift_found)),
    )
}  # fmt: skip
