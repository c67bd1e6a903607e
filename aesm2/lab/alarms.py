"""What goes wrong with the experts while a model learns, in words; and their roles over time."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from aesm2.routing.utilisation import Utilisation

OVERLOADED = 0.95  # of a layer's weight on one expert
STILL = 0.002  # largest change of a share between snapshots of a selection that does not move
FROZEN = 4  # snapshots that do not move

Snapshots = Sequence[tuple[int, Utilisation]]


def shares(used: Utilisation, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of choices that took each expert as specific, and as shared: two (n,)."""
    counts = used.layers[layer]
    choices = max(1, int(used.rows.sum()) * len(counts.specific))  # a row chooses for every target
    specific, shared = (part.sum((0, 1)) / choices for part in (counts.specific, counts.shared))
    return specific, shared


def alarms(snapshots: Snapshots) -> list[str]:
    """Say what the last snapshots show of dead, overloaded and frozen experts; empty if nothing."""
    if not snapshots:
        return []
    said = []
    _, last = snapshots[-1]
    for index, counts in enumerate(last.layers):
        name = counts.spec.name
        specific, shared = shares(last, index)
        dead = np.flatnonzero(specific + shared == 0)
        if len(dead):
            listed = ", ".join(map(str, dead))
            said.append(
                f"{name}: no row chooses expert {listed}. Fewer experts would do, or a weaker"
                " auxiliary loss may bring it back."
            )
        weight = counts.weight.sum((0, 1))
        if len(weight) > 1 and weight.sum() > 0 and weight.max() / weight.sum() > OVERLOADED:
            said.append(
                f"{name}: expert {int(weight.argmax())} carries {weight.max() / weight.sum():.0%}"
                " of the mixing weight: the layer is hardly more than that expert."
            )
        recent = [np.concatenate(shares(used, index)) for _, used in snapshots[-FROZEN:]]
        moved = max((np.abs(a - b).max() for a, b in itertools.pairwise(recent)),
                    default=1.0)  # fmt: skip
        if len(recent) == FROZEN and moved < STILL:
            said.append(
                f"{name}: the selection has not moved for {FROZEN} measurements. Only the experts"
                " and towers still learn; a large λ freezes it early."
            )
    return said


def roles_over_time(snapshots: Snapshots) -> pd.DataFrame:
    """Return the role of every expert at every snapshot.

    Columns: step, layer, expert, specific, shared (shares of rows), role: that of the larger share,
    "both" where they are within a tenth of each other, "unselected" where both are below 1 %.
    """
    lines = []
    for step, used in snapshots:
        for index, counts in enumerate(used.layers):
            pairs = zip(*shares(used, index), strict=True)
            for expert, (own, common) in enumerate(pairs):
                lines.append((step, counts.spec.name, expert, own, common, _role(own, common)))
    return pd.DataFrame(lines, columns=["step", "layer", "expert", "specific", "shared", "role"])


def _role(specific: float, shared: float) -> str:
    if max(specific, shared) < 0.01:
        return "unselected"
    if abs(specific - shared) <= 0.1 * max(specific, shared):
        return "both"
    return "specific" if specific > shared else "shared"
