"""What is done another way on a GPU gives what the plain expression gives, on any device."""

import pytest
import torch
from torch import Tensor

from aesm2.layers import on_gpu

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
on_each = pytest.mark.parametrize("device", DEVICES)


def normal(*shape: int, device: str, dtype: torch.dtype = torch.float64) -> Tensor:
    seed = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=seed, dtype=dtype).to(device).requires_grad_()


def same(found: Tensor, wanted: Tensor, *inputs: Tensor) -> None:
    """Equal values, and equal gradients of something that weighs every number differently."""
    torch.testing.assert_close(found, wanted)
    weigh = torch.linspace(-1, 2, found.numel(), dtype=found.dtype, device=found.device)
    own, expected = (
        torch.autograd.grad((x.flatten() * weigh).sum(), inputs) for x in (found, wanted)
    )
    for a, b in zip(own, expected, strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b)


@on_each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("dim", range(1, 10))
def test_rows_of_a_table_of_any_width_are_taken(device: str, dtype: torch.dtype, dim: int) -> None:
    table = normal(50, dim, device=device).detach().to(dtype)
    index = torch.tensor([49, 0, 7, 7, 3], device=device)
    assert torch.equal(on_gpu.taken(table, index), table[index])
    assert on_gpu.taken(table, index[:0]).shape == (0, dim)


@on_each
@pytest.mark.parametrize("dim", [1, 3, 8])
def test_rows_of_one_index_are_summed(device: str, dim: int) -> None:
    values = normal(4000, dim, device=device).detach()
    index = (torch.arange(4000, device=device) * 7919) % 37
    wanted = torch.stack([values[index == row].sum(0) for row in range(40)])
    torch.testing.assert_close(on_gpu.rows_summed(values, index, 40), wanted)


@on_each
@pytest.mark.parametrize("rows", [0, 1, 63, 4096, 8192, 8200])
def test_products_of_few_matrices_over_many_rows(device: str, rows: int) -> None:
    x, weight = normal(2, rows, 5, device=device), normal(2, 3, 5, device=device)
    same(on_gpu.products(x, weight), x @ weight.transpose(1, 2), x, weight)
    whole = x[:1].expand(2, -1, -1)
    same(on_gpu.products(whole, weight), whole @ weight.transpose(1, 2), x, weight)


@on_each
def test_products_are_of_half_precision_under_autocast(device: str) -> None:
    x = normal(2, 512, 5, device=device, dtype=torch.float32)
    weight = normal(2, 3, 5, device=device, dtype=torch.float32)
    with torch.autocast(device, torch.bfloat16):
        found = on_gpu.products(x, weight)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), x @ weight.transpose(1, 2), rtol=0.02, atol=0.02)
    found.float().sum().backward()
    assert x.grad is not None and x.grad.dtype == torch.float32


@on_each
@pytest.mark.parametrize("m", [1, 3])
@pytest.mark.parametrize("rows", [0, 1, 70])
def test_outputs_are_mixed(device: str, m: int, rows: int) -> None:
    weights, outputs = normal(m, rows, 4, device=device), normal(rows, 4, 6, device=device)
    wanted = torch.stack([(own.unsqueeze(-1) * outputs).sum(1) for own in weights])
    same(on_gpu.mixed(weights, outputs), wanted, weights, outputs)
