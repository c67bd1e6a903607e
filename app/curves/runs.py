"""Which runs to compare, and what each one's files hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from aesm2.checkpoint import MANIFEST, Checkpoint
from aesm2.config import AESM2Config, Config, parse
from aesm2.data.description import read_description
from aesm2.errors import InputError
from aesm2.files import read_json
from app import cache, locations, state, widgets

NONE = "none"
MOST = 4  # runs beside the current one; more dashes cannot be told apart


@dataclass(frozen=True)
class Run:
    """A checkpoint and its records."""

    name: str
    checkpoint: Checkpoint
    history: list[dict[str, Any]]


@dataclass(frozen=True)
class Entry:
    """What the choice of runs needs to know of a checkpoint: its dataset and configuration."""

    dataset: str
    config: Config


def chosen(opened: cache.Opened) -> list[Run]:
    """Draw the choice of runs to compare with; return the current run and the chosen ones."""
    catalogue = locations.catalogue()
    current = next(
        (name for name, folder in catalogue.items() if folder == opened.checkpoint.path), ""
    )
    others = [name for name in catalogue if name != current]
    default = default_comparison(entries(catalogue), current)
    wanted = _wanted(others, default)
    if others:
        st.multiselect(
            "Compare with", others, max_selections=MOST, width=360,
            placeholder="other checkpoints", **state.bind("compare", wanted),
        )  # fmt: skip
    runs = [Run(current or opened.checkpoint.name, opened.checkpoint, _history(opened.checkpoint))]
    for name in wanted:
        try:
            other = cache.opened(catalogue[name], state.get("device", "auto")).checkpoint
            runs.append(Run(name, other, _history(other)))
        except InputError as error:
            said = widgets.escaped(f"“{name}” is left out: {error}")
            st.warning(said, icon=":material/warning:")
    return runs


def default_comparison(entries: Mapping[str, Entry], current: str) -> str:
    """Name the run without auxiliary loss on the same data; "" where there is none.

    One that is called after the current run comes first, then one of the same model. A run
    that has no auxiliary loss itself, or no expert selection, has no such comparison.
    """
    own = entries.get(current)
    if own is None or not _auxiliary(own.config):
        return ""
    fitting = [
        name
        for name, entry in entries.items()
        if entry.dataset == own.dataset
        and isinstance(entry.config.model, AESM2Config)
        and not _auxiliary(entry.config)
    ]

    def order(name: str) -> tuple[bool, bool, str]:
        called = name.startswith(f"{current}-")
        return not called, entries[name].config.model != own.config.model, name

    return min(fitting, key=order, default="")


def note(runs: list[Run]) -> None:
    """Say what is compared where nobody chose it, and that nothing is where nothing can be."""
    if not state.get("compare") and len(runs) > 1:
        st.caption(
            f"Compared by default with {widgets.escaped(runs[1].name)}, trained on the same data"
            " without auxiliary loss (λ_sp = λ_sh = 0)."
        )
    elif len(runs) == 1 and runs[0].checkpoint.layers:
        st.caption(
            "Not compared. To see what the auxiliary loss does (Fig. 6), train once more with"
            " lambda_specific = 0 and lambda_shared = 0 and choose that run above."
        )


def _history(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    return cache.told("history", [checkpoint], checkpoint.history)


def _auxiliary(config: Config) -> bool:
    training = config.training
    used = training.lambda_specific or training.lambda_shared
    return isinstance(config.model, AESM2Config) and bool(used)


def _wanted(others: list[str], default: str) -> list[str]:
    """Return the chosen runs; the view holds NONE or names with commas between them."""
    text = state.get("compare")
    if not text:
        return [default] if default in others else []
    names = [] if text == NONE else text.split(",")
    lost = [name for name in names if name not in others]
    if lost:
        said = widgets.escaped(lost[0])
        st.toast(f"“{said}” is not among the other checkpoints.", icon=":material/info:")
        state.put(compare=",".join(name for name in names if name in others) or NONE)
    return [name for name in dict.fromkeys(names) if name in others][:MOST]


def entries(catalogue: Mapping[str, Path]) -> dict[str, Entry]:
    """Read dataset and configuration of each checkpoint, again only after it changed."""
    kept: dict[tuple[str, int], Entry | None] = state.recall("curves-entries") or {}
    found, now = {}, {}
    for name, folder in catalogue.items():
        key = (str(folder), (folder / MANIFEST).stat().st_mtime_ns)
        now[key] = kept[key] if key in kept else _entry(folder)
        if now[key] is not None:
            found[name] = now[key]
    state.remember("curves-entries", now)
    return {name: entry for name, entry in found.items() if entry is not None}


def _entry(folder: Path) -> Entry | None:
    """Return None for a folder that cannot be read: choosing it says why."""
    try:
        values = read_json(folder / MANIFEST)
        config = parse(Config, values["config"], str(folder / MANIFEST))
        return Entry(read_description(folder / "dataset.toml").name, config)
    except (InputError, KeyError, TypeError):
        return None


def stamp(runs: list[Run]) -> str:
    """Return where the data of the runs come from, for charts."""
    titles = {run.checkpoint.description.title for run in runs}
    return widgets.stamp() if len(titles) == 1 else f"{widgets.stamp()}; and other data"
