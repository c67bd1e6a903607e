"""The same row through another door: change its scenario or features, and compare."""

import functools
import math
from typing import Any

import pandas as pd
import streamlit as st

from aesm2.checkpoint import Checkpoint
from aesm2.errors import InputError
from aesm2.plots import strip
from aesm2.routing.counterfactual import (
    Changes,
    Counterfactual,
    Value,
    counterfactual,
    differences,
    doors,
    features_from_text,
    features_to_text,
    parse_value,
    predictions,
)
from app import cache, state, widgets
from app.lens import gates, ledger
from app.lens import page as lens
from app.lens import row as lens_row
from app.lens import rows as lens_rows
from app.recipes import Code

MOST_KNOWN = 200  # values offered of a categorical feature; any other can be typed
DOORS = widgets.Explanation(
    "The same features through every scenario: only the scenario changes.",
    "▶ marks the row's own scenario. The other levels stay as they are.",
)


def section(
    opened: cache.Opened, rows: cache.RowSet, position: int, stamp: str, code: Code,
    drawn: cache.Draw,
) -> None:  # fmt: skip
    """Draw the inputs, the comparison, and the predictions through every door for one row."""
    checkpoint, frame = opened.checkpoint, rows.frame.iloc[[position]]
    st.subheader("The same row through another door", anchor=False)
    st.caption(
        "Change where the row comes from, or any of its features; everything else stays as it is."
        " The changes are in the address and stay while you go from row to row."
    )
    changes = _changes(checkpoint, frame, rows.batch.scenarios[position].tolist())
    if changes:
        both = counterfactual(checkpoint, frame, changes)
        own = _changed(changes, code)
        compare(checkpoint, both, stamp, own, drawn=drawn)
        if gates.there(opened):
            before = checkpoint.encode(frame)
            gates.compare(opened, before, both.batch, frame.index[0], stamp, own, drawn)
    every = lens_rows.told(opened, rows, f"doors of {position}", lambda: _every_door(opened, frame))
    st.markdown("**Prediction through every door**", help=f"{DOORS.sentence} {DOORS.reading}")
    widgets.table(every, "lens-doors", stamp)


def _every_door(opened: cache.Opened, frame: pd.DataFrame) -> pd.DataFrame:
    return doors_table(opened.checkpoint, doors(opened.checkpoint, frame))


def doors_table(checkpoint: Checkpoint, every: pd.DataFrame) -> pd.DataFrame:
    """Write `doors` for reading: predictions in percent, differences to the own door in points."""
    described = checkpoint.description
    titles = {level.name: level.title or level.name for level in described.level}
    table = pd.DataFrame(
        {
            "level": every["level"].map(titles),
            "scenario": every["scenario"],
            "own": ["▶" if own else "" for own in every["own"]],
        }
    )
    for task in described.task:
        own = float(every.loc[every["own"], task.name].iloc[0])
        table[f"p{task.name.upper()}"] = [lens.percent(p) for p in every[task.name]]
        table[f"Δ p{task.name.upper()}"] = [lens.points(p - own) for p in every[task.name]]
    return table


def prediction_table(checkpoint: Checkpoint, both: Counterfactual) -> pd.DataFrame:
    """Return predictions before and after, one line a probability."""
    described = checkpoint.description
    before, after = predictions(both.before, checkpoint), predictions(both.after, checkpoint)
    lines = []
    for i, task in enumerate(described.task):
        names = [("probability", f"p{task.name.upper()}")]
        if task.follows:
            names.insert(0, ("conditional", f"p{lens_row.conditional_name(described, i)}"))
        for column, name in names:
            old, new = float(before[column].iloc[i]), float(after[column].iloc[i])
            lines.append(
                {
                    "prediction": name, "as it is": lens.percent(old),
                    "changed": lens.percent(new), "difference": lens.points(new - old),
                }
            )  # fmt: skip
    return pd.DataFrame(lines)


def difference_table(both: Counterfactual) -> pd.DataFrame:
    """Write which experts entered and left, one line a layer and task."""
    found = differences(both.before, both.after)
    if found.empty:
        return found

    def experts(column: str) -> list[str]:
        return [", ".join(map(str, members)) or "–" for members in found[column]]

    targets = zip(found["target_before"], found["target_after"], strict=True)
    return pd.DataFrame(
        {
            "layer": found["layer"],
            "gate": [a if a == b else f"{a} → {b}" for a, b in targets],
            "▲ entered": experts("entered_specific"),
            "▲ left": experts("left_specific"),
            "● entered": experts("entered_shared"),
            "● left": experts("left_shared"),
            "weight moved": [lens.percent(w) for w in found["moved_weight"]],
        }
    )


def _changed(changes: Changes, code: Code) -> Code:
    """Return what makes a script about the row as it is and changed: traces `before`, `after`."""
    made = f"Changes({dict(changes.scenarios)!r}, {dict(changes.features)!r})"
    opening = (
        "from aesm2.routing.counterfactual import Changes, counterfactual\n"
        f"both = counterfactual(checkpoint, row, {made})\n"
        "before, after = both.before, both.after\n"
    )
    return lambda lines: code(f"{opening}{lines}")


