"""The shared embedding: one table, a part for each field."""

import pytest
import torch

from aesm2.layers.embedding import MISSING, UNSEEN, FieldEmbedding, rows_summed


def test_fields_are_looked_up_in_their_own_part_and_concatenated() -> None:
    embedding = FieldEmbedding([3, 2, 4], dim=2)
    with torch.no_grad():
        embedding.weight.copy_(torch.arange(18.0).view(9, 2))
    x = embedding(torch.tensor([[0, 1, 3], [2, 0, 0]]))
    assert x.tolist() == [[0, 1, 8, 9, 16, 17], [4, 5, 6, 7, 10, 11]]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_any_integer_type_is_an_index(dtype: torch.dtype) -> None:
    embedding = FieldEmbedding([3, 3], dim=1)
    x = embedding(torch.tensor([[2, 1]], dtype=dtype))
    assert torch.equal(x[0], embedding.weight[[2, 4], 0])


def test_missing_and_unseen_start_at_the_origin_and_values_do_not() -> None:
    embedding = FieldEmbedding([3, 4], dim=5)
    for value in (MISSING, UNSEEN):
        assert not embedding(torch.tensor([[value, value]])).any()
    assert embedding(torch.tensor([[2, 3]])).ne(0).all()


def test_only_the_rows_looked_up_get_a_gradient() -> None:
    embedding = FieldEmbedding([3, 3], dim=2)
    embedding(torch.tensor([[0, 2], [0, 1]])).sum().backward()
    assert embedding.weight.grad[:, 0].tolist() == [2.0, 0.0, 0.0, 0.0, 1.0, 1.0]


def test_the_offsets_are_no_part_of_the_state() -> None:
    assert list(FieldEmbedding([3, 3], dim=2).state_dict()) == ["weight"]


def test_without_placeholders_a_field_of_one_value_is_enough() -> None:
    embedding = FieldEmbedding([1, 1], dim=2, placeholders=False)
    assert embedding(torch.tensor([[0, 0]])).ne(0).all()


@pytest.mark.parametrize("dim", [1, 4, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_summed_row_by_row(dim: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(dim)
    values = torch.randn(40, dim, generator=generator, dtype=dtype)
    index = torch.randint(7, (40,), generator=generator)
    wanted = torch.zeros(9, dim, dtype=torch.float64)
    for value, row in zip(values, index.tolist(), strict=True):
        wanted[row] += value.double()
    for given in (values, values.t().contiguous().t()):
        torch.testing.assert_close(rows_summed(given, index, 9), wanted.to(dtype))


def test_numbers_are_needed_where_they_were_promised() -> None:
    embedding = FieldEmbedding([3, 3], dim=2, numbers=(1,))
    with pytest.raises(ValueError, match="needs 1 columns of numbers, found 2"):
        embedding(torch.zeros(1, 2, dtype=torch.int64), torch.zeros(1, 2))
