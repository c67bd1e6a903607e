"""Transfer and use as a study's tables have them, by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from aesm2.errors import InputError
from aesm2.evidence.related import matrix, published_cells, related, transfer_cells
from tests.evidence import made


def test_cells_are_means_over_seeds() -> None:
    cells = transfer_cells(made.transfer()).set_index(["task", "train", "test"])
    for train, own in made.TRANSFER.items():
        for test, auc in zip(made.TRANSFER, own, strict=True):
            assert cells.loc[("ctr", train, test), "mean"] == pytest.approx(auc)
            assert cells.loc[("ctr", train, test), "sd"] == pytest.approx(math.sqrt(2))
    gone = cells.loc[("ctcvr", "fr", "it")]
    assert math.isnan(gone["mean"])
    assert gone["seeds"] == 0
    assert gone[["n", "positives"]].tolist() == [300, 40]


def test_the_matrix_keeps_undefined_columns_and_the_order() -> None:
    grid = matrix(transfer_cells(made.transfer()), "ctcvr")
    assert grid.index.tolist() == grid.columns.tolist() == ["fr", "it", "es"]
    assert grid["it"].isna().all()
    assert grid.loc["it", "fr"] == pytest.approx(64)


def test_the_papers_own() -> None:
    grid = matrix(published_cells("ctr"), "ctr")
    assert grid.loc["HP → RI", "HP → RI"] == 90.61
    assert grid.loc["VP → BS", "HP → BS"] == 64.91
    assert matrix(published_cells("ctcvr"), "ctcvr").loc["VP → BS", "VP → BS"] == 74.04


def test_relations_by_hand() -> None:
    """Half of what both directions lose: in fr 16 points with it and 8 with es, and so on."""
    found = related(made.transfer(), made.distances(), "ctr", "aesm2")
    assert found.scenarios == ("fr", "it", "es")
    wanted = [[0, (16 + 15) / 2, (8 + 8) / 2], [15.5, 0, (18 + 23) / 2], [8, 20.5, 0]]
    assert found.transfer == pytest.approx(np.array(wanted))
    assert found.use == pytest.approx(np.array([[0, 0.7, 0.2], [0.7, 0, 0.8], [0.2, 0.8, 0]]))
    assert found.distances.rho == pytest.approx(1)
    assert found.distances.p == pytest.approx(1 / 6)
    assert found.tanglegram is not None
    assert found.tanglegram.crossings == 0


def test_undefined_scenarios_are_left_out() -> None:
    found = related(made.transfer(), made.distances(), "ctcvr", "aesm2")
    assert found.scenarios == ("fr", "es")
    lost: pd.DataFrame = made.transfer().query("train != 'es'")
    with pytest.raises(InputError, match="expected 2 or more"):
        related(lost, made.distances(), "ctcvr", "aesm2")


def test_a_variant_that_selects_nothing() -> None:
    with pytest.raises(InputError, match="no distances of mmoe"):
        related(made.transfer(), made.distances(), "ctr", "mmoe")
