"""A trained model as a folder of plain files, verified by a content hash when it is opened.

    checkpoint.json         format, name, configuration, versions, and the hash of every other file
    model.safetensors       weights
    dataset.toml            the description of the data it was trained on
    encoder.json            vocabularies and bucket edges
    evaluation.jsonl        AUC and log loss per scenario and task, on validation and test
    statistics.jsonl        impressions and positives per split and scenario
    history.jsonl           losses, divergences and validation AUC over training
    utilisation.jsonl       counts of choices over training
    reference.safetensors   inputs and outputs for `aesm2 selfcheck`
    README.md               the model card, for people; it alone is not part of the hash

Nothing in it is a pickle.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from aesm2.config import Config, Strict, parse
from aesm2.data.batch import Batch
from aesm2.data.counts import IMPRESSIONS
from aesm2.data.dataset import SPLITS
from aesm2.data.description import Description, read_description
from aesm2.data.encoder import Encoder, require_columns, tasks_exist
from aesm2.data.schema import Schema
from aesm2.data.tables import read_table
from aesm2.device import resolve_device
from aesm2.errors import InputError
from aesm2.evaluation import evaluate
from aesm2.files import read_json, read_lines, replaced, sha256, write_atomically
from aesm2.inference import probabilities
from aesm2.models import Model, TooLarge, build
from aesm2.routing.trace import LayerSpec, RoutingTrace, layer_specs, trace
from aesm2.routing.utilisation import Utilisation, utilisation

FORMAT = 1
MANIFEST, WEIGHTS, CARD = "checkpoint.json", "model.safetensors", "README.md"
REQUIRED = (
    WEIGHTS, "dataset.toml", "encoder.json", "evaluation.jsonl", "statistics.jsonl",
    "history.jsonl", "utilisation.jsonl", "reference.safetensors",
)  # fmt: skip
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")  # names of files in a checkpoint
Kinds = Mapping[str, tuple[type, ...]]
TEXT, COUNT, NUMBER = (str,), (int,), (int, float, type(None))
EVALUATION: Kinds = {
    "scope": TEXT, "scenario": TEXT, "task": TEXT, "n": COUNT, "positives": COUNT, "rate": NUMBER,
    "mean_prediction": NUMBER, "auc": NUMBER, "auc_low": NUMBER, "auc_high": NUMBER,
    "log_loss": NUMBER, "split": TEXT,
}  # fmt: skip


class Manifest(Strict):
    """Content of `checkpoint.json`; `hash` is over all the rest, and so over every file."""

    format: int
    name: str
    steps: int
    config: Config
    versions: dict[str, str]
    files: dict[str, str]
    hash: str


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint; build one with `load`.

    hash: identifies the content. steps: optimizer steps to the weights it holds.
    evaluation: see `evaluate`, with a column split. statistics: see `scenario_statistics`.
    """

    path: Path
    name: str
    hash: str
    config: Config
    encoder: Encoder
    model: Model
    device: torch.device
    steps: int
    evaluation: pd.DataFrame
    statistics: pd.DataFrame

    @property
    def description(self) -> Description:
        """The dataset it was trained on."""
        return self.encoder.description

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """Its layers that select experts, in order of computation."""
        return layer_specs(self.model)

    def read(self, source: str | Path | pd.DataFrame) -> pd.DataFrame:
        """Read rows from a table, or take a frame, and check that no input column is missing."""
        frame = source if isinstance(source, pd.DataFrame) else read_table(source)
        require_columns(frame, self.description.input_columns, "the table")
        return frame

    def encode(self, frame: pd.DataFrame, labels: bool = False) -> Batch:
        """Encode rows as the model's input; see `Encoder.encode`."""
        return self.encoder.encode(frame, labels)

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Probability of each task for each row: one column a task, the frame's index.

        NaN where a task does not exist in the row's scenario.
        """
        batch, described = self.encode(frame), self.description
        predicted = probabilities(self.model, batch)
        predicted[~tasks_exist(described, batch.scenarios.numpy())] = np.nan
        names = [task.name for task in described.task]
        return pd.DataFrame(predicted, columns=names, index=frame.index)

    def trace(self, frame: pd.DataFrame) -> RoutingTrace:
        """Trace the expert selection of each row through every layer."""
        return trace(self.model, self.encode(frame), frame.index)

    def utilisation(self, frame: pd.DataFrame) -> Utilisation:
        """Count which experts the rows of each scenario use."""
        return utilisation(self.model, self.encode(frame))

    def evaluate(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Measure AUC and log loss on labelled rows, per scenario and task."""
        return evaluate(self.model, self.encode(frame, labels=True))

    def history(self) -> list[dict[str, Any]]:
        """Records of its training, in order of steps."""
        return read_lines(self.path / "history.jsonl")

    def utilisation_history(self) -> list[tuple[int, Utilisation]]:
        """Utilisation on the validation rows over training: (step, counts).

        Raises InputError where a line does not fit the model.
        """
        schema, specs, file = self.encoder.schema, self.layers, self.path / "utilisation.jsonl"
        found = []
        for number, line in enumerate(read_lines(file), 1):
            step = line.get("step")
            if not isinstance(step, int):
                raise InputError(f"{file}: line {number} has no step")
            try:
                found.append((step, Utilisation.from_json(schema, specs, line)))
            except InputError as error:
                raise InputError(f"{file}: line {number}: {error}") from None
        return found


