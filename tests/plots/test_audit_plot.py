"""The figure of an audit by its values."""

import numpy as np
import pandas as pd
import pytest

from aesm2.plots.audit import LEAST, MOST, audit_figure, audit_words


def findings(differences: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "equation": range(1, len(differences) + 1), "quantity": "q", "layer": "a.1", "task": "",
            "audit": "1", "model": "2", "difference": differences, "where": "row 3",
            "ok": [d <= 1e-5 for d in differences],
        }
    )  # fmt: skip


def test_marks_stand_at_their_differences() -> None:
    figure = audit_figure(findings([0.0, 1e-7, 0.5, np.inf]), "a stamp")
    agrees, differs = figure.data
    assert list(agrees.x) == [1, 2]
    assert list(agrees.y) == pytest.approx([LEAST, 1e-7])
    assert list(differs.y) == pytest.approx([0.5, MOST])
    assert differs.marker.symbol != agrees.marker.symbol
    assert figure.layout.shapes[0].y0 == 1e-5
    assert figure.layout.yaxis.range[1] > np.log10(MOST)
    assert "row 3" in agrees.text[0]


def test_words() -> None:
    assert audit_words(findings([0.0, 2e-7])).endswith("The largest difference is 2.0e-07.")
    assert "Beyond the tolerance: Eq. 2, 3." in audit_words(findings([0.0, 1.0, np.inf]))
