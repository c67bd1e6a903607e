"""The Training Lab: what becomes of a run's checkpoint, and checkpoints from elsewhere."""

import functools
from pathlib import Path

import streamlit as st

from aesm2.errors import InputError
from aesm2.files import from_trash, to_trash
from aesm2.lab.archive import pack
from aesm2.lab.job import Job
from app import locations, state, widgets
from app.lab import actions
from app.lab import page as lab
from app.people import who

_PROMOTED, _REMOVED = "lab-promoted", "lab-removed"


def promotion(job: Job) -> None:
    """Draw the form that copies a run's checkpoint to where every page finds it."""
    if job.status().active or not (job.run.checkpoint / "checkpoint.json").exists():
        return
    with st.form("lab-promote", border=True):
        st.markdown("**Promote to a checkpoint** that the bar above offers on every page")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            name = st.text_input("Name", value=job.name, width=240, key="lab-promote-name")
            notes = st.text_input("Notes for its card", width=420, key="lab-promote-notes")
            everybody = not who.person().id or st.checkbox(
                "For everybody here", key="lab-promote-shared",
                help="otherwise you alone see it; a checkpoint holds the values that its data had",
            )  # fmt: skip
            asked = st.form_submit_button("Promote", icon=":material/upgrade:")
    if asked:
        lab.attempt(lambda: _promote(job, name, notes, everybody))
        st.rerun()
    done = state.recall(_PROMOTED)
    if done == job.name:
        st.success("It is in the bar above, and chosen: every page shows it now.",
                   icon=":material/check:")  # fmt: skip
        st.page_link("views/lens.py", label="Open it in the Lens", icon=":material/search:")
    widgets.download(
        "Export as zip", f"{job.name}.zip", "application/zip", lambda: pack(job.run.checkpoint)
    )


def importing() -> None:
    """Draw the way in for a zip file that was exported elsewhere."""
    with st.expander("Import a checkpoint", icon=":material/upload_file:"):
        file = st.file_uploader("A zip file from “Export as zip” or `aesm2 export`", type="zip",
                                key="lab-import")  # fmt: skip
        if file is None:
            return
        name = st.text_input("Name", value=file.name.removesuffix(".zip"), key="lab-import-name")
        if st.button("Import", icon=":material/download_done:", key="lab-import-go"):
            try:
                actions.bring(file.getvalue(), name)
            except (InputError, OSError) as error:
                st.error(f"{widgets.escaped(str(error))}.", icon=":material/error:")
            else:
                state.put(checkpoint=name)
                st.rerun()


def removing() -> None:
    """Draw the user's own checkpoints, each of which can be removed and brought back."""
    place: Path | None = state.recall(_REMOVED)
    if place is not None and place.exists():
        name = place.name.rpartition("~")[0]
        with st.container(horizontal=True, vertical_alignment="center", key="lab-removed"):
            st.info(f"The checkpoint “{widgets.escaped(name)}” was removed.",
                    icon=":material/delete:")  # fmt: skip
            st.button("Undo", icon=":material/undo:", key="lab-unremove", on_click=lab.attempt,
                      args=(lambda: from_trash(place),))  # fmt: skip
    mine = locations.removable()
    if not mine:
        return
    with st.expander("Your checkpoints", icon=":material/inventory_2:"):
        for name, folder in mine.items():
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{widgets.escaped(name)}**", width=320)
                st.button("Remove", icon=":material/delete:", key=f"lab-remove-{name}",
                          on_click=lab.attempt, args=(functools.partial(_remove, folder),),
                          help="it can be undone")  # fmt: skip


def _remove(folder: Path) -> None:
    who.require(who.Right.CHECKPOINTS)
    who.require_own(folder, "checkpoint")
    state.remember(_REMOVED, to_trash(folder))
    if state.get("checkpoint") == folder.name:
        state.put(checkpoint="")


def _promote(job: Job, name: str, notes: str, everybody: bool) -> None:
    actions.promote(job, name, notes, everybody)
    state.put(checkpoint=name)
    state.remember(_PROMOTED, job.name)
