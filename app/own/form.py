"""Your data: the form that changes a draft."""

from dataclasses import replace

import pandas as pd
import streamlit as st

from aesm2.data.draft import ROLES, Column, Draft
from aesm2.data.draft.names import GROUPS, OTHER_GROUP
from app import state
from app.own import page as own

PROVENANCES = ("private", "public", "simulated")
NO_COLUMN = "(none)"
FIXED = ("column", "distinct", "missing", "why")
ROLE_HELP = (
    "feature: what the model sees. label: what it predicts, a yes or no. level: where the"
    " impression was, a scenario. split: a date that says which rows are for testing. ignored: none"
    " of these."
)


def form(table: own.Own) -> own.Own:
    """Draw the form and return the table with its draft as it now is."""
    if not state.drawn(_columns_key(table)):  # the page is new: start from what was edited before
        table = own.renewed(table)
    draft = replace(_about(table), columns=_columns(table))
    return replace(table, draft=_rest(table, draft))


def column_table(columns: tuple[Column, ...]) -> pd.DataFrame:
    """Return one line a column, as it is edited; missing in percent."""
    return pd.DataFrame(
        {
            "column": [c.name for c in columns],
            "role": [c.role for c in columns],
            "kind": [c.kind for c in columns],
            "group": [c.group for c in columns],
            "distinct": [c.profile.distinct for c in columns],
            "missing": [100 * c.profile.missing for c in columns],
            "why": [c.reason for c in columns],
        }
    )


def edited(columns: tuple[Column, ...], table: pd.DataFrame) -> tuple[Column, ...]:
    """Return the columns as a table says; a new role has no reason but the user's choice."""
    lines = table[["role", "kind", "group"]].to_dict("records")
    own = [
        replace(c, kind=line["kind"], group=line["group"])
        for c, line in zip(columns, lines, strict=True)
    ]
    return tuple(
        c if line["role"] == c.role else replace(c, role=line["role"], reason="")
        for c, line in zip(own, lines, strict=True)
    )


def _about(table: own.Own) -> Draft:
    """Draw what is asked of the dataset: its names and rights."""
    draft, id_ = table.draft, table.id
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input(
            "Name", key=state.seed(f"own-name-{id_}", draft.name), width=200, max_chars=60,
            help="Of the dataset and its folder: letters, digits, - and _.",
        )  # fmt: skip
        title = st.text_input(
            "Title", key=state.seed(f"own-title-{id_}", draft.title), width=300, max_chars=120,
            help="As it stands on every chart and export.",
        )  # fmt: skip
        licence = st.text_input(
            "Licence", key=state.seed(f"own-licence-{id_}", draft.licence), width=220,
            max_chars=120, help="What may be done with the data; shown on every chart and export.",
        )  # fmt: skip
        provenance = st.selectbox(
            "The data are", PROVENANCES, key=state.seed(f"own-provenance-{id_}", draft.provenance),
            width=150,
        )  # fmt: skip
    return replace(draft, name=name.strip(), title=title, licence=licence, provenance=provenance)


def _columns(table: own.Own) -> tuple[Column, ...]:
    shown = column_table(table.base.columns)
    changed = st.data_editor(
        shown, key=_columns_key(table), hide_index=True, num_rows="fixed", disabled=list(FIXED),
        height=min(38 + 35 * len(shown), 458), row_height=35,
        column_config={
            "column": st.column_config.TextColumn("Column", pinned=True, width=150),
            "role": st.column_config.SelectboxColumn(
                "Role", options=list(ROLES), required=True, width=90, help=ROLE_HELP
            ),
            "kind": st.column_config.SelectboxColumn(
                "Kind", options=["categorical", "numeric"], required=True, width=110,
                help="Of a feature: ids and names are categorical; numbers are cut into buckets.",
            ),
            "group": st.column_config.SelectboxColumn(
                "Group", options=_groups(table.base), required=True, width=90,
                help="Of a feature: what it tells about. It orders them for the reader, no more.",
            ),
            "distinct": st.column_config.NumberColumn("Distinct", format="localized", width=85),
            "missing": st.column_config.NumberColumn("Missing", format="%.1f %%", width=85),
            "why": st.column_config.TextColumn("Why the draft says so", width=420),
        },
    )  # fmt: skip
    return edited(table.base.columns, changed)


def _rest(table: own.Own, draft: Draft) -> Draft:
    """Draw what is asked of the whole table: rows that stay together, and a positive's worth."""
    names = [c.name for c in draft.columns if c.profile.form != "lists"]
    numbers = [c.name for c in draft.columns if c.profile.form == "numbers"]
    key = draft.key
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if not draft.of("split"):
            key = _column_input(
                "No column splits by time: keep rows together by", f"own-key-{table.id}", names,
                draft.key, "Test rows are drawn at random; those of one user, say, together.",
            )  # fmt: skip
        value = _column_input(
            "A positive is worth", f"own-value-{table.id}", numbers, draft.value,
            "A column such as a price: what a positive of the last task is worth.",
        )  # fmt: skip
    return replace(draft, key=key, value=value)


def _column_input(
    label: str, key: str, names: list[str], now: str | None, help_: str
) -> str | None:
    options = [NO_COLUMN, *names]
    chosen = st.selectbox(
        label, options, key=state.seed(key, now or NO_COLUMN), width=330, help=help_
    )
    return None if chosen == NO_COLUMN else chosen


def _groups(draft: Draft) -> list[str]:
    return list(dict.fromkeys([*GROUPS, OTHER_GROUP, *(c.group for c in draft.columns)]))


def _columns_key(table: own.Own) -> str:
    return f"own-columns-{table.id}-{table.round}"
