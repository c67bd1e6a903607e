"""Descriptions, drafts of descriptions, and rows that somebody uploads."""

import json
import tomllib
from pathlib import Path

from aesm2.checkpoint import load
from aesm2.data.dataset import Dataset, rows_of
from aesm2.data.description import read_description
from aesm2.data.draft import draft, to_toml
from aesm2.data.encoder import Encoder
from aesm2.data.store import check
from aesm2.errors import InputError
from tests import small
from tests.fuzz import mutate, slow
from tests.fuzz.dice import Dice, Wrong
from tests.fuzz.guard import Case
from tests.fuzz.targets.tables import csv_content, parquet_content, prepare

FORGED = (
    "../../../../etc/passwd", "/etc/passwd", "/dev/zero", "/dev/zero.csv", "/proc/self/mem", ".",
    "..",
    "dataset.toml", "items.csv/", "log.parquet/x", "no.parquet", "\x00.csv", "x" * 300 + ".csv", "",
)  # fmt: skip


def descriptions() -> Case:
    """dataset.toml changed at any place, beside sound tables; its rows must encode as by hand."""
    base = tomllib.loads(small.DESCRIPTION)
    files = {name: (small.dataset() / name).read_bytes() for name in ("log.parquet", "items.csv")}

    def case(dice: Dice, place: Path) -> None:
        for name, content in files.items():
            (place / name).write_bytes(content)
        (place / "dataset.toml").write_bytes(_description(dice, base))
        dataset = Dataset.open(place)
        frame = dataset.frame()
        counts = check(dataset)
        if sum(counts.values()) > len(frame):
            raise Wrong(f"{counts} of {len(frame)} rows")
        encoder = Encoder.fit(dataset.description, rows_of(frame, "train"))
        test = rows_of(frame, "test").head(20)
        encoder.encode(test, labels=True)
        slow.require_same_fields(encoder, test)

    return case


def _description(dice: Dice, base: dict) -> bytes:
    kind = dice.random()
    if kind < 0.25:
        return mutate.mutated(dice, small.DESCRIPTION.encode(), "dataset.toml")
    values = json.loads(json.dumps(base))
    if kind < 0.4:
        table = dice.one(FORGED)
        where = dice.one((values["source"], values["source"]["join"][0]))
        where["table"] = table
        dice.note(f"table = {table!r:.40}")
    else:
        values = mutate.changed(dice, values, "dataset.toml")
    return mutate.to_toml(values if isinstance(values, dict) else {"x": values})


def drafts() -> Case:
    """Tables nobody described: a draft is refused, or its description can be read back."""
    prepare()

    def case(dice: Dice, place: Path) -> None:
        made = csv_content if dice.random() < 0.6 else parquet_content
        name, content = made(dice)
        (place / name).write_bytes(content)
        text = to_toml(draft(place / name))
        (place / "dataset.toml").write_text(text, encoding="utf-8")
        try:
            described = read_description(place / "dataset.toml")
        except InputError as error:
            raise Wrong(f"the draft is no description: {error}") from None
        if described.source.table != name:
            raise Wrong(f"the draft reads {described.source.table!r}, not {name!r}")

    return case


def uploads() -> Case:
    """Files that somebody drops on the app."""
    prepare()
    from app.rows import upload

    checkpoint = load(small.run() / "checkpoint", "cpu")

    def case(dice: Dice, place: Path) -> None:
        made = csv_content if dice.random() < 0.6 else parquet_content
        name, content = made(dice)
        title = dice.one((name, *mutate.TEXTS))
        frame = upload.read_rows(title, content)
        rows = upload.row_set(checkpoint, "upload:x", title, frame)
        predicted = checkpoint.predict(rows.frame)
        if len(predicted) != len(frame) or not ((predicted >= 0) & (predicted <= 1)).all().all():
            raise Wrong("a probability is none")
        slow.require_same_fields(checkpoint.encoder, frame.head(20))

    return case
