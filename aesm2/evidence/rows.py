"""The rows of a study: encoded once, read by every process that trains on them."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from aesm2.data.batch import Batch
from aesm2.data.dataset import SPLITS, Dataset, SplitName, rows_of
from aesm2.data.encoder import Encoder
from aesm2.data.scenarios import path_index
from aesm2.data.schema import Schema
from aesm2.files import read_json, write_atomically
from aesm2.simulation.planted import read_planted
from aesm2.simulation.write import TRUTH

PARTS = ("fields", "scenarios", "labels", "numbers")


@dataclass(frozen=True)
class Rows:
    """Encoded rows of every split.

    truth: the true probability of each task along its chain, for the test rows of a simulated
    dataset, (rows, tasks); None elsewhere. hash: identifies the content.
    """

    schema: Schema
    batches: dict[SplitName, Batch]
    truth: np.ndarray | None
    hash: str

    def of_path(self, path: int) -> "Rows":
        """Return the training and validation rows of one fine-grained scenario, all test rows."""
        batches = dict(self.batches)
        for split in ("train", "validation"):
            batch = self.batches[split]
            own = path_index(batch.scenarios.numpy(), self.schema) == path
            batches[split] = batch[torch.from_numpy(own)]
        return Rows(self.schema, batches, self.truth, self.hash)


def encode_rows(dataset: Dataset) -> Rows:
    """Read and encode a dataset; vocabularies come from its training split."""
    frame = dataset.frame()
    encoder = Encoder.fit(dataset.description, rows_of(frame, "train"))
    parts = {split: rows_of(frame, split) for split in SPLITS}
    batches = {split: encoder.encode(part, labels=True) for split, part in parts.items()}
    schema, truth = encoder.schema, None
    if (dataset.folder / TRUTH).exists():
        index = parts["test"].index
        planted = read_planted(dataset.folder, index, schema.tasks, schema.level_names)
        truth = np.ascontiguousarray(planted.probability, np.float32)
    return Rows(schema, batches, truth, _hash(schema, _tensors(batches, truth)))


def save_rows(rows: Rows, folder: Path) -> None:
    """Write rows into a folder, for `load_rows`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "schema.json", json.dumps(_as_json(rows.schema)))
    content = safetensors.torch.save(_tensors(rows.batches, rows.truth), {"hash": rows.hash})
    write_atomically(folder / "rows.safetensors", content)


def load_rows(folder: Path) -> Rows:
    """Read what `save_rows` wrote."""
    values = read_json(folder / "schema.json")
    schema = Schema(
        fields=tuple(values["fields"]),
        levels=tuple(tuple(level) for level in values["levels"]),
        level_names=tuple(values["level_names"]),
        tasks=tuple(values["tasks"]),
        parents=tuple(values["parents"]),
        numbers=tuple(values.get("numbers", ())),
    )
    with safetensors.safe_open(folder / "rows.safetensors", framework="pt") as opened:
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        found = str(opened.metadata()["hash"])
    batches = {
        split: Batch(*(tensors.get(f"{split}.{part}") for part in PARTS))  # type: ignore[arg-type]
        for split in SPLITS
    }
    truth = tensors["truth"].numpy() if "truth" in tensors else None
    return Rows(schema, batches, truth, found)


def _tensors(batches: dict[SplitName, Batch], truth: np.ndarray | None) -> dict[str, torch.Tensor]:
    tensors = {} if truth is None else {"truth": torch.from_numpy(truth)}
    for split, batch in batches.items():
        if batch.labels is None:
            raise ValueError("a study needs labels")
        tensors[f"{split}.fields"] = batch.fields.contiguous()
        tensors[f"{split}.scenarios"] = batch.scenarios.contiguous()
        tensors[f"{split}.labels"] = batch.labels.contiguous()
        if batch.numbers is not None:
            tensors[f"{split}.numbers"] = batch.numbers.contiguous()
    return tensors


def _hash(schema: Schema, tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(_as_json(schema)).encode())
    for key in sorted(tensors):
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(tensors[key].numpy()).tobytes())
    return digest.hexdigest()[:16]


def _as_json(schema: Schema) -> dict[str, Any]:
    """Without numbers as it was before there were any, so that earlier runs keep their hash."""
    values = asdict(schema)
    return values if values["numbers"] else {k: v for k, v in values.items() if k != "numbers"}
