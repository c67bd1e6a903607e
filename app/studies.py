"""The study that a page is about: a folder of evidence, chosen in the view."""

import contextlib
import re
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from aesm2.data.scenarios import OVERALL, PATH
from aesm2.errors import InputError
from aesm2.evidence.measures import WEIGHTED
from aesm2.plots.style import origin
from app import cache, locations, widgets

MAKING = {  # table: the command that makes it
    "transfer": "transfer",
    "replay": "replay",
    "ablation": "ablate",
    "ablation_comparisons": "ablate",
    "ablation_curves": "ablate",
}
NONE = (
    "There is no evidence here yet. A study trains AESM² and its baselines with equal budgets and"
    " writes what it found into a folder. A first look takes minutes:"
)
FIRST = (
    "aesm2 compare data_samples/alipay_sim --quick --models aesm2,mmoe,mlp"
    " --out checkpoints/evidence/first"
)


def chosen(need: str | None = None) -> cache.Study | None:
    """Draw the choice of the study, first one with the table `need`; None where there is none."""
    found = locations.studies()
    if not found:
        st.info(NONE, icon=":material/science:")
        st.code(FIRST, language="bash")
        st.caption(
            "The studies of the paper's tables are in configs/evidence: `aesm2 reproduce"
            " configs/evidence/alipay-sim.toml`. Folders of evidence elsewhere are found through"
            " the environment variable AESM2_EVIDENCE, which names their parent."
        )
        return None
    name = widgets.pick("Study", "study", list(found), _default(found, need), width=220)
    widgets.about(study=name, slice=name)
    return cache.study(found[name])


def table(study: cache.Study, name: str) -> pd.DataFrame | None:
    """Return a table of the study; None, with the command that makes it, where it has none."""
    found = study.evidence.tables.get(name)
    if found is not None and len(found):
        return found
    missing(study, name)
    return None


def missing(study: cache.Study, name: str) -> None:
    """Say which command makes a table."""
    facts = study.evidence.manifest
    verb = MAKING.get(name, "compare")
    st.info(f"The study “{widgets.escaped(study.evidence.name)}” has no table of this yet ({name})."
            " This makes it:", icon=":material/science:")  # fmt: skip
    st.code(
        f"aesm2 {verb} DATASET --out {study.evidence.path}\n"
        f"# DATASET: the folder of {facts['dataset']['title']}; finished runs are not run again",
        language="bash",
    )


def facts(study: cache.Study) -> None:
    """Say what the study is, in a line."""
    manifest = study.evidence.manifest
    plan, rows = manifest["study"], manifest["rows"]
    seeds, trials = plan["seeds"], plan["search"]["trials"]
    if "runs" in study.evidence.tables:
        seeds = study.evidence.tables["runs"]["seed"].nunique()
    st.caption(
        f"{widgets.escaped(stamp(study))}. {rows['train']:,} rows to train on,"
        f" {rows['validation']:,} to tune on, {rows['test']:,} to test on. Each variant:"
        f" {_counted(trials, 'trial')} of its settings, then {_counted(seeds, 'run')} with seeds of"
        f" their own, up to {_counted(plan['epochs'], 'epoch')}."
    )
    if seeds < 3 or trials < 3:
        st.warning(
            f"A quick study ({_counted(seeds, 'seed')}, {_counted(trials, 'trial')}): good for a"
            " first look, not for a claim.", icon=":material/warning:",
        )  # fmt: skip


def stamp(study: cache.Study) -> str:
    """Return where the numbers of a study come from, for charts and exports."""
    data = study.evidence.manifest["dataset"]
    where = origin(data["provenance"], data["title"], data["licence"])
    return f"{where}; study {study.evidence.name}"


def made(study: cache.Study, name: str) -> None:
    """Say by what a table was made."""
    st.caption(f"Made by `{study.evidence.made(name)}`.")


def scopes(study: cache.Study, runs: pd.DataFrame) -> dict[str, str]:
    """Return the groupings by scenario that were measured, finest first, with their titles."""
    levels = {lv["name"]: lv["title"] or lv["name"] for lv in study.evidence.manifest["levels"]}
    there = [scope for scope in runs["scope"].unique() if scope not in (OVERALL, WEIGHTED)]
    names = sorted(there, key=lambda scope: scope != PATH)
    return {name: "fine-grained" if name == PATH else levels.get(name, name) for name in names}


def slug(*parts: Any) -> str:
    """Return a key of letters, digits and dashes."""
    return re.sub(r"[^0-9a-z]+", "-", "-".join(map(str, parts)).lower().replace("+", "-with-"))


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _default(found: dict[str, Path], need: str | None) -> str:
    """Return the first study with the table `need`, of the checkpoint's dataset if there is one."""
    with contextlib.suppress(InputError):
        own = widgets.current().checkpoint.description.name
        return min(found, key=lambda name: _remoteness(found[name], own, need))
    return next(iter(found))


def _remoteness(folder: Path, dataset: str, need: str | None) -> tuple[bool, bool]:
    """Return what makes a study a poor first choice; a broken folder says so once it is chosen."""
    with contextlib.suppress(InputError):
        evidence = cache.study(folder).evidence
        lacking = need is not None and need not in evidence.tables
        return lacking, evidence.manifest["dataset"]["name"] != dataset
    return True, True