def load(path: str | Path, device: str = "auto") -> Checkpoint:
    """Open a checkpoint folder on a device: "auto" (CUDA where there is one), "cpu" or "cuda".

    Raises InputError where the folder is no checkpoint, or a file of it is missing, altered, of
    another format version, or does not fit the configuration.
    """
    path = Path(path)
    manifest = _verified_manifest(path)
    description = read_description(path / "dataset.toml")
    encoder = _read_encoder(path / "encoder.json", description)
    target = resolve_device(device)
    shapes = _shapes(path / WEIGHTS)
    try:
        model = build(manifest.config.model, encoder.schema, sum(map(math.prod, shapes.values())))
    except TooLarge:
        raise InputError(
            f"{path / WEIGHTS}: holds fewer weights than the configured model has"
        ) from None
    model.load_state_dict(_read_weights(path / WEIGHTS, shapes, model))
    return Checkpoint(
        path=path,
        name=manifest.name,
        hash=manifest.hash,
        config=manifest.config,
        encoder=encoder,
        model=model.to(target).eval(),
        device=target,
        steps=manifest.steps,
        evaluation=_read_frame(path / "evaluation.jsonl", EVALUATION),
        statistics=_read_statistics(path / "statistics.jsonl", encoder.schema),
    )


def load_evaluation(path: Path) -> pd.DataFrame:
    """Read what a checkpoint was measured with, verified, without opening its model."""
    _verified_manifest(path)
    return _read_frame(path / "evaluation.jsonl", EVALUATION)


