"""The catalogue of the paper: equations, tables and figures, and where each lives here."""

from collections import Counter

import pandas as pd
import streamlit as st

from aesm2.audit import EQUATIONS, EXHIBITS, Audit, Equation, Exhibit
from aesm2.audit.beside import STUDIES, beside, laid_out
from aesm2.audit.catalogue import STATUSES, Kind, Status
from aesm2.audit.findings import AGREES, DIFFERS
from aesm2.evidence.paper import SOURCE
from app import cache, locations, studies, widgets

CHOICES = {"all": "all of them", "equations": "equations", "tables": "tables", "figures": "figures"}
COLOURS: dict[Status, str] = {
    "reproduced": "green", "other data": "blue", "drawing": "gray", "quoted": "orange"
}  # fmt: skip
REPLAYED = ", here of a replay, AESM² instead of a shared MLP"
ICONS = {True: ":material/check_circle:", False: ":material/cancel:", None: ":material/remove:"}


def filters() -> tuple[str, ...]:
    """Draw the choice of what to list; return it."""
    st.subheader("What the paper has, and where it is here", anchor=False)
    chosen = widgets.pick("Show", "paper-show", list(CHOICES), "all", CHOICES.__getitem__,
                          width=220)  # fmt: skip
    return tuple(CHOICES)[1:] if chosen == "all" else (chosen,)


def equations(found: Audit | None) -> None:
    """List the equations, each with its numbers for the audited row, once opened."""
    st.markdown(f"**Equations** 1 to {len(EQUATIONS)}")
    for equation in EQUATIONS:
        lines = pd.DataFrame() if found is None else found.frame(equation.number)
        ok = None if lines.empty else bool(lines["ok"].all())
        said = "" if ok is None else f": {AGREES if ok else DIFFERS}"
        part = st.expander(
            f"{equation.name} · {equation.title}{said}", icon=ICONS[ok],
            key=f"paper-eq-{equation.number}", on_change="rerun",
        )  # fmt: skip
        if part.open:
            with part:
                _equation(equation, lines, found)


def exhibits(kind: Kind) -> None:
    """List the tables or the figures of the paper, each with what is here of it."""
    st.markdown(f"**{kind.capitalize()}s**")
    counts = Counter(own.status for own in EXHIBITS if own.kind == kind)
    st.caption("; ".join(f"{count} {status}: {STATUSES[status]}"
                         for status, count in counts.most_common()) + ".")  # fmt: skip
    for own in EXHIBITS:
        if own.kind == kind:
            part = st.expander(
                f"{own.name} · {own.title} :{COLOURS[own.status]}-badge[{own.status}]",
                key=f"paper-{kind}-{own.number}", on_change="rerun",
            )  # fmt: skip
            if part.open:
                with part:
                    _exhibit(own)


def _equation(equation: Equation, lines: pd.DataFrame, found: Audit | None) -> None:
    st.latex(equation.latex)
    st.write(equation.sentence)
    if equation.departure:
        st.markdown(f"**Here.** {widgets.escaped(equation.departure)}")
    _sources(f"§{equation.section}", equation.code, equation.tests)
    if not lines.empty:
        st.dataframe(
            lines.drop(columns=["equation", "tolerance"]), hide_index=True,
            column_config={"difference": st.column_config.NumberColumn(format="%.1e")},
        )  # fmt: skip
    elif found is not None:
        st.caption(f"Not audited on this row: {found.left_out.get(equation.number, '')}.")


def _exhibit(own: Exhibit) -> None:
    st.write(f"**In the paper** (§{own.section}). {own.shows}")
    st.write(f"**Here.** {own.here}")
    if own.kind == "table" and own.number in STUDIES:
        _beside(own.number)
    st.code("\n".join(own.commands), language="bash")
    _sources("", own.code, ())
    file, title = own.page
    st.page_link(file, label=f"See it on {title}", icon=":material/arrow_forward:")


def _beside(table: int) -> None:
    """Draw what the paper prints beside what a study here has."""
    name = STUDIES[table]
    folder = locations.studies().get(name)
    study = None if folder is None else cache.study(folder)
    lines = beside(table, None if study is None else study.evidence)
    where = "here, no study yet" if study is None else f"here, {name}"
    st.dataframe(laid_out(lines, where), hide_index=True)
    seeds = int(lines["seeds"].max()) if study is not None else 0
    spread = f", here mean ± standard deviation over {seeds} seeds" if seeds else ""
    unit = f"AUC × 100{spread}" if table < 8 else f"Uplift in %{REPLAYED}{spread}"
    stamp = f"The paper: {SOURCE}, Table {table}"
    if study is not None:
        stamp += f"; here: {studies.stamp(study)}"
    st.caption(f"{widgets.escaped(stamp)}. {unit}. The data differ: compare orders and signs, not"
               " values.")  # fmt: skip
    notes = [note for note in lines["note"].unique() if note]
    for note in notes:
        st.caption(f"The paper's own figures: {widgets.escaped(note)}.")
    widgets.csv(lines, f"paper-table-{table}", stamp)


def _sources(section: str, code: tuple[str, ...], tests: tuple[str, ...]) -> None:
    named = [section, *(f"`{name}`" for name in code), *(f"test `{name}`" for name in tests)]
    st.caption(" · ".join(part for part in named if part))
