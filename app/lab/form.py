"""The Training Lab: the form of a configuration, each field with what it is in the paper."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import streamlit as st

from aesm2.config import Config, parse
from aesm2.errors import InputError
from app import state, widgets

Path = tuple[str | int, ...]
_PENDING = "lab-pending"


@dataclass(frozen=True)
class Field:
    """One number of a configuration. path: keys from the top. help: what it is, with its source."""

    path: Path
    label: str
    least: float
    most: float
    help: str

    @property
    def key(self) -> str:
        """Short name, e.g. "learning_rate" or "scenario-experts"."""
        return "-".join(map(str, self.path[1:]))

    def read(self, values: Any) -> Any:
        """Return its value in a configuration, None where that has no such field."""
        for key in self.path:
            try:
                values = values[key]
            except (KeyError, IndexError, TypeError):
                return None
        return values

    def write(self, values: Any, value: float | None) -> None:
        """Put a value into a configuration."""
        for key in self.path[:-1]:
            values = values[key]
        values[self.path[-1]] = value


EVERY = Field(("training", "evaluate_every"), "Measure every", 0, 100_000,
              "steps between two measurements on validation rows; 0: once an epoch")  # fmt: skip
TRAINING = (
    Field(("training", "epochs"), "Epochs", 1, 1000, "passes over the training rows, at most"),
    Field(("training", "batch_size"), "Batch", 16, 65536, "rows a step of the optimizer"),
    Field(("training", "learning_rate"), "Learning rate", 1e-6, 1.0, "of Adam (§4.1)"),
    Field(("training", "patience"), "Patience", 1, 1000,
          "measurements without a better one until it ends"),
    EVERY,
)  # fmt: skip
LOSS = (
    Field(("training", "lambda_specific"), "λ specific", 0, 1, "λ_sp of Eq. 21; 0: without L_sp"),
    Field(("training", "lambda_shared"), "λ shared", 0, 1, "λ_sh of Eq. 21; 0: without L_sh"),
    Field(("training", "l2"), "γ", 0, 1, "γ of Eq. 22, weight of ‖Θ‖²"),
    Field(("model", "noise_scale"), "Noise", 0, 1,
          "Eq. 8: standard deviation over the number of experts; 0 for none"),
)  # fmt: skip
WIDTHS = (
    Field(("model", "embedding_dim"), "Embedding", 1, 256, "width of a feature's embedding (§3.1)"),
    Field(("model", "context_dim"), "Context", 1, 256,
          "width of scenario and task embeddings s and t_k (§3.1)"),
)  # fmt: skip
OF_GROUP = (
    ("layers", "layers", 1, 6, "layers of this kind that stand on each other (Fig. 3)"),
    ("experts", "experts n", 1, 64, "experts of a layer (Eq. 1)"),
    ("specific", "K specific", 0, 64, "experts chosen as specific, TopK of Eq. 10"),
    ("shared", "K shared", 0, 64, "experts chosen as shared, TopK of Eq. 12"),
    ("width", "width", 1, 1024, "output width of an expert (Eq. 2)"),
)
ABLATIONS = {
    "no-noise": ("Without noise", "sets the noise of Eq. 8 to 0"),
    "no-aux": ("Without auxiliary loss", "sets λ_sp and λ_sh of Eq. 21 to 0 (Fig. 6)"),
    "own-gate": (
        "Gates see their own scenario",
        "gate j sees the embedding of scenario j, as Eq. 16 does for tasks; not in the paper",
    ),
}


def groups(values: dict[str, Any]) -> dict[str, list[Field]]:
    """Return the fields of each line of the form."""
    found = {"Training": list(TRAINING), "Loss and noise": list(LOSS)}
    scenario = values["model"].get("scenario")
    levels = range(len(scenario)) if isinstance(scenario, list) else [None]
    for level in levels:
        title = "Scenario layers" if level is None else f"Scenario layers, level {level + 1}"
        place: Path = ("model", "scenario") if level is None else ("model", "scenario", level)
        found[title] = [_of_group(place, part) for part in OF_GROUP]
    found["Task layers"] = [_of_group(("model", "task"), part) for part in OF_GROUP]
    found["Widths"] = list(WIDTHS)
    there = {t: [f for f in fields if f.read(values) is not None or f is EVERY]
             for t, fields in found.items()}  # fmt: skip
    return {title: fields for title, fields in there.items() if fields}


def numbers(values: dict[str, Any]) -> Iterator[Field]:
    """Yield every field that a configuration has."""
    for fields in groups(values).values():
        yield from fields


def form(base: str, values: dict[str, Any]) -> Config | None:
    """Draw the fields and switches, changing `values`; None, and why, where they do not fit."""
    most = {field.key: int(field.most) for field in TRAINING}
    for key, value in (state.recall(_PENDING) or {}).items():
        state.show(f"lab-{base}-{key}", min(value, most[key]))
    state.remember(_PENDING, None)
    switched = _switches(base) if values["model"]["name"] == "aesm2" else set()
    for title, fields in groups(values).items():
        with st.container(horizontal=True, vertical_alignment="bottom", key=f"lab-line-{title}"):
            st.markdown(f"**{title}**", width=150)
            for field in fields:
                off = _off(field, switched)
                field.write(values, number(base, field, field.read(values), off))
    if "own-gate" in switched:
        values["model"]["scenario_context"] = "gate"
    try:
        return parse(Config, values, "the form")
    except InputError as error:
        st.error(f"{widgets.escaped(str(error))}.", icon=":material/error:")
        return None


def propose(**values: int) -> None:
    """Fill fields in when the form is drawn next; names are those of `Field.key`."""
    state.remember(_PENDING, values)


def _of_group(place: Path, part: tuple[str, str, float, float, str]) -> Field:
    name, label, least, most, about = part
    return Field((*place, name), label, least, most, about)


def _switches(base: str) -> set[str]:
    with st.container(horizontal=True, key="lab-ablations"):
        return {
            key for key, (label, about) in ABLATIONS.items()
            if st.toggle(label, key=state.seed(f"lab-{base}-{key}", False), help=about)
        }  # fmt: skip


def number(base: str, field: Field, now: Any, off: bool = False) -> Any:
    """Draw one field, begun at `now`; return its value, 0 where a switch turned it off."""
    whole = field is EVERY or isinstance(now, int)
    kind = int if whole else float
    shown = kind(now or 0)
    step = 1 if whole else 10.0 ** math.floor(math.log10(shown or 1e-3))
    key = state.seed(f"lab-{base}-{field.key}", shown)
    found = st.number_input(
        field.label, min(kind(field.least), shown), max(kind(field.most), shown), step=step,
        format=None if whole else "%g", key=key, help=field.help, width=136, disabled=off,
    )  # fmt: skip
    if off:
        return 0.0
    return None if field is EVERY and not found else found


def _off(field: Field, switched: set[str]) -> bool:
    return (field.key == "noise_scale" and "no-noise" in switched) or (
        field.key.startswith("lambda_") and "no-aux" in switched
    )
