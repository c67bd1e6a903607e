"""Fine-grained scenarios are numbered as NumPy numbers the cells of an array."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from aesm2.layers.paths import path_of


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_every_combination_has_its_own_number(sizes: list[int]) -> None:
    combinations = torch.from_numpy(np.argwhere(np.ones(sizes)))
    assert path_of(combinations, sizes).tolist() == list(range(int(np.prod(sizes))))


def test_no_rows_have_no_path() -> None:
    assert path_of(torch.zeros(0, 2, dtype=torch.long), [2, 3]).shape == (0,)
