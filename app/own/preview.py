"""Your data: what the draft comes to, in numbers and words, and as a file."""

import streamlit as st

from aesm2.data.description import DESCRIPTION
from aesm2.data.draft import Draft
from aesm2.data.draft.preview import Preview, scenario_table, task_table
from aesm2.data.words import split_words, task_words
from aesm2.plots.style import provenance
from app import widgets
from app.markdown import as_sentence


def facts(draft: Draft, found: Preview) -> None:
    """Draw the size of the table, and what to beware of."""
    sample = draft.looked.sample
    with st.container(horizontal=True, key="own-facts"):
        about = "" if sample.exact else "≈ "
        st.metric("Rows", f"{about}{sample.rows:,}", border=True, width=170)
        looked = "all" if sample.whole else f"{len(sample.frame):,}"
        st.metric(
            "Looked at", looked, border=True, width=140,
            help="The numbers below count these rows, spread over the whole table.",
        )  # fmt: skip
        st.metric("Columns", len(draft.columns), border=True, width=120)
        st.metric("Features", len(found.description.fields), border=True, width=120)
        levels = " × ".join(str(len(level.scenarios)) for level in found.description.level)
        st.metric("Scenarios", levels, border=True, width=140)
        st.metric("Tasks", len(found.description.task), border=True, width=110)
    for warning in found.warnings:
        st.warning(as_sentence(warning), icon=":material/warning:")


def numbers(found: Preview) -> None:
    """Draw the rates of the tasks, and those of every scenario, level by level."""
    described, stamp = found.description, provenance(found.description)
    said = [task_words(task) for task in described.task] + [
        f"Split: {split_words(described.split)}"
    ]
    st.markdown("\n".join(f"- {widgets.escaped(line)}" for line in said))
    percent = st.column_config.NumberColumn(format="%.2f %%")
    st.markdown("**Tasks**, over all rows and over those positive in the task they follow")
    whole = st.column_config.NumberColumn(format="localized")
    shown = dict.fromkeys(("rate", "low", "high"), percent) | {"n": whole, "positives": whole}
    widgets.table(task_table(found), "own-tasks", stamp, column_config=shown)
    for level in described.level:
        st.markdown(
            f"**Scenarios of {widgets.escaped(level.name)}**: rows, and the rate of each task"
        )
        table = scenario_table(found, level.name)
        rates = dict.fromkeys((task.name for task in described.task), percent) | {"rows": whole}
        widgets.table(table, f"own-level-{level.name}", stamp, column_config=rates)


def file(found: Preview) -> None:
    """Show the description as a file."""
    with st.expander(DESCRIPTION, icon=":material/description:"):
        st.code(found.text, language="toml", height=420)
        st.download_button(
            f"Download {DESCRIPTION}", found.text, DESCRIPTION, "application/toml",
            on_click="ignore", icon=":material/download:", key="own-toml",
        )  # fmt: skip
