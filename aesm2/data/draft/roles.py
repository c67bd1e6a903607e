"""From what columns look like to a role for each, with the reason."""

from collections.abc import Mapping
from dataclasses import dataclass

from aesm2.data.description import TRUTH
from aesm2.data.draft.labels import contains, duplicates
from aesm2.data.draft.leaks import leaks
from aesm2.data.draft.levels import could_be_level, suggested
from aesm2.data.draft.names import (
    CODE,
    FUNNEL,
    ID,
    ONE_VISIT,
    OUTCOME,
    PAST,
    SALE,
    SCENARIO,
    THING,
    VALUE,
    group_of,
    says,
    words,
)
from aesm2.data.draft.profile import Looked
from aesm2.data.draft.split import counts_time, time_column
from aesm2.data.draft.value import Column, Kind, Role

TASKS = 4  # labels of a draft
ENOUGH = 20  # positives below which a label is no task where others are
FEW = 20  # numbers of at most as many values are categories


@dataclass(frozen=True)
class _Findings:
    """What tells the roles: label, level, leak → why it is one, and the column that splits."""

    labels: Mapping[str, str]
    outcomes: Mapping[str, str]  # flags that could be labels and are not, with the reason
    leaks: Mapping[str, str]
    levels: Mapping[str, str]
    could_be: frozenset[str]
    time: str | None


def columns_of(looked: Looked) -> tuple[Column, ...]:
    """Give every column of a table a role."""
    labels, outcomes = _labels(looked)
    told = leaks(looked, {name: looked.flags[name] for name in labels})
    told = {name: why for name, why in told.items() if name not in outcomes}
    time = time_column(looked)
    free = [n for n in looked.profiles if n not in {*labels, *outcomes, *told, time, "split"}]
    able = [n for n in free if could_be_level(n, looked.profiles[n]) and not n.startswith(TRUTH)]
    levels = suggested(looked, able, [looked.flags[name] for name in labels])
    told_by_name = "its name tells of scenarios"
    why = {n: told_by_name if says(SCENARIO, n) else "its rates differ" for n in levels}
    findings = _Findings(labels, outcomes, told, why, frozenset(able), time)
    return tuple(_column(looked, name, findings) for name in looked.profiles)


def value_column(columns: tuple[Column, ...]) -> str | None:
    """The column with what a sale is worth: one that only sales fill first, else a price."""
    if not any(says(SALE, column.name) for column in columns if column.role == "label"):
        return None
    worth = [c for c in columns if c.profile.form == "numbers" and says(VALUE, c.name)]
    worth = [c for c in worth if not says(ID, c.name) and c.profile.distinct > 1]
    worth.sort(key=lambda column: not column.after)
    return worth[0].name if worth else None


def _labels(looked: Looked) -> tuple[dict[str, str], dict[str, str]]:
    """Choose the labels among the flags → why, and those left out → why."""
    flags = [n for n in looked.flags if n != "split" and not n.startswith(TRUTH)]
    named = [n for n in flags if says(OUTCOME, n) and not says(PAST, n)]
    if not named:
        return _nameless([n for n in flags if not says(SCENARIO, n)], looked), {}
    copies = duplicates({name: looked.flags[name] for name in named})
    outcomes = {name: f"1 in the same rows as {other}" for name, other in copies.items()}
    positives = {n: int((looked.flags[n] == 1).sum()) for n in named if n not in copies}
    enough = [n for n in positives if positives[n] >= ENOUGH] or list(positives)
    enough.sort(key=lambda name: (not says(FUNNEL, name), -positives[name]))
    chosen = enough[:TASKS]
    for name in positives.keys() - set(chosen):
        outcomes[name] = "an outcome too: as a label it would be a task of its own"
    return {n: "yes or no, and its name tells an outcome" for n in named if n in chosen}, outcomes


def _nameless(flags: list[str], looked: Looked) -> dict[str, str]:
    """Choose among flags whose names do not tell: the last one, and those that contain it."""
    last = flags[-1:]
    around = [n for n in flags[:-1] if contains(looked.flags[n], looked.flags[flags[-1]])]
    return dict.fromkeys(around, f"{''.join(last)} is 1 only where it is") | dict.fromkeys(
        last, "the last column of yes and no; its name does not tell"
    )


def _column(looked: Looked, name: str, found: _Findings) -> Column:
    role, reason = _role(looked, name, found)
    profile = looked.profiles[name]
    after = name in found.outcomes or name in found.leaks
    return Column(name, profile, role, kind_of(looked, name), group_of(name), reason, after)


def _role(looked: Looked, name: str, found: _Findings) -> tuple[Role, str]:
    """The role of a column and why; the first that holds."""
    if name == "split":
        return "ignored", "the name is taken: rename the column"
    if name.startswith(TRUTH):
        return "ignored", "the truth of a simulation, which no model may see"
    if name in found.labels:
        return "label", found.labels[name]
    why = found.outcomes.get(name) or found.leaks.get(name) or _says_nothing(looked, name)
    if why:
        return "ignored", why
    if name == found.time:
        return "split", "orders the rows in time"
    if name in found.levels:
        return "level", found.levels[name]
    why = _comes_once(looked, name)
    if why:
        return "ignored", why
    return "feature", _remark(looked, name, name in found.could_be)


def _says_nothing(looked: Looked, name: str) -> str:
    profile = looked.profiles[name]
    if profile.form == "lists":
        return "holds lists or the like"
    if profile.distinct <= 1:
        return "constant" if profile.distinct else "empty"
    behaviour = says(OUTCOME, name) and not says(PAST, name) and not says(ID, name)
    if behaviour and profile.form != "text":
        return "its name speaks of behaviour after the impression"
    return ""


def _comes_once(looked: Looked, name: str) -> str:
    """Why the values of a column will not come again, "" where they will."""
    profile = looked.profiles[name]
    if profile.form == "date" or counts_time(looked.frame[name], name, profile):
        return "a date: its values do not come again; make it a number to use it"
    known = group_of(name) in ("user", "item", "query") and not looked.sample.whole
    if profile.unique and not known:
        return "nearly every row has its own value"
    if says(ONE_VISIT, name) and says(ID, name) and profile.distinct > FEW:
        return "names one visit: its values do not come again"
    return ""


def _remark(looked: Looked, name: str, could_be_level: bool) -> str:
    """What should be known about a feature."""
    if says(OUTCOME, name) and says(PAST, name):
        return "speaks of past behaviour: was it known before the impression?"
    if looked.profiles[name].unique:
        return "its values may come again in rows not looked at"
    return "could be a level" if could_be_level else ""


def kind_of(looked: Looked, name: str) -> Kind:
    """Whether a feature is read as numbers: not where they are ids, codes, or few."""
    profile = looked.profiles[name]
    names = says(ID, name) or says(CODE, name) or THING.fullmatch(words(name)) is not None
    code = profile.whole and names
    numbers = profile.form == "numbers" and profile.distinct > FEW and not code
    return "numeric" if numbers else "categorical"
