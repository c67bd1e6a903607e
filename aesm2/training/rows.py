"""The rows of a training run, of which every process holds a share.

A row of the training split has a number, its place among them in the log. The order of an epoch is
a permutation of these numbers, whoever holds the rows: a step takes the same rows as in one
process, each process those of them that it holds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from aesm2.data.batch import Batch, mapped
from aesm2.data.counts import Counts, count
from aesm2.data.dataset import SPLITS, Dataset, SplitName, no_rows, rows_of
from aesm2.data.encoder import Encoder, Seen
from aesm2.data.pieces import Pieces, in_pieces
from aesm2.data.schema import Schema
from aesm2.training.group import Group


@dataclass(frozen=True)
class Share:
    """The training rows that this process holds, of `total`.

    numbers: which of them, (held,) int64, rising; None where it holds all.
    """

    rows: Batch
    total: int
    numbers: Tensor | None = None

    @staticmethod
    def whole(rows: Batch) -> "Share":
        """All rows."""
        return Share(rows, len(rows))

    def of(self, wanted: Tensor) -> tuple[Batch, Tensor | None]:
        """Return those rows that are wanted and held, and their places in `wanted`; None if all.

        wanted: numbers of training rows, (batch,) int64.
        """
        if self.numbers is None:
            return self.rows[wanted], None
        if not len(self.numbers):
            return self.rows, wanted[:0]
        at = torch.searchsorted(self.numbers, wanted).clamp(max=len(self.numbers) - 1)
        held = self.numbers[at] == wanted
        return self.rows[at[held]], held.nonzero().squeeze(1)

    def to(self, device: torch.device) -> "Share":
        """Return the share on a device."""
        numbers = None if self.numbers is None else self.numbers.to(device)
        return Share(self.rows.to(device), self.total, numbers)


@dataclass(frozen=True)
class Rows:
    """Everything encoded. batches: validation and test rows, which the leader alone holds."""

    encoder: Encoder
    share: Share
    batches: Mapping[SplitName, Batch]
    counts: Mapping[SplitName, Counts]


def read_rows(dataset: Dataset, group: Group) -> Rows:
    """Read and encode a dataset; vocabularies and edges come from the whole training split.

    Several processes read a part of the log each where that is possible (see `in_pieces`); else the
    leader reads it and deals out the training rows. Both give the same batches as one process.
    """
    if group.size > 1 and in_pieces(dataset):
        encoder, share, batches = _read_parts(dataset, group)
    else:
        encoder, share, batches = _read_whole(dataset, group)
    schema = encoder.schema
    counts: dict[SplitName, Counts] = {"train": _sum(share.rows, schema, group)}
    counts |= {split: count(batch, schema) for split, batch in batches.items()}
    return Rows(encoder, share, batches, counts)


def _read_whole(dataset: Dataset, group: Group) -> tuple[Encoder, Share, dict[SplitName, Batch]]:
    """Let the leader read everything, and row i of the training split go to process i mod size."""
    read: dict[SplitName, Batch] = {}
    encoders: list[Encoder] = []

    def work() -> None:
        frame = dataset.frame()
        encoders.append(Encoder.fit(dataset.description, rows_of(frame, "train")))
        for split in SPLITS:
            read[split] = encoders[0].encode(rows_of(frame, split), labels=True)

    group.lead(work)
    encoder = encoders[0] if group.leader else None
    if group.size == 1 and encoder is not None:
        return encoder, Share.whole(read["train"]), {s: read[s] for s in SPLITS if s != "train"}
    encoder = _told(encoder, dataset, group)
    total = group.told(len(read.get("train", ())))[0]
    held = read.pop("train") if group.leader else _empty(encoder)
    rows = mapped(group.deal, held)
    return encoder, Share(rows, total, torch.arange(group.rank, total, group.size)), read


def _read_parts(dataset: Dataset, group: Group) -> tuple[Encoder, Share, dict[SplitName, Batch]]:
    """Read and encode the pieces of this process; the rows to measure on go to the leader."""
    pieces = group.each(lambda: Pieces.of(dataset, group.size))
    mine = pieces.of_reader(group.rank, group.size)
    seen, sizes = group.each(lambda: _look(pieces, mine))
    firsts = _firsts(sizes, len(pieces.all), group)
    encoder = _told(_learnt(seen, sizes, firsts, dataset, group), dataset, group)
    del seen
    encoded = group.each(lambda: _encode(pieces, mine, encoder, sizes))
    numbers = {split: _numbers(sizes[split], firsts[split]) for split in SPLITS}
    total = {split: int(firsts[split][-1]) for split in SPLITS}
    batches: dict[SplitName, Batch] = {}
    for split in SPLITS:
        if split == "train":
            continue
        parts, order = _gathered(encoded.pop(split), group), group.gather(numbers[split])
        if group.leader:
            at = torch.cat(order).argsort()
            batches[split] = mapped(lambda *t, at=at: torch.cat(t)[at], *parts)
    return encoder, Share(encoded["train"], total["train"], numbers["train"]), batches


AT_ONCE = 16  # pieces whose counts are added up together
Sizes = Mapping[SplitName, Mapping[int, int]]  # split → number of a piece → its rows


def _look(pieces: Pieces, mine: Sequence[int]) -> tuple[Seen, Sizes]:
    """Return what an encoder learns from one's pieces, and how many rows each of them has."""
    sizes: dict[SplitName, dict[int, int]] = {split: {} for split in SPLITS}
    described = pieces.dataset.description
    counts: dict[str, list[pd.Series]] = {name: [] for name in described.fields}
    numbers: dict[str, list[np.ndarray]] = {name: [np.empty(0)] for name in described.fields}
    for number, frame in pieces.frames(mine):
        with pieces.about(number):
            seen = Seen.in_rows(described, frame[frame["split"] == "train"])
        for name, found in seen.counts.items():
            counts[name].append(found)
            if len(counts[name]) == AT_ONCE:
                counts[name] = [_added(counts[name])]
        for name, values in seen.numbers.items():
            numbers[name].append(values)
        for split in SPLITS:
            sizes[split][number] = int((frame["split"] == split).sum())
    together = {name: np.concatenate(numbers.pop(name)) for name in described.fields}
    return Seen({name: _added(parts) for name, parts in counts.items()}, together), sizes


