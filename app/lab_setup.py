"""The Training Lab: setting runs up."""

import contextlib
import json
import math
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import streamlit as st

from aesm2.config import Config, parse, read_config
from aesm2.data.dataset import Dataset
from aesm2.errors import InputError
from aesm2.lab.queue import environment
from app import cache, lab, state, widgets
from app.curves import duration

_ESTIMATE = "lab-estimate"
FIELDS: dict[str, tuple[str, str, float, float, str]] = {  # key: label, part, least, most, help
    "epochs": ("Epochs", "training", 1, 1000, "passes over the training rows, at most"),
    "batch_size": ("Batch", "training", 16, 65536, "rows a step of the optimizer"),
    "patience": (
        "Patience",
        "training",
        1,
        1000,
        "measurements without a better one until it ends",
    ),
    "learning_rate": ("Learning rate", "training", 1e-6, 1.0, "of Adam"),
    "lambda_specific": ("λ specific", "training", 0, 1, "λ_sp of Eq. 21; 0 leaves L_sp out"),
    "lambda_shared": ("λ shared", "training", 0, 1, "λ_sh of Eq. 21; 0 leaves L_sh out"),
    "noise_scale": ("Noise", "model", 0, 1, "Eq. 8: standard deviation over experts; 0 for none"),
}


def section() -> None:
    """Draw the form, what it amounts to, and the button that queues the runs."""
    datasets = {own.folder.name: own for own in cache.datasets()}
    if not datasets:
        st.info("There is no dataset here: bring one on *Your data*, or simulate one with"
                " `aesm2 simulate`.", icon=":material/info:")  # fmt: skip
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = widgets.pick(
            "Dataset",
            "lab-data",
            list(datasets),
            _own(datasets),
            lambda key: f"{datasets[key].description.title} ({key})",
            width=460,
        )
        base, values = _begun(datasets[name])
    config = _changed(base, values)
    if config is None:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        seeds = st.text_input("Seeds", key=state.seed("lab-seeds", "0"), width=140,
                              help="one run a seed: 0, or 0, 1, 2")  # fmt: skip
        free = _free(name)
        called = st.text_input("Name", free, key=f"lab-name-{free}", width=220)
    planned = _runs(called, seeds, config)
    if planned is None:
        return
    _facts(datasets[name], config)
    st.button(
        "Start" if len(planned) == 1 else f"Start {len(planned)} runs",
        icon=":material/play_arrow:", type="primary", key="lab-start",
        on_click=lab.attempt, args=(lambda: _submit(datasets[name], planned),),
    )  # fmt: skip
    with st.expander("The same in a terminal", icon=":material/terminal:"):
        first = next(iter(planned))
        data = shlex.quote(str(datasets[name].folder))
        st.code(f"aesm2 train {data} --config {first}.json --run runs/{first}", language="bash")
        st.caption(f"with this as {widgets.escaped(first)}.json:")
        st.code(planned[first].model_dump_json(indent=2), language="json")


def _own(datasets: dict[str, Dataset]) -> str:
    """Return the dataset of the checkpoint in the bar, or the first."""
    with contextlib.suppress(InputError):
        name = widgets.current().checkpoint.description.name
        return next(key for key, own in datasets.items() if own.description.name == name)
    return next(iter(datasets))


def _begun(dataset: Dataset) -> tuple[str, dict[str, Any]]:
    """Draw the choice of what to begin with; return its name and values."""
    places = {file.stem: file for file in sorted((cache.ROOT / "configs").glob("*.toml"))}
    fitting = dataset.folder.name.split("_")[0]
    default = min((key for key in places if key.startswith(fitting)), key=len, default="default")
    base = widgets.pick("Begin with", "lab-base", ["default", *places], default, str, width=200)
    config = read_config(places[base]) if base in places else Config()
    return base, config.model_dump(mode="json")


def _changed(base: str, values: dict[str, Any]) -> Config | None:
    """Draw the fields that change a configuration; None, and why, where they do not fit."""
    with st.container(horizontal=True, key="lab-fields"):
        for key, (label, part, least, most, about) in FIELDS.items():
            if key not in values[part]:
                continue
            now = values[part][key]
            kind = int if isinstance(now, int) else float
            step = 1 if kind is int else 10.0 ** math.floor(math.log10(now or 1e-3))
            values[part][key] = st.number_input(
                label, kind(least), kind(most), now, step, None if kind is int else "%g",
                key=f"lab-{base}-{key}", help=about, width=150,
            )  # fmt: skip
    try:
        return parse(Config, values, "the form")
    except InputError as error:
        st.error(f"{widgets.escaped(str(error))}.", icon=":material/error:")
        return None


def _runs(called: str, seeds: str, config: Config) -> dict[str, Config] | None:
    """Return the configuration of each run by its name; None, and why, where a seed is none."""
    parts = [part.strip() for part in seeds.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and len(part) < 19 for part in parts):
        st.error("Seeds are whole numbers with commas between them: 0, 1, 2.",
                 icon=":material/error:")  # fmt: skip
        return None
    found = {}
    for part in dict.fromkeys(parts):
        training = config.training.model_copy(update={"seed": int(part)})
        name = called if len(parts) == 1 else f"{called}-seed{part}"
        found[name] = config.model_copy(update={"training": training})
    return found


def _facts(dataset: Dataset, config: Config) -> None:
    """Draw the button that measures time and memory, and what it found for these settings."""
    key = f"{dataset.folder} {config.model_dump_json()}"
    if st.button("How long will it take?", icon=":material/timer:", key="lab-measure"):
        with st.spinner("Reading the data and taking a few steps…"):
            state.remember(_ESTIMATE, (key, _measured(dataset.folder, config)))
    known = state.recall(_ESTIMATE)
    if known and known[0] == key:
        found = known[1]
        if "problem" in found:
            st.error(widgets.escaped(found["problem"]), icon=":material/error:")
            return
        st.caption(
            f"About {duration(found['seconds'])} on this machine if it is not stopped early:"
            f" {found['steps']:,} steps of {1000 * found['step']:.0f} ms on {found['rows']:,} rows,"
            f" {found['validations']:,} measurements; {found['parameters']:,} parameters, about"
            f" {found['memory']:,.0f} MB of memory. Measured with a few steps just now."
        )


def _measured(folder: Path, config: Config) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="aesm2-estimate-") as place:
        file = Path(place) / "config.json"
        file.write_text(config.model_dump_json(), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "aesm2.cli",
            "estimate",
            str(folder),
            "--config",
            str(file),
        ]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True,
                              check=False)  # fmt: skip
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it ended without a word"]
        return {"problem": lines[-1].removeprefix("aesm2: ")}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _submit(dataset: Dataset, planned: dict[str, Config]) -> None:
    for name, config in planned.items():
        lab.lab().submit(name, dataset.folder, config)
    state.put(run=next(iter(planned)))


def _free(dataset: str) -> str:
    """Return a name that no run has yet."""
    taken = {job.name for job in lab.lab().jobs()}
    return next(name for i in range(1, 10_000) if (name := f"{dataset}-{i}") not in taken)
