"""Columns that tell a label: known only after the impression, or suspiciously good."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from aesm2.data.draft.labels import contains
from aesm2.data.draft.names import SCENARIO, says
from aesm2.data.draft.profile import Looked
from aesm2.data.draft.sample import spread
from aesm2.metrics import auc

TELLING = 0.95  # a column that alone reaches this AUC for a label is suspected to be its effect
SURE = 0.9  # and whose AUC is above this with 95 % confidence
POSITIVES = 10  # fewer tell nothing
VALUES = 20  # at most as many values are ranked by their rates; other columns as numbers
ROWS = 20_000  # rows that are ranked


def leaks(looked: Looked, labels: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Columns that tell a label → why they are suspected; labels: 0, 1 or NaN, (rows,) each."""
    found = {}
    rarest = dict(sorted(labels.items(), key=lambda pair: np.nansum(pair[1])))
    for name in looked.profiles:
        reason = "" if name in labels else _reason(looked, name, rarest)
        if reason:
            found[name] = reason
    return found


def _reason(looked: Looked, name: str, labels: Mapping[str, np.ndarray]) -> str:
    column, profile = looked.frame[name], looked.profiles[name]
    filled = _filled(column, profile.form)
    for label, flag in labels.items():
        if contains(flag, filled):
            return f"filled only where {label} is 1: known only after the impression"
    if profile.form in ("lists", "empty", "date") or says(SCENARIO, name):
        return ""
    if profile.distinct > VALUES and profile.form != "numbers":
        return ""
    rows = spread(len(column), ROWS)
    for label, flag in labels.items():
        if _tells(column.iloc[rows], flag[rows], profile.distinct <= VALUES):
            return f"tells {label} almost perfectly: is it known before the impression?"
    return ""


def _filled(column: pd.Series, form: str) -> np.ndarray:
    """1 where a column holds something, not missing, 0 or false; (rows,) float64."""
    filled = column.notna()
    if form in ("numbers", "flag") and pd.api.types.is_numeric_dtype(column):
        filled &= column.fillna(0) != 0
    return filled.to_numpy(np.float64)


def _tells(column: pd.Series, flag: np.ndarray, few: bool) -> bool:
    """Whether a column alone ranks a label almost perfectly: by its rates, or as numbers."""
    known = ~np.isnan(flag)
    values, label = column[known], pd.Series(flag[known])
    if few:
        codes, kinds = pd.factorize(values, use_na_sentinel=False)
        scores = label.groupby(codes).mean().reindex(range(len(kinds))).to_numpy()[codes]
    else:
        scores = values.to_numpy(np.float64, na_value=np.nan)
        if np.isnan(scores).all():
            return False
        scores = np.nan_to_num(scores, nan=np.nanmin(scores))
    area = auc(label.to_numpy(), scores)
    value, low = max((area.value, area.low), (1 - area.value, 1 - area.high))
    unsure = low < SURE or label.sum() < POSITIVES  # a perfect ranking has no interval
    return value >= TELLING and not unsure