def _firsts(sizes: Sizes, pieces: int, group: Group) -> dict[SplitName, np.ndarray]:
    """Return the number of the first row of each piece in each split, and last the total."""
    firsts: dict[SplitName, np.ndarray] = {}
    for split in SPLITS:
        rows = np.zeros(pieces, np.int64)
        rows[list(sizes[split])] = list(sizes[split].values())
        rows = group.sum(torch.from_numpy(rows)).numpy()
        firsts[split] = np.concatenate([[0], rows.cumsum()])
        if not firsts[split][-1]:
            raise no_rows(split)
    return firsts


def _learnt(
    seen: Seen, sizes: Sizes, firsts: Mapping[SplitName, np.ndarray],
    dataset: Dataset, group: Group,
) -> Encoder | None:  # fmt: skip
    """Put together what all processes saw, a feature at a time; None but for the leader."""
    order = group.gather(_numbers(sizes["train"], firsts["train"]))
    at = torch.cat(order).argsort() if group.leader else None
    counts: dict[str, pd.Series] = {}
    numbers: dict[str, np.ndarray] = {}
    for name, feature in dataset.description.fields.items():
        if feature.kind == "categorical":
            told = group.told({str(value): int(n) for value, n in seen.counts[name].items()})
            if group.leader:
                counts[name] = _added([pd.Series(part, dtype=np.int64) for part in told])
        else:
            parts = group.gather(torch.from_numpy(seen.numbers[name]))
            if at is not None:
                numbers[name] = torch.cat(parts)[at].numpy()
    return Encoder.learnt(dataset.description, Seen(counts, numbers)) if group.leader else None


def _added(counts: Sequence[pd.Series]) -> pd.Series:
    together = pd.concat([pd.Series(dtype=np.int64), *counts])
    added: pd.Series = together.groupby(level=0).sum()
    return added


def _encode(
    pieces: Pieces, mine: Sequence[int], encoder: Encoder, sizes: Sizes
) -> dict[SplitName, Batch]:
    """Encode one's pieces into batches of the right size, without ever holding a row twice."""
    batches: dict[SplitName, Batch] = {}
    filled = dict.fromkeys(SPLITS, 0)
    for number, frame in pieces.frames(mine):
        for split in SPLITS:
            with pieces.about(number):
                part = encoder.encode(frame[frame["split"] == split], labels=True)
            if split not in batches:
                held = sum(sizes[split].values())
                batches[split] = mapped(lambda t, n=held: t.new_empty(n, *t.shape[1:]), part)
            start, filled[split] = filled[split], filled[split] + len(part)
            place = batches[split][start : filled[split]]
            mapped(lambda to, values: to.copy_(values), place, part)
    return batches or {split: _empty(encoder) for split in SPLITS}


def _numbers(sizes: Mapping[int, int], firsts: np.ndarray) -> Tensor:
    """Return the numbers of the rows of one's pieces, (held,) int64."""
    ranges = [np.arange(firsts[piece], firsts[piece] + rows) for piece, rows in sizes.items()]
    return torch.from_numpy(np.concatenate([np.empty(0, np.int64), *ranges]))


def _told(encoder: Encoder | None, dataset: Dataset, group: Group) -> Encoder:
    """Return the leader's encoder."""
    values = group.lead(lambda: encoder.to_json() if encoder is not None else {})
    return encoder or Encoder.from_json(dataset.description, values)


def _sum(rows: Batch, schema: Schema, group: Group) -> Counts:
    """Count the training rows of all processes."""
    own = count(rows, schema)
    parts = (own.impressions, own.labelled, own.given, own.positives)
    return Counts(schema, *(group.sum(torch.from_numpy(part)).numpy() for part in parts))


def _gathered(batch: Batch, group: Group) -> list[Batch]:
    """Return every process's rows to the leader."""
    columns = {name: group.gather(tensor) for name, tensor in batch.tensors().items()}
    return [
        Batch(**dict(zip(columns, parts, strict=True)))
        for parts in zip(*columns.values(), strict=True)
    ]


def _empty(encoder: Encoder) -> Batch:
    """No rows, in the shape of encoded ones."""
    description = encoder.description
    columns = [*description.input_columns, *(task.label for task in description.task)]
    return encoder.encode(pd.DataFrame({name: [] for name in columns}), labels=True)
