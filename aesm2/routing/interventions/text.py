"""Interventions as text: compact for an address, and in words for people.

    out:tab.1.3                 knock expert 3 out of layer tab.1
    force:tab.1.2.specific      force expert 2 in as specific
    fix:tab.1=0,3|1,2           specific experts 0 and 3, shared 1 and 2, for every row
    k:task.1.2.1                K is 2 specific and 1 shared
    retarget:tab.1=4            j is gate 4
    noise:0.1.7                 noise of scale 0.1, seed 7
    swap:tab=4                  the row comes from scenario 4 of level tab

Several are joined by semicolons. Names are percent-encoded where they hold other signs.
"""

import re
from collections.abc import Callable
from urllib.parse import quote, unquote

from aesm2.data.words import listed
from aesm2.errors import InputError, nearest
from aesm2.routing.interventions.values import (
    Fix,
    Force,
    Intervention,
    Interventions,
    KnockOut,
    Noise,
    Retarget,
    SetK,
    Swap,
)
from aesm2.routing.shares import ROLES

_NUMBER = re.compile(r"[0-9]{1,18}")
FORMS = {
    "out": "out:LAYER.EXPERT", "force": "force:LAYER.EXPERT.specific or .shared",
    "fix": "fix:LAYER=SPECIFIC,…|SHARED,…", "k": "k:LAYER.SPECIFIC.SHARED",
    "retarget": "retarget:LAYER=GATE", "noise": "noise:SCALE.SEED", "swap": "swap:LEVEL=SCENARIO",
}  # fmt: skip


def to_text(interventions: Interventions) -> str:
    """Write interventions compactly; `parse` reads them back."""
    return ";".join(_written(own) for own in interventions)


def parse(text: str) -> Interventions:
    """Read what `to_text` wrote; InputError names the part that cannot be read, and its form.

    Whether a model has such layers and experts is for `validate` to say.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"interventions {text!r}: half a character, which is no text") from None
    return tuple(_read(part.strip()) for part in text.split(";") if part.strip())


def words(own: Intervention) -> str:
    """Say what an intervention does, as a sentence without its full stop."""
    match own:
        case KnockOut(layer, expert):
            return f"Expert {expert} of {layer} is knocked out"
        case Force(layer, expert, role):
            return f"Expert {expert} of {layer} is forced in as {role}"
        case Fix(layer, specific, shared):
            sets = f"specific {_set(specific)}, shared {_set(shared)}"
            return f"The roles of {layer} are fixed for every row: {sets}"
        case SetK(layer, specific, shared):
            return f"In {layer} a row takes {specific} specific and {shared} shared"
        case Retarget(layer, gate):
            return f"The gate of every row in {layer} is that of {gate}, and nothing else changes"
        case Noise(scale, seed):
            return f"Noise of scale {scale:g} is added to all gates, seed {seed}"
        case Swap(level, scenario):
            return f"Every row comes from {level} {scenario}"


def _written(own: Intervention) -> str:
    match own:
        case KnockOut(layer, expert):
            return f"out:{_quoted(layer)}.{expert}"
        case Force(layer, expert, role):
            return f"force:{_quoted(layer)}.{expert}.{role}"
        case Fix(layer, specific, shared):
            sets = "|".join(",".join(map(str, experts)) for experts in (specific, shared))
            return f"fix:{_quoted(layer)}={sets}"
        case SetK(layer, specific, shared):
            return f"k:{_quoted(layer)}.{specific}.{shared}"
        case Retarget(layer, gate):
            return f"retarget:{_quoted(layer)}={_quoted(gate)}"
        case Noise(scale, seed):
            return f"noise:{scale!r}.{seed}"
        case Swap(level, scenario):
            return f"swap:{_quoted(level)}={_quoted(scenario)}"


def _read(part: str) -> Intervention:
    kind, _, rest = part.partition(":")
    if kind not in _READERS:
        known = ", ".join(_READERS)
        raise InputError(
            f"'{kind}' in '{part}' is no intervention{nearest(kind, _READERS)} (known: {known})"
        )
    try:
        return _READERS[kind](rest)
    except ValueError:
        raise InputError(f"'{part}' cannot be read: write {FORMS[kind]}") from None


def _out(rest: str) -> KnockOut:
    layer, expert = rest.rsplit(".", 1)
    return KnockOut(unquote(layer), _number(expert))


def _force(rest: str) -> Force:
    layer, expert, wanted = rest.rsplit(".", 2)
    (role,) = (role for role in ROLES if role == wanted)
    return Force(unquote(layer), _number(expert), role)


def _fix(rest: str) -> Fix:
    layer, sets = rest.split("=")
    specific, shared = sets.split("|")
    return Fix(unquote(layer), _numbers(specific), _numbers(shared))


def _k(rest: str) -> SetK:
    layer, specific, shared = rest.rsplit(".", 2)
    return SetK(unquote(layer), _number(specific), _number(shared))


def _retarget(rest: str) -> Retarget:
    layer, gate = rest.split("=")
    return Retarget(unquote(layer), unquote(gate))


def _noise(rest: str) -> Noise:
    scale, seed = rest.rsplit(".", 1)
    return Noise(float(scale), _number(seed))


def _swap(rest: str) -> Swap:
    level, scenario = rest.split("=")
    return Swap(unquote(level), unquote(scenario))


_READERS: dict[str, Callable[[str], Intervention]] = {
    "out": _out, "force": _force, "fix": _fix, "k": _k, "retarget": _retarget, "noise": _noise,
    "swap": _swap,
}  # fmt: skip


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(_number, text.split(","))) if text else ()


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _set(experts: tuple[int, ...]) -> str:
    return listed([str(k) for k in experts]) if experts else "none"
