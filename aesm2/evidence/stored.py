"""What a folder of evidence must hold to be read: its manifest's values, its tables' columns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ConfigDict, Field

from aesm2.config import Strict, parse
from aesm2.data.tables import read_table
from aesm2.errors import InputError

_MEASURED = (
    "variant:t seed:n scope:t scenario:t task:t n:n positives:n rate:n mean_prediction:n auc:n"
    " auc_low:n auc_high:n log_loss:n calibration_error:n truth_auc:n truth_log_loss:n"
)
_COMPARED = (
    "scope:t scenario:t task:t difference:n p:n low:n high:n p_adjusted:n reference:t variant:t"
)
_CURVES = "variant:t seed:n step:n layer:t role:t value:n"
COLUMNS = {  # of each table, those that are read: name:t for text, name:n for numbers
    "ablation": _MEASURED, "ablation_comparisons": _COMPARED, "ablation_curves": _CURVES,
    "comparisons": _COMPARED, "curves": _CURVES, "runs": _MEASURED,
    "costs": "variant:t parameters:n embedding_parameters:n multiply_adds:n rows_per_second:n",
    "distances": "variant:t seed:n a:t b:t distance:n",
    "replay": "reference:t variant:t seed:n scenario:t metric:t lists:n baseline:n value:n"
    " uplift:n low:n high:n ceiling:n",
    "transfer": "train:t test:t task:t seed:n n:n positives:n auc:n truth_auc:n",
    "trials": "variant:t trial:n learning_rate:n l2:n auxiliary:n noise_scale:n score:n steps:n"
    " seconds:n chosen:n",
    "usage": "variant:t seed:n layer:t target:t path:t expert:n rows:n specific:n shared:n"
    " weight:n",
    "regimes": "factor:t value:n base:n variant:t seed:n scope:t task:t truth_auc:n",
}  # fmt: skip


class _Loose(Strict):
    model_config = ConfigDict(frozen=True, extra="allow", strict=True)


class _Made(_Loose):
    command: str
    commit: str
    machine: str


class _Dataset(_Loose):
    name: str
    title: str
    provenance: str
    licence: str


class _Rows(_Loose):
    train: int = Field(ge=0)
    validation: int = Field(ge=0)
    test: int = Field(ge=0)


class _Level(_Loose):
    name: str
    title: str
    scenarios: list[str]


class _Search(_Loose):
    trials: int


class _Study(_Loose):
    seeds: int
    search: _Search


class _Manifest(_Loose):
    name: str
    dataset: _Dataset
    rows: _Rows
    levels: list[_Level]
    tasks: list[str]
    study: _Study
    tables: dict[str, _Made]


class _Map(_Loose):
    plan: dict[str, Any]
    made: _Made


def check_manifest(values: Mapping[str, Any], file: Path) -> None:
    """Raise InputError where a folder's manifest lacks what its readers need."""
    parse(_Manifest, dict(values), str(file))
    unknown = next((name for name in values["tables"] if name not in COLUMNS), None)
    if unknown is not None:
        raise InputError(f"{file}: tables: there is no table '{unknown}' in this version")


def check_map(values: Mapping[str, Any], file: Path) -> None:
    """Raise InputError where a regime map's manifest lacks what its readers need."""
    parse(_Map, dict(values), str(file))


def empty(name: str) -> pd.DataFrame:
    """Return a table without lines that `read_stored` reads back."""
    columns = (own.split(":") for own in COLUMNS[name].split())
    return pd.DataFrame({c: pd.Series(dtype=str if kind == "t" else float) for c, kind in columns})


def read_stored(folder: Path, name: str) -> pd.DataFrame:
    """Read a table of evidence; InputError where it lacks a column, or holds other kinds."""
    file = folder / f"{name}.parquet"
    table = read_table(file)
    for column, kind in (own.split(":") for own in COLUMNS[name].split()):
        if column not in table.columns:
            raise InputError(f"{file}: lacks the column '{column}'; compute it again")
        own = table[column]
        text = pd.api.types.is_string_dtype(own) and not pd.api.types.is_numeric_dtype(own)
        if text != (kind == "t") or (kind == "n" and not pd.api.types.is_numeric_dtype(own)):
            raise InputError(f"{file}: '{column}' holds {own.dtype}; compute it again")
        if kind == "t" and own.isna().any():
            raise InputError(f"{file}: '{column}' lacks a value; compute it again")
    return table
