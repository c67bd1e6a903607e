"""Where the data come from and what is made of them: rights, rules, features."""

import functools
import operator

import pandas as pd
import streamlit as st

from aesm2.checkpoint import Checkpoint
from aesm2.data import words
from app import cache, widgets


def rights(checkpoint: Checkpoint) -> None:
    """Show provenance, licence, citation and notes."""
    described = checkpoint.description
    st.markdown(
        f"**Provenance.** {widgets.escaped(described.title)} ({described.provenance}).  \n"
        f"**Licence.** {widgets.escaped(described.licence)}.  \n"
        f"**Citation.** {widgets.escaped(described.citation) or 'none given'}."
    )
    if described.notes:
        st.markdown(f"**Know before use**\n{_bullets(described.notes)}")


def rules(checkpoint: Checkpoint) -> None:
    """Say which rows there are, how they are divided, and what scenarios, tasks and history are."""
    described = checkpoint.description
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown(f"**Rows**\n{_bullets(words.source_words(described))}")
        st.markdown(f"**Split**\n{_bullets([words.split_words(described.split)])}")
    with right:
        st.markdown(f"**Scenarios**\n{_bullets(list(map(words.level_words, described.level)))}")
        st.markdown(f"**Tasks**\n{_bullets(list(map(words.task_words, described.task)))}")
    if described.history:
        st.markdown(f"**History**\n{_bullets(list(map(words.history_words, described.history)))}")


def features(checkpoint: Checkpoint, parts: list[cache.RowSet] | None, split: str) -> None:
    """Show every feature with how it is encoded, and how often it is missing or unseen."""
    table = words.feature_table(checkpoint.encoder)
    counts = table["group"].value_counts(sort=False)
    st.caption(
        f"{len(table)} features: " + ", ".join(f"{n} {group}" for group, n in counts.items())
        + ". Values: those with an embedding of their own."
    )  # fmt: skip
    if parts:
        table = table.join(_odd(checkpoint, parts))
    percent = st.column_config.NumberColumn(format="%.2f %%")
    widgets.table(
        table, f"data-features-{split}", height=min(38 + 35 * len(table), 400),
        column_config={"missing": percent, "unseen": percent},
    )  # fmt: skip
    refused = words.refused(checkpoint.description)
    if refused:
        with st.expander(f"{len(refused)} columns are refused as features",
                         icon=":material/block:"):  # fmt: skip
            st.write(
                "They are known only after the impression: labels, outcomes of history, and what"
                " the description names. A model that saw them would not work when it is used."
            )
            st.markdown(", ".join(f"`{column}`" for column in refused))


def _odd(checkpoint: Checkpoint, parts: list[cache.RowSet]) -> pd.DataFrame:
    """Percentage of rows in which each feature is missing, and unseen."""

    def build() -> pd.DataFrame:
        counts = [checkpoint.encoder.unseen_counts(part.batch) for part in parts]
        total = functools.reduce(operator.add, [own[["missing", "unseen"]] for own in counts])
        return 100 * total / sum(len(part.frame) for part in parts)

    return cache.found("unseen", checkpoint, parts, build)


def _bullets(sentences: list[str] | tuple[str, ...]) -> str:
    return "\n".join(f"- {widgets.escaped(sentence)}" for sentence in sentences)
