"""Texts that people type or that stand in an address: slices and interventions."""

import math
import re
from pathlib import Path

import pandas as pd

from aesm2.checkpoint import load
from aesm2.errors import InputError
from aesm2.inference import probabilities
from aesm2.routing.effects import effect
from aesm2.routing.interventions import parse as parse_interventions
from aesm2.routing.interventions import to_text, validate
from aesm2.routing.interventions import words as in_words
from aesm2.slices import mask, parse
from aesm2.slices.conditions import Missing, OneOf, Range
from aesm2.slices.saved import delete, save, saved
from tests import small
from tests.fuzz import mutate, slow
from tests.fuzz.dice import Dice, Wrong
from tests.fuzz.guard import Case, unchanged
from tests.fuzz.targets.tables import rows

SLICES = (
    "country = fr", "age >= 30 & price < 4.5", "18 <= age < 30 or missing & brand in (1, 2)",
    'country != "it" and page = 0', "age missing", "age not missing & user not in (1, 2, 3)",
    "user_past_click > 0.1 or missing", "price = 1.5",
)  # fmt: skip
PIECES = (
    "country", "age", "price", "brand", "page", "user", "day", "truth_x", "=", "!=", "<", "<=",
    ">", ">=",
    "&", "and", "or", "in", "not", "missing", "(", ")", ",", '"', "\\", "1", "-1", "1e999",
    "nan", "inf",
    "1e-5", "0x1", "fr", "elsewhere", "*", "%", "é", "  ", "or missing", "1_0", "٣",
)  # fmt: skip
CHANGES = (
    "out:country.1.3", "force:country.1.2.specific", "fix:country.1=0,3|1,2", "k:task.1.2.1",
    "retarget:country.1=fr", "noise:0.1.7", "swap:country=it", "out:page.1.0;k:page.1.1.1",
    "fix:task.1=|0", "out:country.1.0;out:country.1.1;out:country.1.2;out:country.1.3",
)  # fmt: skip
PARTS = (
    "out", "force", "fix", "k", "retarget", "noise", "swap", ":", ".", "=", "|", ",", ";",
    "country.1",
    "page.1", "task.1", "0", "1", "4", "5", "-1", "1e300", "inf", "nan", "9" * 18, "9" * 40,
    "specific",
    "shared", "fr", "%20", "%", "%ff", "+", "٣", "1_0", "0.1", "1e-320",
)  # fmt: skip


def _text(dice: Dice, whole: tuple[str, ...], pieces: tuple[str, ...]) -> str:
    joint = ";" if whole is CHANGES else " & "
    text = joint.join(dice.one(whole) for _ in range(dice.one((1, 1, 2, 3))))
    if dice.random() < 0.4:  # only numbers and values change, so that most are understood
        text = re.sub(
            r"(?<![a-z][.])\d+",
            lambda _: dice.one(("0", "1", "2", "3", "4", "7", "1e2", "40")),
            text,
        )
        text = text.replace("fr", dice.one(("fr", "it", "elsewhere", "xx")))
        dice.note(f"{text!r:.120}")
        return text
    for _ in range(dice.some(6)):
        at = dice.randrange(len(text) + 1)
        end = min(len(text), at + dice.one((0, 0, 1, 3, 8)))
        piece = dice.one(mutate.TEXTS) if dice.random() < 0.15 else dice.one(pieces)
        text = text[:at] + piece + text[end:]
    dice.note(f"{text!r:.120}")
    return text


def slices() -> Case:
    """Slices: refused, or the rows are those that a loop finds, and the text reads back."""
    described = load(small.run() / "checkpoint", "cpu").description
    frame = rows()

    def case(dice: Dice, place: Path) -> None:
        text = _text(dice, SLICES, PIECES)
        if dice.random() < 0.1:
            _keep(dice, place, text)
        found = parse(text, described)
        if parse(str(found), described) != found:
            raise Wrong(f"reads back as another: {found}")
        try:
            kept = mask(found, frame, described).tolist()
        except InputError:
            raise
        expected = [
            all(_holds(own, frame.iloc[row], described) for own in found.conditions)
            for row in range(len(frame))
        ]
        if kept != expected:
            raise Wrong(f"{found}: rows {kept}, by hand {expected}")

    return case


def _holds(condition: OneOf | Range | Missing, row: pd.Series, described) -> bool:
    """Say whether a condition holds on a row, in the plainest way."""
    name = condition.column
    level = next((own for own in described.level if own.name == name), None)
    value = row[name]
    if level is not None:
        value = slow.text(value)
        value = value if value in map(str, level.values) else level.other
    gone = not isinstance(value, str) and pd.isna(value)
    if isinstance(condition, Missing):
        return gone != condition.negated
    if isinstance(condition, OneOf):
        spelt = {_spelt(member) for member in condition.members}
        return (not gone and _spelt(slow.text(value)) in spelt) != condition.negated
    if gone:
        return condition.or_missing
    number = float(value)
    low = -math.inf if condition.low is None else condition.low
    high = math.inf if condition.high is None else condition.high
    above = number >= low if condition.low_included or condition.low is None else number > low
    below = number <= high if condition.high_included or condition.high is None else number < high
    return above and below


def _spelt(text: str) -> str:
    try:
        return repr(float(text)) if re.fullmatch(r"-?[0-9.]+", text) else text
    except ValueError:
        return text


def _keep(dice: Dice, place: Path, text: str) -> None:
    """Save a slice under a name, beside files that hold anything."""
    name = dice.one((*mutate.TEXTS, "mine"))
    if dice.random() < 0.5:
        base = {"dataset": "shop", "slices": {"old": "age missing"}}
        content = mutate.to_json(dice, mutate.changed(dice, base, "shop.json"))
        (place / "shop.json").write_bytes(content)
        (place / "shop.lock").touch()
    try:
        with unchanged(place):
            save(place, "shop", name, text)
    except InputError as error:
        dice.note(f"not saved: {error}")
        return
    if saved(place, "shop")[name.strip()] != text:
        raise Wrong("a slice is saved as another")
    delete(place, "shop", name.strip())


def interventions() -> Case:
    """Interventions: refused, or the model takes them and its probabilities are some."""
    opened = load(small.run() / "checkpoint", "cpu")
    batch = opened.encode(rows(), labels=True)
    untouched = probabilities(opened.model, batch)

    def case(dice: Dice, place: Path) -> None:
        found = parse_interventions(_text(dice, CHANGES, PARTS))
        for own in found:
            in_words(own)
        if parse_interventions(to_text(found)) != found:
            raise Wrong(f"reads back as another: {to_text(found)}")
        validate(opened.layers, found)
        done = effect(opened.model, batch, found)
        if not ((done.after >= 0) & (done.after <= 1)).all():
            raise Wrong("a probability is none")
        if (done.before != untouched).any():
            raise Wrong("the model was changed")
        done.flips()
        done.measures()

    return case
