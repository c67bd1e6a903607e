"""What the parts of the Instance Lens share."""

import math
from typing import Any

from app import state


def fresh(name: str, value: Any) -> bool:
    """Return whether a click is new: Streamlit reports the last one again on every run."""
    last = state.recall(f"click-{name}")
    state.remember(f"click-{name}", value)
    return bool(value) and value != last


def percent(value: float) -> str:
    """Write a probability; a dash where its task does not exist."""
    if math.isnan(value):
        return "–"
    return f"{100 * value:.2f} %" if value >= 5e-4 else f"{100 * value:.2g} %"


def points(difference: float) -> str:
    """Write a difference of probabilities in percentage points, with its sign; or a dash."""
    if math.isnan(difference):
        return "–"
    return f"{100 * difference:+.2f} points".replace("-", "−")


def spell(value: Any) -> str:
    """Write a raw value as it stands in the table; a dash where it is missing."""
    if value is None or value != value:  # NaN is not itself
        return "—"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
