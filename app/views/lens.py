"""Instance Lens: why these experts, for one row."""

import streamlit as st

from aesm2.plots.ledger import ledger
from app import recipes, widgets
from app.lens import door as lens_door
from app.lens import gates as lens_gates
from app.lens import ledger as lens_ledger
from app.lens import row as lens_row
from app.lens import rows as lens_rows

WHAT = (
    "Pick a row and see, layer by layer, which experts the model chose for it, why those, how much"
    " each one counts, and what it predicts. Then send the same row through another door."
)
NO_SELECTION = (
    "This model has no expert selection and no gates: it neither chooses nor weighs experts, so"
    " there are no layers to look into. Its predictions above and below are real; pick an AESM²"
    " checkpoint in the bar to see a choice of experts, or MMoE, PLE, HMoE or DSelect-k to see"
    " weights."
)


def page() -> None:
    """Draw the page from top to bottom: rows, the row, its layers, the ledger, other doors."""
    st.header("Instance Lens: why these experts?", anchor=False)
    st.caption(WHAT)
    opened = widgets.current()
    checkpoint = opened.checkpoint
    rows = lens_rows.source(opened)
    position = None if rows is None else lens_rows.picked(opened, rows)
    if rows is None or position is None:
        return
    name = rows.frame.index[position]
    trace = lens_rows.trace(opened, rows, position)
    stamp, code = lens_rows.stamp(rows), recipes.of_row(opened, rows, name)
    drawn = lens_rows.drawn(opened, rows, position)
    widgets.about(slice=f"{rows.title} row {name}")
    st.subheader(f"Row {widgets.escaped(str(name))}", anchor=False)
    lens_row.show(opened, rows, position, trace)
    if trace.layers:
        lens_ledger.strip_panel(checkpoint, trace, stamp, code, drawn)
        layer = trace.layer(widgets.current_layer().name)
        of = ledger(layer, 0, widgets.current_task())
        gate = widgets.escaped(of.gate_words)
        st.subheader(f"Layer {layer.name}: the choice for {gate}", anchor=False)
        if layer.kind == "task":
            lens_row.absence(checkpoint, rows, position, widgets.current_task())
        lens_ledger.panels(of, stamp, code, drawn)
    elif lens_gates.there(opened):
        row = rows.batch[position : position + 1]
        lens_gates.panel(opened, row, name, stamp, code, drawn)
    else:
        st.info(NO_SELECTION, icon=":material/info:")
    lens_door.section(opened, rows, position, stamp, code, drawn)


page()
