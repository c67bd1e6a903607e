"""Checkpoints, checkpoints as zip files, and run folders."""

import contextlib
import hashlib
import io
import json
import shutil
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from aesm2.checkpoint import Checkpoint, load
from aesm2.config import AESM2Config
from aesm2.errors import InputError
from aesm2.lab.archive import pack, place_in, unpack
from aesm2.lab.job import JOB, PLAN, trouble
from aesm2.lab.queue import Lab
from aesm2.lab.records import read_history, read_saturation, read_snapshots
from aesm2.selfcheck import selfcheck
from aesm2.training.history import divergence_frame, facts, loss_frame, validation_frame
from tests import oracle, small
from tests.fuzz import mutate, slow
from tests.fuzz.dice import Dice, Wrong
from tests.fuzz.guard import Case, unchanged
from tests.fuzz.targets.tables import rows
from tests.models import cases
from tests.models.test_aesm2_oracle import narrowest_choice

MANIFEST = "checkpoint.json"
FORGED = ("../../../etc/passwd", "/etc/passwd", "x/../../y", "", ".", "..", "a\x00b", "README.md",
          "checkpoint.json", "é.bin", "x" * 300)  # fmt: skip


def checkpoints() -> Case:
    """A folder with one or more files damaged, most with hashes that say all is well."""
    files = {own.name: own.read_bytes() for own in (small.run() / "checkpoint").iterdir()}
    frame = rows().head(12)

    def case(dice: Dice, place: Path) -> None:
        folder = place / "checkpoint"
        _write(dice, folder, files)
        opened = load(folder, "cpu")
        _require_oracle(opened, frame)
        for use in (_evaluate, _history, _selfcheck, _pack):
            try:
                use(opened)
            except InputError as error:
                dice.note(f"{use.__name__} refuses: {error}")

    return case


def _evaluate(opened: Checkpoint) -> None:
    opened.evaluate(rows())
    opened.utilisation(rows())


def _history(opened: Checkpoint) -> None:
    history = opened.history()
    facts(history)
    for read in (divergence_frame, validation_frame):
        read(history)
    loss_frame(history, opened.config.training)
    opened.utilisation_history()


def _selfcheck(opened: Checkpoint) -> None:
    selfcheck(opened, repeats=1)


def _pack(opened: Checkpoint) -> None:
    again = unpack(pack(opened.path), opened.path.parent / "again")
    if again.hash != opened.hash:
        raise Wrong("a checkpoint is another after its way through a zip file")


