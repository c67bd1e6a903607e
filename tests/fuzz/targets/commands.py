"""The command line: arguments of every command, and what it says where it cannot use them."""

import contextlib
import functools
import io
import os
import shutil
import sys
from pathlib import Path

from aesm2 import cli
from aesm2.checkpoint import load
from aesm2.errors import InputError
from aesm2.routing.grouped import grouped_utilisation
from aesm2.streaming import summary_file
from aesm2.streaming.works import row_groups
from tests import small
from tests.fuzz import mutate
from tests.fuzz.dice import Dice, Wrong
from tests.fuzz.guard import Case, tree
from tests.fuzz.targets.tables import csv_content, rows

COMMANDS = {
    "train": ("DATASET", "--run", "OUT", "--config", "CONFIG", "--device", "cpu"),
    "estimate": ("DATASET", "--config", "CONFIG", "--device", "cpu"),
    "evaluate": ("CHECKPOINT", "ROWS", "--device", "cpu"),
    "trace": ("CHECKPOINT", "ROWS", "--out", "OUT", "--device", "cpu"),
    "predict": ("CHECKPOINT", "LOG", "--out", "OUT", "--device", "cpu"),
    "utilisation": ("CHECKPOINT", "LOG", "--out", "OUT", "--device", "cpu"),
    "knockout": ("CHECKPOINT", "LOG", "--out", "OUT", "--device", "cpu"),
    "drift": ("CHECKPOINT", "SUMMARY", "LOG", "--replicates", "100", "--out", "OUT"),
    "info": ("CHECKPOINT",),
    "selfcheck": ("CHECKPOINT", "--device", "cpu"),
    "audit": ("CHECKPOINT", "ROWS", "--rows", "4", "--device", "cpu"),
    "export": ("CHECKPOINT", "OUT"),
    "import": ("ZIP", "OUT"),
    "describe": ("ROWS", "--out", "OUT"),
    "prepare": ("aliexpress", "FOLDER", "--out", "OUT"),
    "simulate": ("--preset", "PRESET", "--rows", "1000", "--out", "OUT"),
    "recover": ("CHECKPOINT", "DATASET", "--device", "cpu"),
    "compare": ("DATASET", "--out", "OUT", "--work", "OUT", "--models", "nope", "--jobs", "1"),
    "report": ("EVIDENCE",),
    "replay": ("DATASET", "--out", "OUT", "--work", "OUT"),
    "reproduce": ("CONFIG",),
    "regimes": ("CONFIG",),
}  # fmt: skip
WORDS = (
    "cuda", "cuda:99", "meta", "mps", "cpu:7", "xla", "--help", "--", "-1", "0", "1e9", "9" * 30,
    "nan",
    "/", "/dev/null", "/dev/full", "/proc/self/mem", "/proc/version", "-x", "--out", "--resume",
    "--seed",
)  # fmt: skip
INPUTS = ("DATASET", "CHECKPOINT", "ROWS", "ZIP", "CONFIG", "LOG", "SUMMARY")
SECRET = b"caf\xe9"  # a name that is no UTF-8


def commands() -> Case:
    """Every command with arguments exchanged, missing, odd: 0, 1 or 2, and one line for 2."""
    config = small.config(epochs=1, evaluate_every=None).model_dump_json()
    zipped = _zipped()
    _log()
    _summary()

    def case(dice: Dice, place: Path) -> None:
        folder = place / os.fsdecode(SECRET) if dice.random() < 0.1 else place / "work"
        folder.mkdir()
        where = _stage(dice, folder, config, zipped)
        command = dice.one(sorted(COMMANDS))
        arguments = [where.get(word, word) for word in _arguments(dice, command)]
        dice.note(" ".join([command, *(f"{own!r:.50}" for own in arguments)]))
        inputs = {name: where[name] for name in INPUTS}
        before = {name: _content(Path(own)) for name, own in inputs.items()}
        os.chdir(folder)
        try:
            _run([command, *arguments], where["OUT"])
        finally:
            os.chdir("/")
            changed = [name for name, own in inputs.items() if _content(Path(own)) != before[name]]
            if changed and str(where[changed[0]]) not in _outs(arguments):
                raise Wrong(f"{command} changed its input {changed}")

    return case


