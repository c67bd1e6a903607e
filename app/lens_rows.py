"""Which row to look at: the source of rows, a filter, a table to pick from."""

import hashlib
import re

import numpy as np
import pandas as pd
import streamlit as st

from aesm2.data.description import Description
from aesm2.errors import InputError, nearest
from aesm2.evaluation import SEPARATOR
from app import cache, lens, state, upload, widgets

PAGE = 200  # rows of the table; more would slow every rerun
SPLITS = {"test": "Test split", "validation": "Validation split"}
_CONDITION = re.compile(r"([^\s=<>!,]+)\s*(!=|>=|<=|=|>|<)\s*(\"[^\"]*\"|[^\s,]+)|([^\s,]+)")
_COMPARE = {
    "=": np.equal, "!=": np.not_equal, ">": np.greater, "<": np.less, ">=": np.greater_equal,
    "<=": np.less_equal,
}  # fmt: skip


def source(opened: cache.Opened) -> cache.RowSet | None:
    """Draw the choice of where rows come from; None, said kindly, where there are none."""
    example = _dataset_rows(opened)
    uploads = upload.uploaded()
    options = (list(SPLITS) if example is not None else []) + list(uploads)
    wanted = state.get("rows")
    lost = wanted.startswith(upload.PREFIX) and wanted not in uploads
    if wanted and wanted not in options and not lost:
        state.put(rows="")
    now = wanted if wanted in options else (options[0] if options else None)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if options and now is not None:
            st.selectbox(
                "Rows", options, width=260,
                format_func=lambda name: SPLITS.get(name) or f"Uploaded: {uploads[name]}",
                **state.bind("rows", now),
            )  # fmt: skip
        with st.popover("Upload rows", icon=":material/upload:"):
            upload.panel(opened.checkpoint, None if example is None else example.frame)
    if lost:
        st.info(
            "This address names rows that were uploaded in another session. Uploads are never"
            " stored, so an address cannot bring them back: upload the file again"
            + (", or go on with the rows below." if options else "."),
            icon=":material/upload_file:",
        )
    if now is None:
        return None
    if now in uploads:
        return upload.rows(opened.checkpoint, now)
    return example if now == "test" else cache.rows(opened.checkpoint, "validation")


def stamp(rows: cache.RowSet) -> str:
    """Return where the rows come from, for charts."""
    if rows.id.startswith(upload.PREFIX):
        return f"uploaded rows: {rows.title}; the model is trained on {widgets.stamp()}"
    return widgets.stamp()


def picked(opened: cache.Opened, rows: cache.RowSet) -> int | None:
    """Draw search and table; return the position of the row of the view, None where there is none.

    An id that is not there, or a filter that leaves nothing, is said with what to do about it.
    """
    described = opened.checkpoint.description
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Find rows", placeholder="a row's id, or user_id=123 duration_ms>=60000",
            help="A row's id, or conditions on columns (=, !=, <, <=, >, >=), all of which must"
            " hold. A value with spaces goes in quotes; `missing` finds empty cells.",
            icon=":material/search:", **state.bind("q", state.get("q")),
        )  # fmt: skip
        found = filtered(rows, described, widgets.current_scenarios(), state.get("q"))
        st.button(
            "Random row", icon=":material/casino:", disabled=len(found) == 0, key="lens-random",
            on_click=_pick_random, args=(rows.frame.index, found),
        )  # fmt: skip
    if len(found) == 0:
        _nothing_found(described)
        return None
    _table(opened, rows, found)
    return _position(rows, found)


def filtered(
    rows: cache.RowSet, described: Description, path: tuple[int | None, ...], query: str
) -> np.ndarray:
    """Return the positions of the rows of a scenario path that satisfy a query.

    path: scenario at each level, None for all. InputError for a column that is not there.
    """
    keep = np.ones(len(rows.frame), bool)
    scenarios = rows.batch.scenarios.numpy()
    for level, scenario in enumerate(path):
        if scenario is not None:
            keep &= scenarios[:, level] == scenario
    for column, sign, value, word in _CONDITION.findall(query):
        keep &= (
            _has_id(rows.frame, word)
            if word
            else _holds(rows.frame, described, column, sign, value)
        )
    return np.flatnonzero(keep)


def overview(
    opened: cache.Opened, rows: cache.RowSet, positions: np.ndarray, query: str
) -> pd.DataFrame:
    """Return one line a row: id, scenarios, labels, predictions and a few features."""
    described = opened.checkpoint.description
    predicted = cache.probabilities(opened, rows)[positions]
    scenarios = rows.batch.scenarios.numpy()[positions]
    names = [level.scenarios for level in described.level]
    table = pd.DataFrame({"row": rows.frame.index[positions].astype(str)})
    table["scenario"] = [
        SEPARATOR.join(n[s] for n, s in zip(names, path, strict=True)) for path in scenarios
    ]
    for i, task in enumerate(described.task):
        if rows.batch.labels is not None:
            table[task.label] = rows.batch.labels.numpy()[positions, i].astype(int)
        table[f"p{task.name.upper()}"] = 100.0 * predicted[:, i]
    for column in _columns_shown(described, rows.frame, query):
        table[column] = [lens.spell(v) for v in rows.frame[column].iloc[positions].tolist()]
    return table