def _write(dice: Dice, folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir()
    made = dict(files)
    for _ in range(dice.some(2)):
        name = dice.one(sorted(n for n in made if n != MANIFEST))
        made[name] = _content(dice, name, made[name])
    manifest = json.loads(made.pop(MANIFEST))
    if dice.random() < 0.3:
        manifest = _manifest(dice, manifest)
    for name, content in made.items():
        (folder / name).write_bytes(content)
    if dice.random() < 0.05:
        _link(dice, folder)
    if isinstance(manifest, dict) and dice.random() < 0.85:
        forge(folder, manifest, made)
    (folder / MANIFEST).write_bytes(mutate.to_json(dice, manifest))


def forge(folder: Path, manifest: dict, made: dict[str, bytes]) -> None:
    """Make the hashes of a manifest say that all is well."""
    if isinstance(manifest.get("files"), dict):
        for name, content in made.items():
            if name in manifest["files"]:
                linked = (folder / name).is_symlink() and (folder / name).is_file()
                content = (folder / name).read_bytes() if linked else content
                manifest["files"][name] = hashlib.sha256(content).hexdigest()
    content = {key: value for key, value in manifest.items() if key != "hash"}
    manifest["hash"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _manifest(dice: Dice, manifest: dict) -> dict:
    if dice.random() < 0.3:
        name = dice.one(FORGED)
        dice.note(f"manifest names {name!r}")
        manifest["files"][name] = "0" * 64
        return manifest
    if dice.random() < 0.5:
        manifest["config"]["model"] = mutate.changed(dice, manifest["config"]["model"], "model")
        return manifest
    return mutate.changed(dice, manifest, "manifest")


def _content(dice: Dice, name: str, content: bytes) -> bytes:
    if dice.random() >= 0.2:
        with contextlib.suppress(ValueError, SafetensorError):  # of what was spoilt before
            return _reworked(dice, name, content)
    return mutate.mutated(dice, content, name)


def _reworked(dice: Dice, name: str, content: bytes) -> bytes:
    """Change what a file holds, rather than its bytes."""
    if name.endswith(".safetensors"):
        return _tensors(dice, content, name)
    if name.endswith(".json"):
        return mutate.to_json(dice, mutate.changed(dice, json.loads(content), name))
    if name.endswith(".jsonl"):
        lines = [json.loads(line) for line in content.splitlines()]
        lines = mutate.changed(dice, lines[:20], name)
        lines = lines if isinstance(lines, list) else [lines]
        return b"".join(mutate.to_json(dice, line) + b"\n" for line in lines)
    return mutate.mutated(dice, content, name)


def _tensors(dice: Dice, content: bytes, name: str) -> bytes:
    kind = dice.randrange(8)
    if kind < 2:
        return header(dice, content, name)
    tensors = safetensors.torch.load(content)
    key = dice.one(sorted(tensors))
    dice.note(f"{name}: {key}, kind {kind}")
    match kind:
        case 2 | 3:
            wide = tensors[key].float().flatten().clone()
            for _ in range(dice.some(5)):
                wide[dice.randrange(len(wide))] = mutate.as_float32(dice)
            tensors[key] = wide.view(tensors[key].shape)
        case 4:
            tensors[key] = tensors[key].to(dice.one((torch.float64, torch.float16, torch.bfloat16,
                                                     torch.int64, torch.bool)))  # fmt: skip
        case 5:
            shape = dice.one(
                ((0,), (1,), (1, 1), (3, 0), tensors[key].shape[::-1], (*tensors[key].shape, 1))
            )
            tensors[key] = torch.zeros(shape)
        case 6:
            tensors[dice.one((key + "x", "", *mutate.TEXTS[:30]))] = tensors.pop(key)
        case _:
            tensors[key] = tensors[key] * dice.one((-1, 1000, 0, 3))
    return safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()})


def header(dice: Dice, content: bytes, name: str) -> bytes:
    """Lie in the header of a safetensors file."""
    (length,) = struct.unpack("<Q", content[:8])
    if dice.random() < 0.3:
        size = dice.one((0, 1, length - 1, length + 1, 2**20, 2**31, 2**63, 2**64 - 1))
        dice.note(f"{name}: header of {size} bytes")
        return struct.pack("<Q", size) + content[8:]
    header = mutate.changed(dice, json.loads(content[8 : 8 + length]), f"{name} header")
    text = mutate.to_json(dice, header)
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def _link(dice: Dice, folder: Path) -> None:
    name = dice.one(sorted(own.name for own in folder.iterdir()))
    to = dice.one(("/etc/passwd", "/dev/zero", "nowhere", ".", name))
    dice.note(f"{name} links to {to}")
    (folder / name).unlink()
    (folder / name).symlink_to(to)


def _saturated(found: oracle.Prediction) -> np.ndarray:
    """Rows in which −ln G̃ of two experts rounds to 0, though one is nearer the gate, (rows,)."""
    rows = np.zeros(len(found.logits), bool)
    for layer in found.layers:
        if layer.gate_logits.shape[-1] > 1:
            rows |= ((layer.kl_specific == 0).sum(-1) > 1).reshape(-1, len(rows)).any(0)
    return rows


def _require_oracle(opened: Checkpoint, frame) -> None:
    """Raise Wrong where a prediction is not what float64 loops over the stored weights give."""
    predicted = opened.predict(frame)
    if not isinstance(opened.config.model, AESM2Config):
        return
    slow.require_same_fields(opened.encoder, frame)
    batch = opened.encode(frame)
    stored = safetensors.torch.load_file(opened.path / "model.safetensors")
    weights = {name: value.double().numpy() for name, value in stored.items()}
    shape = cases.oracle_shape(opened.config.model, opened.encoder.schema)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            found = oracle.predict(weights, shape, batch.fields.numpy(), batch.scenarios.numpy())
        except (OverflowError, ValueError, ZeroDivisionError):  # the loops have float64's limits
            found = None
    if found is None or not np.isfinite(found.probabilities).all():
        return
    clear = (narrowest_choice(found) > 1e-4) & ~_saturated(found)
    actual = predicted.to_numpy(np.float64)
    known = ~np.isnan(actual)
    # A float32 logit of thousands is right to one part in ten million, no better.
    close = np.isclose(actual, found.probabilities, rtol=1e-3, atol=1e-4) | ~known
    if not close[clear].all() and np.abs(found.logits).max() < 1e4:
        row = int(np.argmin(close.all(1) | ~clear))
        raise Wrong(f"row {row}: predicted {actual[row]}, by hand {found.probabilities[row]}")