@functools.cache
def _zipped() -> bytes:
    from aesm2.lab.archive import pack

    return pack(small.run() / "checkpoint")


@functools.cache
def _log() -> bytes:
    out = io.BytesIO()
    rows().to_parquet(out)
    return out.getvalue()


@functools.cache
def _summary() -> bytes:
    opened = load(small.run() / "checkpoint", "cpu")
    groups, block = row_groups(rows(), None)
    summary = grouped_utilisation(opened.model, opened.encode(rows()), groups)
    return summary_file.of(opened, summary, "Monday", "shop", None, block).to_bytes()


def _stage(dice: Dice, folder: Path, config: str, zipped: bytes) -> dict[str, str]:
    """Write one of everything and return where, by the words of COMMANDS."""
    shutil.copytree(small.dataset(), folder / "shop")
    small.copy_checkpoint(folder / "checkpoint")
    name, content = (
        csv_content(dice) if dice.random() < 0.3 else ("rows.csv", rows().to_csv().encode())
    )
    (folder / name).write_bytes(content)
    (folder / "config.json").write_text(config)
    (folder / "zip.zip").write_bytes(zipped)
    (folder / "empty").mkdir()
    (folder / "log").mkdir()
    (folder / "log" / "a.parquet").write_bytes(_log())
    (folder / "monday.routing").write_bytes(_summary())
    paths = {"DATASET": "shop", "CHECKPOINT": "checkpoint", "ROWS": name, "CONFIG": "config.json",
             "ZIP": "zip.zip", "FOLDER": "empty", "OUT": "out", "EVIDENCE": "empty", "LOG": "log",
             "SUMMARY": "monday.routing"}  # fmt: skip
    return {word: str(folder / own) for word, own in paths.items()} | {"PRESET": "alipay"}


def _arguments(dice: Dice, command: str) -> list[str]:
    words = list(COMMANDS[command])
    everything = (*INPUTS, "FOLDER", "OUT", "PRESET")
    for _ in range(dice.randrange(3)):
        place = dice.randrange(len(words))
        match dice.randrange(6):
            case 0 | 1:
                words[place] = dice.one(everything)
            case 2:
                words[place] = dice.one(WORDS)
            case 3:
                words[place] = dice.one(mutate.TEXTS).replace("\x00", "").encode(
                    "utf-8", "replace").decode()  # fmt: skip
            case 4 if len(words) > 1:
                del words[place]
            case _:
                words.insert(place, dice.one((*everything, *WORDS)))
    return words


def _outs(arguments: list[str]) -> str:
    """Paths that a command was told to write."""
    named = [
        arguments[i + 1]
        for i, own in enumerate(arguments[:-1])
        if own in ("--out", "--run", "--work")
    ]
    return "\n".join([*named, *arguments[-1:]])


def _content(path: Path) -> object:
    if path.is_dir():
        return tree(path)
    return path.read_bytes() if path.is_file() else None


def _run(arguments: list[str], out: str) -> None:
    sys.argv = ["aesm2", *arguments]
    os.environ["COLUMNS"] = "200"
    said, told = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(said):
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
    lines = [line for line in said.getvalue().split("\n") if line.strip()]
    if code == 2:
        *_, last = lines or [""]
        shown = last.rsplit("\r", 1)[-1].strip()
        extra = [line for line in lines[:-1] if "\r" not in line]
        if not shown.startswith("aesm2: "):
            raise Wrong(f"exit 2 and said {lines[-3:]}")
        if extra:
            raise Wrong(f"said more than one line: {lines[-4:]}")
        half = [p for p in Path(out).parent.glob(".*") if p.name.endswith((".part", ".old"))]
        if half:
            raise Wrong(f"left {half} behind")
        raise InputError(shown.removeprefix("aesm2: "))
    if code not in (0, 1, None):
        raise Wrong(f"exit {code}: {lines[-3:]}")
