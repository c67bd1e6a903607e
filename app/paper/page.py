"""The audit of one row: which row, the verdict, every equation's difference."""

from dataclasses import dataclass

import streamlit as st

from aesm2.audit import Audit, audit
from aesm2.audit.findings import DIFFERS, LEFT_OUT, TOLERANCE_TEXT
from aesm2.plots.audit import audit_figure, audit_words
from app import cache, recipes, widgets
from app.lens import rows as lens_rows

NO_SELECTION = (
    "This model has no expert selection, so Eq. 7 to 17 say nothing of it and nothing is audited."
    " Pick an AESM² checkpoint in the bar to audit one. The catalogue below holds all the same."
)
SCOPES = {"row": "the whole row: every layer and task", "layer": "the layer and task of the bar"}
SHOWN = ["equation", "title", "status", "quantity", "layer", "task", "audit", "model",
         "difference", "where", "compared"]  # fmt: skip
CHART = widgets.Explanation(
    "How far the model's numbers are from the same equation computed anew in double precision.",
    "Each mark is one quantity of one layer (and task), at the place where audit and model are"
    " farthest apart. Below the dashed line rounding explains it: the model computes with some"
    " seven digits. A cross above the line is an equation that the model does not follow. Equal"
    " numbers stand at the foot. A set of experts is measured by how much farther, in nats, its"
    " worst member is than the best expert left out: 0 where it is a TopK. Each equation takes the"
    " model's own inputs to it, so a mistake shows where it was made.",
    r"\frac{|a - b|}{\max(|a|, u)}, \quad u = 1,\ \text{less for what is small by nature}",
    "Eq. 1 to 22, §3.2 to 3.4",
)
CODE = """
from aesm2.audit import audit
from aesm2.plots.audit import audit_figure

found = audit(checkpoint, batch[{at}:{end}], rows.index[{at}:{end}])
figure = audit_figure(found.frame(), {stamp!r})"""


@dataclass(frozen=True)
class Audited:
    """The audit of the row at a position of some rows; name: of the row."""

    found: Audit
    rows: cache.RowSet
    position: int
    name: str


def audited(opened: cache.Opened) -> Audited | None:
    """Draw the choice of a row and audit it; None, said kindly, where there is none to audit."""
    if not opened.checkpoint.layers:
        st.info(NO_SELECTION, icon=":material/info:")
        return None
    rows = lens_rows.source(opened)
    if rows is None:
        return None
    with st.expander("Choose the row", icon=":material/search:"):
        position = lens_rows.picked(opened, rows)
    if position is None:
        st.info("No row is chosen, so none is audited: open “Choose the row”.",
                icon=":material/search_off:")  # fmt: skip
        return None
    one, index = rows.batch[position : position + 1], rows.frame.index[[position]]
    found = lens_rows.told(
        opened, rows, f"audit of {position}", lambda: audit(opened.checkpoint, one, index)
    )
    return Audited(found, rows, position, str(index[0]))


def result(opened: cache.Opened, of: Audited) -> None:
    """Draw the verdict, the table of equations and their differences."""
    st.subheader(f"Row {of.name}", anchor=False)
    scope = widgets.pick("Audit", "paper-scope", list(SCOPES), "row", SCOPES.__getitem__, width=320)
    found = of.found
    if scope == "layer":
        task = opened.checkpoint.description.task[widgets.current_task()].name
        found = found.restricted(widgets.current_layer().name, task)
    verdict(found)
    stamp = lens_rows.stamp(of.rows)
    lines = found.by_equation()
    lines = lines.sort_values("status", key=lambda status: status != DIFFERS, kind="stable")
    told = lines.assign(where=lines["where"].mask(lines["status"] == LEFT_OUT, lines["why"]))
    styled = told[SHOWN].style.apply(
        lambda line: ["color: #D55E00" if line["status"] == DIFFERS else ""] * len(line), axis=1
    )
    st.dataframe(
        styled, hide_index=True, height=38 + 35 * 8, placeholder="–",
        column_config={
            "difference": st.column_config.NumberColumn(format="%.1e"),
            "compared": st.column_config.NumberColumn(help="numbers compared, over all layers"),
            "where": st.column_config.TextColumn("where, or why not", width="medium"),
        },
    )  # fmt: skip
    widgets.csv(lines, "audit", f"{stamp}; row {of.name}; checkpoint {opened.checkpoint.hash[:12]}")
    findings = found.frame()
    code = recipes.script(
        opened, of.rows, CODE.format(at=of.position, end=of.position + 1, stamp=stamp)
    )
    widgets.chart(audit_figure(findings, stamp), "audit", "How close audit and model are", CHART,
                  findings, audit_words(findings), code=code)  # fmt: skip


def verdict(found: Audit) -> None:
    """Say in a line whether the model follows the paper."""
    if found.agrees:
        st.success(f"{found.verdict()}.", icon=":material/verified:")
    else:
        st.error(
            f"{found.verdict()}. See the lines marked “{DIFFERS}”: there the model's number is"
            f" farther than {TOLERANCE_TEXT} from the equation's.", icon=":material/report:",
        )  # fmt: skip