def archives() -> Case:
    """Zip files that say they hold a checkpoint."""
    content = pack(small.run() / "checkpoint")
    files = {own.name: own.read_bytes() for own in (small.run() / "checkpoint").iterdir()}

    def case(dice: Dice, place: Path) -> None:
        made = mutate.mutated(dice, content, "zip") if dice.random() < 0.4 else _zip(dice, files)
        with unchanged(place):
            name = dice.one(("mine", "mine", "mine", *mutate.TEXTS[:30]))
            opened = unpack(made, place_in(place, name))
        if {p.name for p in place.iterdir()} != {opened.path.name}:
            raise Wrong(f"beside it stand {sorted(p.name for p in place.iterdir())}")
        _require_oracle(opened, rows().head(5))

    return case


def _zip(dice: Dice, files: dict[str, bytes]) -> bytes:
    into = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")
        for name, content in files.items():
            archive.writestr(name, content)
        kind = dice.randrange(6)
        name = dice.one(
            (*FORGED, "../evil", "/tmp/evil", "..\\evil", "a/", "model.safetensors", "LINK")
        )
        dice.note(f"zip: kind {kind}, {name!r}")
        entry = zipfile.ZipInfo(name.split("\x00")[0] or "x")
        match kind:
            case 0 | 1:
                archive.writestr(entry, b"x")
            case 2:
                entry.external_attr = 0o120777 << 16
                archive.writestr(entry, b"/etc/passwd")
            case 3:
                archive.writestr(dice.one(("README.md", "history.jsonl")), bytes(64 << 20),
                                 compress_type=zipfile.ZIP_DEFLATED)  # fmt: skip
            case 4:
                entry.compress_type = dice.one(
                    (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_STORED)
                )
                archive.writestr(entry, bytes(1 << 20))
            case _:
                archive.comment = dice.randbytes(60_000)
    return into.getvalue()


def runs() -> Case:
    """Run folders with files damaged, or of somebody else: the lab reads them, training resumes."""
    files = {
        str(own.relative_to(small.run())): own.read_bytes()
        for own in small.run().rglob("*") if own.is_file() and own.name != ".lock"
    }  # fmt: skip
    order = {
        "dataset": str(small.dataset()),
        "device": "cpu",
        "ticket": 1,
        "wish": "run",
        "notes": "",
    }
    loose = sorted(name for name in files if "/" not in name)

    def case(dice: Dice, place: Path) -> None:
        folder = place / "lab" / "one"
        shutil.copytree(small.run(), folder)
        (folder / PLAN).write_bytes(files["config.json"])
        (folder / JOB).write_text(json.dumps(order))
        (folder / "outcome.json").write_text('{"code": 2, "said": "x"}')
        for _ in range(dice.some(2)):
            name = dice.one((*loose, *loose, JOB, "outcome.json"))
            content = (folder / name).read_bytes()
            (folder / name).write_bytes(_content(dice, name, content))
        if dice.random() < 0.1:
            name = dice.one(loose)
            (folder / name).unlink()
            dice.note(f"{name} is a folder")
            (folder / name).mkdir()
        lab = Lab(folder.parent)
        found = lab.jobs()
        for job in found:
            for look in (_status, read_history, read_snapshots, read_saturation, _resume):
                try:
                    look(job)
                except InputError as error:
                    dice.note(f"{look.__name__} refuses: {error}")
        lab.next("cpu")

    return case


def _status(job) -> None:
    job.status()
    trouble(job.outcome())
    job.config()
    job.command()
    facts(read_history(job))


def _resume(job) -> None:
    if not job.run.exists or job.config().training.epochs > 5:  # more would be right, and too long
        return
    small.fit(job.folder, None, resume=True)
    opened = load(job.folder / "checkpoint", "cpu")
    _require_oracle(opened, rows().head(5))
