"""Users, items and queries: how they are described, and how often they are drawn."""

import numpy as np
import pytest

from aesm2.simulation.population import ITEM, QUERY, USER, Entities, populate
from aesm2.simulation.presets import PRESETS, Preset

PRESET = PRESETS["alipay"].model_copy(update={"users": 3000, "items": 2000, "queries": 500})


@pytest.fixture(scope="module")
def made() -> tuple[Entities, Entities, Entities]:
    return populate(PRESET, 0)


def test_a_cell_is_a_category_and_a_band(made: tuple[Entities, Entities, Entities]) -> None:
    for kind, entities in zip((USER, ITEM, QUERY), made, strict=True):
        table = entities.table
        assert list(table[f"{kind.name}_id"]) == list(range(len(table)))
        for row in range(0, len(table), 97):
            band = sum(table[kind.number][row] >= edge for edge in kind.edges)
            wanted = table[kind.category][row] * (len(kind.edges) + 1) + band
            assert entities.cell[row] == wanted
        assert entities.cell.max() < kind.cells


def test_a_draw_is_the_inverse_of_the_cumulative_share(
    made: tuple[Entities, Entities, Entities],
) -> None:
    users = made[0]
    rng = np.random.default_rng(5)
    path, uniform = rng.integers(0, 4, 300), rng.random(300)
    wanted = [int((users.cumulative[p] <= u).sum()) for p, u in zip(path, uniform, strict=True)]
    assert users.draw(path, uniform).tolist() == wanted
    ends = users.draw(np.array([0, 3, 0, 3]), np.array([0.0, 0.0, 1 - 1e-16, 1 - 1e-16]))
    assert ends.tolist() == [0, 0, 2999, 2999]


def test_draws_come_as_often_as_their_share(made: tuple[Entities, Entities, Entities]) -> None:
    for entities in made:
        rows = 200_000
        uniform = np.random.default_rng(6).random(rows)
        drawn = entities.cell[entities.draw(np.full(rows, 2), uniform)]
        found = np.bincount(drawn, minlength=entities.kind.cells) / rows
        share = entities.cell_share[2]
        assert np.abs(found - share).max() < 5 * np.sqrt(share.max() / rows)
        assert share.sum() == pytest.approx(1)


def test_frequencies_have_a_long_tail(made: tuple[Entities, Entities, Entities]) -> None:
    """One in a hundred users makes a fifth of the traffic and more, half of them less than that."""
    share = np.sort(np.diff(made[0].cumulative[0], prepend=0))[::-1]
    assert share[:30].sum() > 0.2
    assert share[1500:].sum() < 0.2


def test_items_of_a_domain_appear_in_no_other(made: tuple[Entities, Entities, Entities]) -> None:
    """Paths are HP → RI, HP → BS, VP → RI, VP → BS; items belong to a domain."""
    seen = np.diff(made[1].cumulative, axis=1, prepend=0) > 0
    assert (seen[0] == seen[2]).all()
    assert (seen[1] == seen[3]).all()
    assert not (seen[0] & seen[1]).any()
    assert (seen[0] | seen[1]).all()
    assert (np.diff(made[0].cumulative, axis=1, prepend=0) > 0).all()  # users are everywhere


def test_the_shift_makes_scenarios_differ() -> None:
    def spread(preset: Preset) -> float:
        share = populate(preset, 0)[0].cell_share
        return float(np.abs(share - share.mean(0)).sum())

    assert spread(PRESET.model_copy(update={"shift": 0.0})) == pytest.approx(0, abs=1e-9)
    assert spread(PRESET) > 0.5