def _table(opened: cache.Opened, rows: cache.RowSet, found: np.ndarray) -> None:
    pages = -(-len(found) // PAGE)
    page = _page(pages)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{len(found):,} of {len(rows.frame):,} rows · click one to look at it")
        if pages > 1:
            st.number_input(
                f"Page of {pages}", 1, pages, width=130, **state.bind("rows-page", page),
            )  # fmt: skip
    shown = found[(page - 1) * PAGE : page * PAGE]
    query = state.get("q")
    wanted = f"{opened.checkpoint.hash}{rows.id}{page}{query}{widgets.current_scenarios()}"
    key = "lens-rows-" + hashlib.sha256(wanted.encode()).hexdigest()[:12]
    described = opened.checkpoint.description
    event = st.dataframe(
        overview(opened, rows, shown, query),
        hide_index=True,
        height=230,
        key=key,
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            f"p{t.name.upper()}": st.column_config.NumberColumn(format="%.2f %%", help=t.title)
            for t in described.task
        },
    )
    chosen = list(event.selection.rows)
    if lens.fresh("rows", [key, *chosen] if chosen else []):
        state.put(row=str(rows.frame.index[shown[chosen[0]]]))


def _position(rows: cache.RowSet, found: np.ndarray) -> int | None:
    wanted = state.get("row")
    if not wanted:
        state.remember("rows-shown", rows.id)
        return int(found[0])
    places = np.flatnonzero(_has_id(rows.frame, wanted))
    shown = state.recall("rows-shown")
    state.remember("rows-shown", rows.id)
    if len(places) == 0 and shown not in (None, rows.id):  # the user has just changed the source
        state.put(row="")
        return int(found[0])
    if len(places) == 0:
        st.info(
            f"There is no row “{wanted}” in these rows. Choose another source of rows above, or"
            " go on with the first row.", icon=":material/search_off:",
        )  # fmt: skip
        st.button("Show the first row", on_click=state.put, kwargs={"row": ""}, key="lens-first")
        return None
    if places[0] not in found:
        st.caption(f":material/filter_alt_off: Row {wanted} is outside the filter above.")
    return int(places[0])


def _nothing_found(described: Description) -> None:
    levels = [f"s-{level.name}" for level in described.level]
    parts = [f"{lv.title or lv.name} = {state.get(f's-{lv.name}')}" for lv in described.level
             if state.get(f"s-{lv.name}")]  # fmt: skip
    if state.get("q"):
        parts.append(f"“{state.get('q')}”")
    st.info(f"No row has {' and '.join(parts) or 'these values'}.", icon=":material/filter_alt:")
    st.button(
        "Clear the filter", type="primary", key="lens-clear", on_click=state.put,
        kwargs=dict.fromkeys([*levels, "q", "rows-page"], ""),
    )  # fmt: skip


def _dataset_rows(opened: cache.Opened) -> cache.RowSet | None:
    try:
        return cache.rows(opened.checkpoint, "test")
    except InputError as error:
        st.warning(f"{str(error)[:1].upper()}{str(error)[1:]}.", icon=":material/folder_off:")
        return None


def _pick_random(index: pd.Index, found: np.ndarray) -> None:
    state.put(row=str(index[np.random.default_rng().choice(found)]))


def _page(pages: int) -> int:
    wanted = state.get("rows-page", "1")
    return min(max(int(wanted), 1), pages) if wanted.isdigit() else 1


def _columns_shown(described: Description, frame: pd.DataFrame, query: str) -> list[str]:
    """Return the first two features of each group, then those that the query names."""
    few = [f.column or n for g in described.features.values() for n, f in list(g.items())[:2]]
    asked = [_column(described, c) for c, *_ in _CONDITION.findall(query) if c]
    return [c for c in dict.fromkeys([*few, *asked]) if c in frame.columns]


def _column(described: Description, name: str) -> str:
    feature = described.fields.get(name)
    return name if feature is None else feature.column or name


def _has_id(frame: pd.DataFrame, text: str) -> np.ndarray:
    """Mark the row that is called `text`."""
    index = frame.index
    if pd.api.types.is_integer_dtype(index):
        same = np.asarray(index == int(text)) if re.fullmatch(r"-?\d{1,18}", text) else None
        return np.zeros(len(frame), bool) if same is None else same
    return np.asarray(index.astype(str) == text)


def _holds(
    frame: pd.DataFrame, described: Description, name: str, sign: str, value: str
) -> np.ndarray:
    column = _column(described, name)
    if column not in frame.columns:
        known = [*described.fields, *(level.column for level in described.level)]
        raise InputError(f"the search names '{name}', which is no column{nearest(name, known)}")
    cells, value = frame[column], value.strip('"')
    if value == "missing" and sign in ("=", "!="):
        return np.asarray(cells.isna() if sign == "=" else cells.notna())
    present = cells.notna().to_numpy()
    if pd.api.types.is_numeric_dtype(cells):
        try:
            wanted = float(value)
        except ValueError:
            raise InputError(
                f"the search compares '{name}' with “{value}”; it needs a number"
            ) from None
        numbers = cells.to_numpy(np.float64, na_value=np.nan)
        return np.asarray(_COMPARE[sign](numbers, wanted)) & present
    if sign not in ("=", "!="):
        raise InputError(f"the search orders '{name}', which holds text: use = or !=")
    return np.asarray(_COMPARE[sign](cells.astype(str).to_numpy(object), value)) & present