def save(
    path: Path,
    name: str,
    config: Config,
    model: Model,
    encoder: Encoder,
    steps: int,
    files: Mapping[str, bytes],
) -> None:
    """Write a checkpoint folder, whole or not at all; an older one at `path` is replaced.

    files: content of the files besides manifest, weights and encoder, by name.
    """
    with replaced(path) as part:
        weights = {key: value.cpu().contiguous() for key, value in model.state_dict().items()}
        (part / WEIGHTS).write_bytes(safetensors.torch.save(weights))  # save_file makes it mode 600
        (part / "encoder.json").write_text(json.dumps(encoder.to_json()), encoding="utf-8")
        for file, content in files.items():
            (part / file).write_bytes(content)
        manifest = {
            "format": FORMAT,
            "name": name,
            "steps": steps,
            "config": config.model_dump(mode="json"),
            "versions": {"aesm2": version("aesm2"), "torch": torch.__version__},
            "files": {f.name: sha256(f) for f in sorted(part.iterdir()) if f.name != CARD},
        }
        manifest["hash"] = _manifest_hash(manifest)
        write_atomically(part / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def frame_to_json(frame: pd.DataFrame) -> bytes:
    """Return a frame as JSON records, one a line, that `load` reads back."""
    text: str = frame.to_json(orient="records", lines=True, double_precision=12)
    return text.encode()


def _verified_manifest(path: Path) -> Manifest:
    file = path / MANIFEST
    if not file.exists():
        raise InputError(f"{path}: no checkpoint here: {MANIFEST} is missing")
    values = read_json(file)
    found = values.get("format") if isinstance(values, dict) else None
    if found != FORMAT:
        raise InputError(
            f"{file}: format is {found!r}, this version reads {FORMAT};"
            " train the checkpoint again or use the version that wrote it"
        )
    if values.get("hash") != _manifest_hash(values):
        raise InputError(f"{file}: altered since it was written: its hash does not match")
    manifest = parse(Manifest, values, str(file))
    for name in sorted({*REQUIRED, *manifest.files}):
        _require_plain(name, file)
        if not (path / name).is_file():
            raise InputError(f"{path / name}: missing from the checkpoint")
        if sha256(path / name) != manifest.files.get(name):
            raise InputError(
                f"{path / name}: truncated or altered: its content is not what {MANIFEST} records"
            )
    return manifest


def _require_plain(name: str, file: Path) -> None:
    """Refuse a manifest that would have files elsewhere opened and hashed."""
    if not PLAIN.fullmatch(name) or name in (MANIFEST, CARD):
        raise InputError(f"{file}: files: '{name}' is no name of a file of a checkpoint")


def _manifest_hash(manifest: dict[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "hash"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read_encoder(path: Path, description: Description) -> Encoder:
    try:
        return Encoder.from_json(description, read_json(path))
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(str(path)) else f"{path}: {text}") from None


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a safetensors file without reading its tensors; float32 ones only."""
    try:
        with safe_open(path, framework="pt") as opened:
            slices = {key: opened.get_slice(key) for key in opened.keys()}  # noqa: SIM118
            kinds = {key: (tuple(own.get_shape()), own.get_dtype()) for key, own in slices.items()}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a valid safetensors file: {error}") from None
    return {key: shape for key, (shape, _) in kinds.items()}


def _read_weights(
    path: Path, shapes: Mapping[str, tuple[int, ...]], model: Model
) -> dict[str, torch.Tensor]:
    expected = model.state_dict()
    for key in sorted(expected.keys() | shapes.keys()):
        if key not in shapes:
            raise InputError(f"{path}: '{key}' is missing")
        if key not in expected:
            raise InputError(f"{path}: '{key}' is not part of the configured model")
        if shapes[key] != tuple(expected[key].shape):
            raise InputError(
                f"{path}: '{key}' has shape {shapes[key]}, the configuration needs"
                f" {tuple(expected[key].shape)}"
            )
    weights: dict[str, torch.Tensor] = safetensors.torch.load_file(path)
    for key, value in weights.items():
        if value.dtype != expected[key].dtype:
            raise InputError(f"{path}: '{key}' is {value.dtype}, not {expected[key].dtype}")
        if not value.isfinite().all():
            raise InputError(f"{path}: '{key}' holds numbers that are not finite")
    return weights


def _read_statistics(path: Path, schema: Schema) -> pd.DataFrame:
    """Read `scenario_statistics`, whose columns are named after levels and tasks."""
    levels = dict(zip(schema.level_names, schema.levels, strict=True))
    kinds = {"split": TEXT, **dict.fromkeys(levels, TEXT), IMPRESSIONS: COUNT}
    found = _read_frame(path, {**kinds, **dict.fromkeys(schema.tasks, NUMBER)})
    for name, known in {"split": SPLITS, **levels}.items():
        odd = found.loc[~found[name].isin(known), name]
        if len(odd):
            raise InputError(f"{path}: {name} is '{odd.iloc[0]}', expected {', '.join(known)}")
    return found


def _read_frame(path: Path, kinds: Kinds) -> pd.DataFrame:
    """Read what `frame_to_json` wrote: every line has these columns, of these kinds."""
    values = read_lines(path)
    for number, value in enumerate(values, 1):
        for name, kind in kinds.items():
            own = value.get(name, ...)
            if not isinstance(own, kind) or isinstance(own, bool):
                told = "missing" if own is ... else f"{own!r}, which it cannot be"
                raise InputError(f"{path}: line {number}: {name} is {told}")
    frame = pd.DataFrame(values, columns=None if values else list(kinds))
    try:
        return frame.astype({n: int if k is COUNT else float for n, k in kinds.items()
                             if k is COUNT or (k is NUMBER and not _counts(frame[n]))})  # fmt: skip
    except (OverflowError, ValueError) as error:
        raise InputError(f"{path}: holds a number beyond all bounds: {error}") from None


def _counts(column: pd.Series) -> bool:
    """Whether a column holds whole numbers throughout, which stay such."""
    return pd.api.types.is_integer_dtype(column)
