"""The Training Lab: a dataset simulated on the spot, whose truth is known."""

import subprocess
import sys
from pathlib import Path

import streamlit as st

from aesm2.errors import InputError
from aesm2.files import replaced
from aesm2.lab.queue import NAME, environment
from aesm2.owner import give
from app import locations, state, widgets
from app.lab.folder import places
from app.people import quotas, who

PRESETS = {
    "alipay": "AliPay: channel → domain (Table 1)",
    "aliexpress": "AliExpress: four countries (Table 2)",
}
ROWS = (20_000, 100_000, 400_000, 1_000_000)
_PROBLEM, _MADE = "lab-simulation-problem", "lab-simulated"


def popover() -> None:
    """Draw the form that simulates a dataset."""
    with (
        st.popover("Simulate one", icon=":material/casino:"),
        st.form("lab-simulate", border=False),
    ):
        st.markdown("A search log with the paper's traffic and a planted truth.")
        preset = st.selectbox("Like", list(PRESETS), format_func=PRESETS.__getitem__)
        rows = st.select_slider("Rows", ROWS, ROWS[1], format_func=lambda n: f"{n:,}")
        seed = st.number_input("Seed", 0, 2**31, 0, help="another seed is another world")
        if st.form_submit_button("Simulate", icon=":material/play_arrow:", key="lab-simulate-go"):
            with st.spinner(f"Simulating {rows:,} rows, some seconds…"):
                _simulate(preset, int(rows), int(seed))
            st.rerun()
    problem = state.recall(_PROBLEM)
    if problem:
        st.error(widgets.escaped(problem), icon=":material/error:")


def _simulate(preset: str, rows: int, seed: int) -> None:
    """Write the dataset into the user's folder of datasets, or find that it is there already."""
    own = who.require(who.Right.TRAIN)
    name = f"{preset}-sim-{rows // 1000}k-seed{seed}{own.id and f'-{own.id[:6]}'}"
    folder = locations.data_home() / name
    state.remember(_PROBLEM, None)
    if not NAME.fullmatch(name):
        raise ValueError(name)
    if not (folder / "dataset.toml").exists():
        try:
            quotas.require_disk(own, places())
            with replaced(folder) as part:  # its owner's from the first moment
                part.rmdir()  # the command makes it
                _write(part, preset, rows, seed)
                give(part, own.id)
        except (InputError, OSError) as error:
            state.remember(_PROBLEM, f"{error}.")
            return
    state.put(**{"lab-data": name})


def _write(folder: Path, preset: str, rows: int, seed: int) -> None:
    """Simulate into a folder, in a process of its own; InputError with its last line."""
    command = [sys.executable, "-m", "aesm2.cli", "simulate", "--preset", preset]
    command += ["--rows", str(rows), "--out", str(folder), "--seed", str(seed)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it ended without a word"]
        raise InputError(lines[-1].removeprefix("aesm2: "))