def compare(
    checkpoint: Checkpoint, both: Counterfactual, stamp: str, code: Code, page: str = "lens",
    drawn: cache.Draw = cache.anew,
) -> None:  # fmt: skip
    """Show a row's predictions and layers before and after.

    code: makes a script in which `before` and `after` are their traces. page: for charts' keys.
    drawn: draws a figure by its script.
    """
    st.dataframe(prediction_table(checkpoint, both), hide_index=True)
    if not both.before.layers:
        return
    titles = [task.title or task.name for task in checkpoint.description.task]
    old = strip.columns(both.before, 0, range(len(titles)), titles)
    new = strip.columns(both.after, 0, range(len(titles)), titles)
    marked = strip.changed_roles(old, new)
    layer, task = widgets.current_layer().name, widgets.current_task()
    sides = ((old, "As it is", "before"), (new, "Changed", "after"))
    for place, (shown, title, side) in zip(st.columns(2), sides, strict=True):
        script = code(f"{ledger.STRIP_CODE}\n{_strip_lines(side, layer, task, stamp)}")
        build = functools.partial(strip.strip, shown, layer, task, stamp, marked)
        with place:
            widgets.chart(
                drawn(script, build), f"{page}-{side}", title, ledger.STRIP,
                functools.partial(ledger.strip_frame, shown),
                f"{title}: role and weight of every expert in each layer", code=script,
            )  # fmt: skip
    total = sum(map(len, marked))
    st.caption(
        "Green squares ring the experts whose role is not the same on both sides."
        if total
        else "Every expert has the same role on both sides; only the weights may have moved."
    )
    st.dataframe(difference_table(both), hide_index=True)


def _strip_lines(side: str, layer: str, task: int, stamp: str) -> str:
    return (
        "old, new = (strip.columns(of, 0, range(len(titles)), titles) for of in (before, after))\n"
        "changed = strip.changed_roles(old, new)\n"
        f"figure = strip.strip({'old' if side == 'before' else 'new'}, {layer!r}, {task},"
        f" {stamp!r}, changed)"
    )


def _changes(checkpoint: Checkpoint, frame: pd.DataFrame, own: list[int]) -> Changes:
    """Draw the inputs and return the changes of the view. own: the row's scenario at each level."""
    scenarios = _scenario_inputs(checkpoint, own)
    features = _kept(checkpoint)
    _feature_input(checkpoint, frame, features)
    _list_changes(frame, checkpoint, features)
    if scenarios or features:
        names = [f"to-{level.name}" for level in checkpoint.description.level]
        st.button(
            "Undo all changes", icon=":material/restart_alt:", key="lens-reset",
            on_click=state.put, kwargs=dict.fromkeys([*names, "set"], ""),
        )  # fmt: skip
    return Changes(scenarios, features)


def _scenario_inputs(checkpoint: Checkpoint, own: list[int]) -> dict[str, str]:
    chosen = {}
    with st.container(horizontal=True):
        for level, index in zip(checkpoint.description.level, own, strict=True):
            current = level.scenarios[index]
            names = {scenario: scenario for scenario in level.scenarios}
            names |= {"": f"as it is ({current})", current: f"{current}, as it is"}
            now = widgets.pick(
                level.title or level.name, f"to-{level.name}", ["", *level.scenarios], "",
                format_func=names.__getitem__, width=260,
            )  # fmt: skip
            if now and now != current:
                chosen[level.name] = now
    return chosen


def _kept(checkpoint: Checkpoint) -> dict[str, Value]:
    """Read the changed features of the view; where they do not fit this model, say so."""
    try:
        return features_from_text(state.get("set"), checkpoint.encoder)
    except InputError as error:
        said = widgets.escaped(str(error))
        st.info(f"The changes in this address do not fit this model and were left out: {said}.")
        state.put(set="")
        return {}


def _feature_input(checkpoint: Checkpoint, frame: pd.DataFrame, kept: dict[str, Value]) -> None:
    """Draw the choice of a feature and of a value for it."""
    described = checkpoint.description.fields
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Feature", list(described), key="lens-feature", width=260,
            format_func=lambda name: described[name].title or name,
        )  # fmt: skip
        current = frame[described[name].column or name].iloc[0]
        value = _value_input(
            checkpoint, name, frame.index[0], None if pd.isna(current) else current
        )
        if st.button("Change it", icon=":material/edit:", key="lens-change"):
            numeric = described[name].kind == "numeric"
            parsed = None if value is None else parse_value(str(value), name, numeric)
            state.put(set=features_to_text({**kept, name: parsed}))
            st.rerun()


def _value_input(checkpoint: Checkpoint, name: str, row: Any, current: Any) -> str | float | None:
    key = f"lens-value-{name}-{row}-{current}"  # rows of two files may have one name
    if checkpoint.description.fields[name].kind == "numeric":
        now = math.nan if current is None else float(current)
        return st.number_input(
            "New value", value=now if math.isfinite(now) else None, key=key, width=260,
            format="%g", placeholder="missing", help="Leave it empty for a missing value.",
        )  # fmt: skip
    known = checkpoint.encoder.categories[name]
    more = (
        f" The first {MOST_KNOWN} of {len(known):,} are listed." if len(known) > MOST_KNOWN else ""
    )
    return st.selectbox(
        "New value", known[:MOST_KNOWN], index=None, key=key, width=260, accept_new_options=True,
        placeholder="missing", help="Type to search, or type any other value; empty is missing."
        f" A value that training never met is “unseen”.{more}",
    )  # fmt: skip


def _list_changes(frame: pd.DataFrame, checkpoint: Checkpoint, kept: dict[str, Value]) -> None:
    """Draw each changed feature as a button that takes it back."""
    with st.container(horizontal=True):
        for name, value in kept.items():
            feature = checkpoint.description.fields[name]
            old = lens.spell(frame[feature.column or name].iloc[0])
            new = "missing" if value is None else lens.spell(value)
            rest = {other: v for other, v in kept.items() if other != name}
            st.button(
                f"{feature.title or name}: {old} → {new}",
                icon=":material/close:", key=f"lens-undo-{name}", help="Take this change back",
                on_click=state.put, kwargs={"set": features_to_text(rest)},
            )  # fmt: skip
