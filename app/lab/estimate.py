"""The Training Lab: how long a run takes and how much memory, measured in a process of its own."""

import json
import subprocess
import sys
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import streamlit as st

from aesm2.config import Config
from aesm2.data.dataset import Dataset
from aesm2.lab.estimate import Estimate
from aesm2.lab.queue import environment
from app import state, widgets
from app.curves.page import duration
from app.lab import form
from app.people import who

_MEASURED = "lab-estimate"
BUDGETS = {"30 seconds": 30, "3 minutes": 180}


def section(dataset: Dataset, config: Config, device: str, runs: int) -> None:
    """Draw the buttons that measure, and that fit the epochs to a time; and what was found."""
    with st.container(horizontal=True, vertical_alignment="center", key="lab-time"):
        asked = st.button("How long will it take?", icon=":material/timer:", key="lab-measure")
        fits = {
            title: st.button(f"Fit into {title}", key=f"lab-fit-{seconds}",
                             help="sets the epochs, and how often it is measured")
            for title, seconds in BUDGETS.items()
        }  # fmt: skip
    wanted = next((title for title, pressed in fits.items() if pressed), None)
    if asked or wanted:
        who.require(who.Right.TRAIN)
        with st.spinner("Reading the data and taking a few steps, some seconds…"):
            measured = known(dataset, config, device)
            if not isinstance(measured, Estimate):  # what went wrong may be over by now
                measured = _measure(dataset, config, device)
        if wanted and isinstance(measured, Estimate):
            epochs, every = measured.within(BUDGETS[wanted])
            form.propose(epochs=epochs, evaluate_every=every)
            st.rerun()
    found = known(dataset, config, device)
    if isinstance(found, str):
        st.error(widgets.escaped(found), icon=":material/error:")
    elif found is not None:
        _say(found, config, runs)


def known(dataset: Dataset, config: Config, device: str) -> Estimate | str | None:
    """Return what was measured of this configuration, whatever its epochs; or what went wrong."""
    kept = state.recall(_MEASURED)
    return kept[1] if kept and kept[0] == _key(dataset, config, device) else None


def _key(dataset: Dataset, config: Config, device: str) -> str:
    training = config.training.model_copy(
        update={"epochs": 1, "evaluate_every": None, "patience": 1, "seed": 0}
    )
    same = config.model_copy(update={"training": training})
    return f"{dataset.folder} {device} {same.model_dump_json()}"


def _measure(dataset: Dataset, config: Config, device: str) -> Estimate | str:
    found = _measured(dataset.folder, config, device)
    state.remember(_MEASURED, (_key(dataset, config, device), found))
    return found


def _say(found: Estimate, config: Config, runs: int) -> None:
    training = config.training
    per_epoch = found.steps // found.epochs
    steps = per_epoch * training.epochs
    measured = -(-steps // (training.evaluate_every or per_epoch))
    seconds = found.start + steps * found.step + measured * found.validation
    each = " each" if runs > 1 else ""
    st.caption(
        f"About {duration(seconds)}{each} on this machine if it is not stopped early: {steps:,}"
        f" steps of {1000 * found.step:.0f} ms on {found.rows:,} rows, {measured:,} measurements;"
        f" {found.parameters:,} parameters, about {found.memory:,.0f} MB of memory. Measured with a"
        " few steps, just now."
    )


def _measured(folder: Path, config: Config, device: str) -> Estimate | str:
    with tempfile.TemporaryDirectory(prefix="aesm2-estimate-") as place:
        file = Path(place) / "config.json"
        file.write_text(config.model_dump_json(), encoding="utf-8")
        command = [sys.executable, "-m", "aesm2.cli", "estimate", str(folder)]
        command += ["--config", str(file), "--device", device]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True,
                              check=False)  # fmt: skip
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it ended without a word"]
        return lines[-1].removeprefix("aesm2: ")
    values: dict[str, Any] = json.loads(done.stdout)
    return Estimate(**{field.name: values[field.name] for field in fields(Estimate)})
