"""Your data: from a table to a described dataset."""

import streamlit as st

from aesm2.errors import InputError
from app import cache, widgets
from app.own import form as own_form
from app.own import page as own
from app.own import preview as own_preview
from app.own import save as own_save
from app.own import source as own_source
from app.people import who

WHAT = (
    "Bring a table. A draft says what each column is and why; change what it got wrong, watch what"
    " follows, and save it as a dataset to train on."
)


def page() -> None:
    """Draw the page: the table, the form, what follows from it, and saving."""
    st.header("Your data: from a table to a dataset", anchor=False)
    st.caption(WHAT)
    who.require(who.Right.DATA)
    own_source.section()
    table = own.current()
    if table is None:
        own_source.invitation()
        return
    st.subheader(f"What the columns of {widgets.escaped(table.draft.looked.sample.table)} are",
                 anchor=False)  # fmt: skip
    table = own_form.form(table)
    own.change(table)
    draft = own_save.placed(table)
    try:
        found = cache.previewed(table.id, repr(draft), draft)
    except InputError as error:
        st.error(
            f"{widgets.escaped(str(error))}. Your changes are kept: correct this one and go on.",
            icon=":material/error:",
        )
        return
    st.subheader("What follows", anchor=False)
    own_preview.facts(draft, found)
    own_preview.numbers(found)
    own_preview.file(found)
    st.subheader("Save it", anchor=False)
    own_save.section(table, found)


page()
