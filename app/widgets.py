"""Inputs and frames that the pages share: the global bar, charts with their duties."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
import torch

from aesm2.device import device_label
from aesm2.errors import InputError
from aesm2.plots.style import provenance, stamp_of
from aesm2.report import Context
from aesm2.routing.gates import MixtureSpec, mixture_layers
from aesm2.routing.trace import LayerSpec
from app import cache, locations, pins, state
from app.explanation import Explanation as Explanation  # pages write widgets.Explanation
from app.markdown import escaped as escaped
from app.markdown import plain as plain
from app.people import login

ANY = ""  # every scenario of a level
LAYERLESS = ("", "data")  # pages whose charts are of no layer
CURRENT = "current"  # in the session: what `current` found in this run
DEFAULT = "kuairand"  # the checkpoint that the app opens on: the one of real data


def global_bar() -> None:
    """Draw the bar of every page: checkpoint, device, data, scenario path, task, layer."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="global-bar"):
        _checkpoint_input()
        _device_input()
        checkpoint = current().checkpoint
        for level in checkpoint.description.level:
            options = [ANY, *level.scenarios]
            pick(
                level.title or level.name, f"s-{level.name}", options, ANY,
                format_func=lambda name: name or "all",
            )  # fmt: skip
        described = checkpoint.description.task
        titles = {task.name: task.title or task.name for task in described}
        pick("Task", "task", list(titles), described[-1].name, format_func=titles.__getitem__)
        names = [layer.name for layer in mixture_layers(checkpoint.model)]
        if names:
            pick("Layer", "layer", names, names[0])
        st.badge(f"Data: {checkpoint.description.provenance}", help=escaped(stamp()), color="green")
        pins.badge()
        login.badge()


def settle() -> None:
    """Put checkpoint and device of the view right, where no bar is drawn that does."""
    state.choice("checkpoint", list(locations.catalogue()), _first_checkpoint())
    state.choice("device", _devices(), "auto")


def current() -> cache.Opened:
    """Return the checkpoint of the view, opened on the device of the view.

    It is looked up once a run: some thirty parts of a page ask, and each look reads the folders.
    """
    wanted = (state.get("checkpoint"), state.get("device", "auto"))
    kept = state.recall(CURRENT)
    if kept is None or kept[0] != wanted:
        folder = locations.catalogue()[wanted[0] or _first_checkpoint()]
        kept = (wanted, cache.opened(folder, wanted[1]))
        state.remember(CURRENT, kept)
    opened: cache.Opened = kept[1]
    return opened


def current_layer() -> LayerSpec:
    """Return the layer of the view; InputError for a model without expert selection."""
    layers = current().checkpoint.layers
    if not layers:
        raise InputError("this model has no expert selection to show; pick an AESM² checkpoint")
    wanted = state.get("layer")
    return next((layer for layer in layers if layer.name == wanted), layers[0])


def current_gates() -> MixtureSpec:
    """Return the gates of the layer of the view, of any model with gates; else InputError."""
    layers = mixture_layers(current().checkpoint.model)
    if not layers:
        raise InputError(
            "this model has no expert selection and no gates to show; pick an AESM² checkpoint, or"
            " one of MMoE, PLE, HMoE or DSelect-k"
        )
    wanted = state.get("layer")
    return next((layer for layer in layers if layer.name == wanted), layers[0])


def current_task() -> int:
    """Return the index of the view's task; by default the last of the chain."""
    names = [task.name for task in current().checkpoint.description.task]
    wanted = state.get("task")
    return names.index(wanted) if wanted in names else len(names) - 1


def current_scenarios() -> tuple[int | None, ...]:
    """Return, for each level, the index of the view's scenario, or None for all of them."""
    levels = current().checkpoint.description.level
    wanted = [state.get(f"s-{level.name}") for level in levels]
    pairs = zip(levels, wanted, strict=True)
    return tuple(lv.scenarios.index(w) if w in lv.scenarios else None for lv, w in pairs)


def stamp() -> str:
    """Return the provenance of the current checkpoint's data, for charts and exports."""
    return provenance(current().checkpoint.description)


def pick(
    label: str,
    name: str,
    options: Sequence[str],
    default: str,
    format_func: Callable[[str], str] = str,
    **more: Any,
) -> str:
    """Draw a select box for the view's `name` and return the choice; label: plain words."""
    now = state.choice(name, options, default)
    label = escaped(label)
    st.selectbox(label, options, format_func=format_func, **more, **state.bind(name, now))
    return now


