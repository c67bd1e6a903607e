"""The Training Lab: setting runs up."""

import contextlib
import shlex
from typing import Any

import streamlit as st
import torch

from aesm2.config import Config, read_config
from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from app import cache, locations, state, widgets
from app.lab import actions, estimate, form, simulate, sweep
from app.lab import page as lab


def section() -> None:
    """Draw the form, what it amounts to, and the button that queues the runs."""
    datasets = {own.folder.name: own for own in cache.datasets()}
    with st.container(horizontal=True, vertical_alignment="bottom", key="lab-begin"):
        if datasets:
            name = widgets.pick(
                "Dataset",
                "lab-data",
                list(datasets),
                _own(datasets),
                lambda key: f"{datasets[key].description.title} ({key})",
                width=400,
            )
            base, values = _begun(datasets[name])
            device = _device()
        simulate.popover()
        st.page_link("views/own.py", label="Bring your own", icon=":material/upload_file:")
    if not datasets:
        st.info("There is no dataset here yet: simulate one, or bring your own.",
                icon=":material/info:")  # fmt: skip
        return
    config = form.form(base, values)
    planned = None if config is None else sweep.planned(name, config)
    if config is None or planned is None:
        return
    first = next(iter(planned.values()))
    estimate.section(datasets[name], first, device, len(planned))
    st.button(
        "Start" if len(planned) == 1 else f"Start {len(planned)} runs",
        icon=":material/play_arrow:", type="primary", key="lab-start",
        on_click=lab.attempt, args=(lambda: _submit(datasets[name], planned, device),),
    )  # fmt: skip
    with st.expander("The same in a terminal", icon=":material/terminal:"):
        called = next(iter(planned))
        data, run = shlex.quote(str(datasets[name].folder)), shlex.quote(called)
        st.code(
            f"aesm2 train {data} --config {run}.json --run runs/{run} --device {device}",
            language="bash",
        )
        st.caption(f"with this as {widgets.escaped(called)}.json:")
        st.code(first.model_dump_json(indent=2), language="json")


def _own(datasets: dict[str, Dataset]) -> str:
    """Return the dataset of the checkpoint in the bar, or the first."""
    with contextlib.suppress(InputError):
        name = widgets.current().checkpoint.description.name
        return next(key for key, own in datasets.items() if own.description.name == name)
    return next(iter(datasets))


def _begun(dataset: Dataset) -> tuple[str, dict[str, Any]]:
    """Draw the choice of what to begin with; return its name and values."""
    places = {file.stem: file for file in sorted((locations.ROOT / "configs").glob("*.toml"))}
    fitting = dataset.folder.name.replace("-", "_").split("_")[0]
    default = min((key for key in places if key.startswith(fitting)), key=len, default="default")
    base = widgets.pick("Begin with", "lab-base", ["default", *places], default, str, width=190)
    config = read_config(places[base]) if base in places else Config()
    return base, config.model_dump(mode="json")


def _device() -> str:
    """Draw the choice of the device where there is one."""
    if not torch.cuda.is_available():
        return "cpu"
    return widgets.pick("Device", "lab-device", ["auto", "cpu", "cuda"], "auto", width=100)


def _submit(dataset: Dataset, planned: dict[str, Config], device: str) -> None:
    actions.submit(dataset, planned, device)
    state.put(run=next(iter(planned)))
