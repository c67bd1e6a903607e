"""What utilisation says, in sentences a presenter can read out; every number is computed."""

from collections.abc import Sequence

import numpy as np

from aesm2.data.scenarios import OVERALL, PATH
from aesm2.data.words import listed
from aesm2.routing.distance import FEW, Distances
from aesm2.routing.gates import GateMeans
from aesm2.routing.shares import (
    DEAD,
    OVERLOAD,
    ROLES,
    LayerShares,
    RoleName,
    dead_experts,
    effective_number,
    overload_limit,
    overloaded_experts,
)


def scenario_label(by: str, name: str) -> str:
    """Name a scenario in a sentence: "tab 1"; a word such as "full_active" stands for itself."""
    if by == OVERALL:
        return "all rows"
    words = by == PATH or any(sign.isalpha() for sign in name)
    return name if words else f"{by} {name}"


def distance_findings(found: Distances, what: str) -> list[str]:
    """Say which scenarios use the experts alike and which stands apart.

    what: whose experts, e.g. "the specific experts of tab.1".
    """
    if len(found.scenarios) < 2:
        return [f"Only {len(found.scenarios)} scenario has rows here: there is nothing to compare."]
    sentences = [_closest(found, what)]
    if len(found.scenarios) > 2:
        sentences.append(_furthest(found))
    sentences += _caution(found)
    return sentences


def layer_findings(shares: LayerShares) -> list[str]:
    """Say which experts the rows of a layer take most, and over how many experts they spread."""
    if not shares.rows.sum():
        return [f"No rows reach {shares.spec.name} here."]
    if len(shares.spec.gates) == 1:
        taken = listed([str(k) for k in range(max(shares.spec.specific, shares.spec.shared))])
        return [
            f"{shares.spec.name} has a single gate, so no expert is more specific or more shared"
            f" than another: it always takes the first, {taken}."
        ]
    parts = [_most_used(shares, role) for role in ROLES if shares.chosen(role)]
    return [f"In {shares.spec.name}, {'; '.join(parts)}."]


def gate_findings(means: GateMeans) -> list[str]:
    """Say how many experts a row's weights amount to, and which expert gets most from whom."""
    rows, spec = means.rows, means.spec
    if not rows.sum():
        return [f"No rows reach {spec.name} here."]
    effective = np.nansum(means.effective * rows) / rows.sum()
    target, scenario, expert = np.unravel_index(np.nanargmax(means.weight), means.weight.shape)
    label = scenario_label(means.by, means.scenarios[scenario])
    task = spec.targets[target]
    whose = f"{label}, {task}" if task else label
    most = means.weight[target, scenario, expert]
    return [
        f"In {spec.name} a row's weights amount to {effective:.1f} of {spec.experts} experts on"
        f" average; the most goes to expert {expert} for {whose}: {most:.2f}."
    ]


def health_findings(layers: Sequence[LayerShares]) -> list[str]:
    """Name dead and overloaded experts, with counts and the thresholds they were held against."""
    sentences = []
    for shares in layers:
        if not shares.rows.sum():
            continue
        dead = dead_experts(shares)
        if dead:
            sentences.append(
                f"{shares.spec.name}: {_experts(dead)} {'is' if len(dead) == 1 else 'are'} dead:"
                f" chosen by fewer than {DEAD:.1%} of {int(shares.rows.sum()):,} rows in either"
                " role."
            )
        sentences += [s for role in ROLES for s in _overloaded(shares, role)]
    if not sentences:
        sentences.append(
            f"No expert is dead (chosen by fewer than {DEAD:.1%} of rows in either role) or"
            f" overloaded (by more than {OVERLOAD:g} times the even share K/n)."
        )
    return sentences


def _closest(found: Distances, what: str) -> str:
    pairs = np.triu_indices(len(found.scenarios), 1)
    best = int(np.argmin(found.distance[pairs]))
    a, b = int(pairs[0][best]), int(pairs[1][best])
    distance, noise = found.distance[a, b], found.noise[a, b]
    if distance <= noise:
        verdict = f"no more than chance explains (up to {noise:.2f})"
    else:
        verdict = f"more than chance explains (up to {noise:.2f})"
    names = f"{_name(found, a)} and {_name(found, b)}"
    if len(found.scenarios) == 2:
        return f"{names} are {distance:.2f} apart in their use of {what}: {verdict}."
    return f"{names} use {what} most alike: distance {distance:.2f}, {verdict}."


def _furthest(found: Distances) -> str:
    others = len(found.scenarios) - 1
    mean = found.distance.sum(1) / others
    lone = int(np.argmax(mean))
    beyond = int((found.distance[lone] > found.noise[lone]).sum())
    told = f"all {others}" if beyond == others else f"{beyond} of the {others}"
    return (
        f"{_name(found, lone)} stands furthest from the others: {mean[lone]:.2f} on average,"
        f" beyond chance for {told}."
    )


def _caution(found: Distances) -> list[str]:
    sentences = []
    if found.few:
        names = ", ".join(scenario_label(found.by, name) for name in found.few)
        sentences.append(f"Read with care, fewer than {FEW} rows: {names}.")
    if found.missing:
        names = ", ".join(scenario_label(found.by, name) for name in found.missing)
        sentences.append(f"Without rows, and so not compared: {names}.")
    return sentences


def _most_used(shares: LayerShares, role: RoleName) -> str:
    counts, rows = shares.values(role, "count").sum(1), shares.counted.sum(1)  # (T, n), (T,)
    # The shared choice is the same for every task: that of the one with most rows tells all.
    told = [int(rows.argmax())] if role == "shared" else np.flatnonzero(rows).tolist()
    taken = [
        f"{f'for {task} ' if (task := shares.targets[t]) and role == 'specific' else ''}"
        f"{_percent(counts[t].max(), rows[t])} of rows take expert {counts[t].argmax()}"
        for t in told
    ]
    spread = float(effective_number(counts[told].sum(0)))
    return (
        f"{' and '.join(taken)} as {role}, and {role} choices spread as if evenly over"
        f" {spread:.1f} of {shares.spec.experts} experts"
    )


def _overloaded(shares: LayerShares, role: RoleName) -> list[str]:
    found = overloaded_experts(shares, role)
    if not found:
        return []
    limit, total = overload_limit(shares, role), int(shares.counted.sum())
    of = "rows" if len(shares.targets) == 1 else "rows × tasks"
    told = [
        f"{expert} ({count:,} of {total:,} {of}, {_percent(count, total)})"
        for expert, count in found
    ]
    return [
        f"{shares.spec.name}: overloaded as {role}, that is taken by more than {OVERLOAD:g} times"
        f" the even share ({limit:.0%}): expert{'s' if len(found) > 1 else ''} {listed(told)}."
    ]


def _percent(part: int, whole: int) -> str:
    """Write a share; 0% and 100% only where they are exact."""
    share = part / whole
    if 0 < share < 0.005:
        return "under 1%"
    return "over 99%" if 0.995 <= share < 1 else f"{share:.0%}"


def _experts(numbers: list[int]) -> str:
    return f"expert{'s' if len(numbers) > 1 else ''} {listed([str(k) for k in numbers])}"


def _name(found: Distances, index: int) -> str:
    return scenario_label(found.by, found.scenarios[index])