def chart(
    figure: go.Figure,
    key: str,
    title: str,
    explanation: Explanation,
    data: pd.DataFrame | Callable[[], pd.DataFrame],
    alt: str,
    selectable: bool = False,
    code: str = "",
) -> list[Any]:
    """Draw a chart with its help, its pin, and the numbers behind it with a CSV download.

    figure: is left as it is, for it may be kept and shared. data: the numbers, or how they are
    made, for when they are asked for. code: the lines of Python that make it, see `recipes.script`.
    selectable: return what the user clicked, the point's `customdata` as a list; empty otherwise.
    """
    with st.container(key=f"chart-{key}"):
        own = pins.Chart(figure, data, key, plain(title), explanation.help, alt, code, context())
        titled(title, explanation, code, own)
        event = st.plotly_chart(
            figure,
            key=key,
            on_select="rerun" if selectable else "ignore",
            config={"displaylogo": False, "toImageButtonOptions": {"filename": key, "scale": 2}},
            alt=alt,
        )
        numbers = st.expander(
            "Numbers", icon=":material/table:", key=f"numbers-{key}", on_change="rerun"
        )
        if numbers.open:  # a table nobody looks at would slow every run
            with numbers:
                table(data() if callable(data) else data, key, stamp_of(figure))
    return _clicked(event) if selectable else []


def _clicked(event: Any) -> list[Any]:
    points = event["selection"]["points"]
    found = points[0].get("customdata") if points else None
    return [] if found is None else found if isinstance(found, list) else [found]


def titled(
    title: str, explanation: Explanation, code: str = "", own: pins.Chart | None = None
) -> None:
    """Draw the title of a chart or table with its help, the code that makes it, and its pin."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{escaped(title)}**", width="stretch")
        with st.container(horizontal=True, width="content", gap="xxsmall"):  # kept on one line
            with st.popover("", icon=":material/help:", type="tertiary"):
                explanation.draw()
            if code:
                with st.popover("", icon=":material/code:", type="tertiary", help="Copy as Python"):
                    st.code(code, language="python")
            if own is not None:
                pins.toggle(own)


def about(**facts: str) -> None:
    """Say what the charts drawn from here on are of, as fields of `Context`; for their exports."""
    state.remember("about", {**(state.recall("about") or {}), **facts})


def context() -> Context:
    """Return what a chart drawn now is of: the model and the view, or what `about` said."""
    page, said = str(state.recall("page") or ""), state.recall("about") or {}
    facts = {"page": page, **({} if said.get("study") else _of_model(page)), **said}
    facts.pop("study", None)
    return Context(**{name: value[:500] for name, value in facts.items()})


def _of_model(page: str) -> dict[str, str]:
    checkpoint = current().checkpoint
    described, chosen, folder = checkpoint.description, current_scenarios(), checkpoint.path
    path = [
        f"{level.name}-{level.scenarios[own]}"
        for level, own in zip(described.level, chosen, strict=True)
        if own is not None
    ]
    layers = [] if page in LAYERLESS else mixture_layers(checkpoint.model)
    wanted = state.get("layer")
    layer = next((own for own in layers if own.name == wanted), layers[0] if layers else None)
    return {
        "checkpoint": folder.parent.name if folder.name == "checkpoint" else folder.name,
        "hash": checkpoint.hash,
        "layer": layer.name if layer else "",
        "scenario": "_".join(path),
        "task": described.task[current_task()].name,
    }


def table(data: pd.DataFrame, key: str, source: str = "", **more: Any) -> None:
    """Show a table with a CSV download that carries its provenance in the first line."""
    st.dataframe(data, hide_index=True, **more)
    csv(data, key, source or stamp())


def csv(data: pd.DataFrame, key: str, source: str) -> None:
    """Offer a table as CSV; its provenance is in the first line."""
    download("CSV", f"{key}.csv", "text/csv", lambda: f"# {source}\n{data.to_csv(index=False)}")


def download(label: str, file: str, mime: str, content: Callable[[], str | bytes]) -> None:
    """Offer a file, written once it is asked for."""
    st.download_button(
        label, content, file_name=file, mime=mime, key=f"{label.lower()}-{Path(file).stem}",
        on_click="ignore", icon=":material/download:", type="tertiary",
    )  # fmt: skip


def _checkpoint_input() -> None:
    names = list(locations.catalogue())
    pick("Checkpoint", "checkpoint", names, _first_checkpoint(), width=220)


def _first_checkpoint() -> str:
    names = list(locations.catalogue())
    if not names:
        raise InputError(
            "no checkpoint found: train one with `aesm2 train data_samples/kuairand_pure --config"
            " configs/kuairand.toml --run runs/first`, then reload"
        )
    return DEFAULT if DEFAULT in names else names[0]


def _devices() -> list[str]:
    return ["auto", *(["cuda"] if torch.cuda.is_available() else []), "cpu"]


def _device_input() -> None:
    if torch.cuda.is_available():
        pick("Device", "device", _devices(), "auto", width=110)
    else:  # an address may come from a machine with another device
        state.choice("device", _devices(), "auto")
    st.badge(device_label(current().checkpoint.device), icon=":material/memory:", color="gray")
