"""The Training Lab: several runs of one configuration, over seeds and values of one field."""

import streamlit as st

from aesm2.config import Config, parse
from aesm2.errors import InputError
from app import state, widgets
from app.lab import form
from app.lab import page as lab

MOST = 24  # runs queued at once
NOTHING = "nothing"


def planned(dataset: str, config: Config) -> dict[str, Config] | None:
    """Draw name, seeds and what to vary; return the runs by name, None, and why, if none can be."""
    values = config.model_dump(mode="json")
    fields = {field.key: field for field in form.numbers(values)}
    titles = {NOTHING: NOTHING} | {key: _title(field) for key, field in fields.items()}
    with st.container(horizontal=True, vertical_alignment="bottom", key="lab-sweep"):
        free = _free(dataset)
        called = st.text_input("Name", free, key=f"lab-name-{free}", width=200)
        seeds = st.text_input("Seeds", key=state.seed("lab-seeds", "0"), width=110,
                              help="one run a seed: 0, or 0, 1, 2")  # fmt: skip
        varied = widgets.pick("Vary", "lab-vary", list(titles), NOTHING, titles.__getitem__,
                              width=220)  # fmt: skip
        text = ""
        if varied != NOTHING:
            text = st.text_input("Values", key=state.seed(f"lab-values-{varied}", ""), width=180,
                                 placeholder="one run a value: 0, 0.001")  # fmt: skip
    if varied != NOTHING and not _split(text):
        st.info("Name the values to try, with commas between them: one run each.",
                icon=":material/info:")  # fmt: skip
        return None
    try:
        return _runs(called.strip(), _seeds(seeds), fields.get(varied), text, config)
    except InputError as error:
        st.error(f"{widgets.escaped(str(error))}.", icon=":material/error:")
        return None


def _runs(
    called: str, seeds: list[int], field: form.Field | None, text: str, config: Config
) -> dict[str, Config]:
    found = {}
    varied = [("", None)] if field is None else [(v, _value(v, field)) for v in _split(text)]
    for spelt, value in varied:
        for seed in seeds:
            values = config.model_dump(mode="json")
            values["training"]["seed"] = seed
            if field is not None:
                field.write(values, value)
            parts = [called]
            parts += [f"{field.key}{spelt}"] if field is not None else []
            parts += [f"seed{seed}"] if len(seeds) > 1 else []
            found["-".join(parts)] = parse(Config, values, "the form")
    if len(found) > MOST:
        raise InputError(f"these are {len(found)} runs; at most {MOST} can be queued at once")
    return found


def _seeds(text: str) -> list[int]:
    parts = _split(text)
    if not parts or not all(part.isdecimal() and len(part) < 19 for part in parts):
        raise InputError("Seeds are whole numbers with commas between them: 0, 1, 2")
    return [int(part) for part in parts]


def _split(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _value(text: str, field: form.Field) -> float:
    try:
        number = float(text)
    except ValueError:
        raise InputError(f"“{text}” is no number for {field.label}") from None
    if not field.least <= number <= field.most:
        raise InputError(f"{field.label} is from {field.least:g} to {field.most:g}, not {text}")
    return int(number) if number == int(number) else number


def _title(field: form.Field) -> str:
    group = field.key.partition("-")[0] if "-" in field.key else ""
    return f"{group}: {field.label}" if group else field.label


def _free(dataset: str) -> str:
    """Return a name that no run has yet."""
    taken = {job.name for job in lab.lab().jobs()}  # others' too
    names = (f"{dataset}-{i}" for i in range(1, 10_000))
    return next(n for n in names if not any(t == n or t.startswith(f"{n}-") for t in taken))
