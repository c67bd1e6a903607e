"""Partitioned normalisation against statistics by hand."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from aesm2.layers.partitioned_norm import EPSILON, MOMENTUM, PartitionedNorm


def norm_of(partitions: int, width: int, seed: int = 0) -> PartitionedNorm:
    """Random scales, shifts and running statistics."""
    generator = torch.Generator().manual_seed(seed)
    norm = PartitionedNorm(partitions, width).double()
    with torch.no_grad():
        for p in norm.parameters():
            p.normal_(generator=generator)
        norm.mean.normal_(generator=generator)
        norm.variance.uniform_(0.5, 2, generator=generator)
    return norm


def by_hand(norm: PartitionedNorm, x: np.ndarray, p: int, mean: float, variance: float) -> float:
    w = {name: value.detach().numpy() for name, value in norm.state_dict().items()}
    normal = (x - mean) / np.sqrt(variance + EPSILON)
    return w["scale"] * w["own_scale"][p] * normal + w["shift"] + w["own_shift"][p]


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(1, 3), st.integers(0, 1000))
def test_training_uses_the_batchs_rows_of_the_partition(
    partitions: list[int], width: int, seed: int
) -> None:
    norm, own = norm_of(4, width, seed), torch.tensor(partitions, dtype=torch.long)
    x = np.random.default_rng(seed).normal(3, 2, (len(own), width))
    found = norm.train()(torch.from_numpy(x), own).detach()
    for row, p in enumerate(partitions):
        same = x[own.numpy() == p]
        wanted = by_hand(norm, x[row], p, same.mean(0), same.var(0))
        np.testing.assert_allclose(found[row], wanted, rtol=1e-9, atol=1e-9)


def test_evaluation_uses_the_running_statistics_and_changes_nothing() -> None:
    norm = norm_of(3, 2).eval()
    before = {key: value.clone() for key, value in norm.state_dict().items()}
    x, own = torch.randn(9, 2, dtype=torch.float64), torch.arange(9) % 3
    found = norm(x, own).detach()
    for row in range(9):
        p = row % 3
        wanted = by_hand(norm, x[row].numpy(), p, norm.mean[p].numpy(), norm.variance[p].numpy())
        np.testing.assert_allclose(found[row], wanted, rtol=1e-9)
    assert all(torch.equal(before[key], value) for key, value in norm.state_dict().items())


def test_running_statistics_by_hand() -> None:
    norm = PartitionedNorm(3, 1).double().train()
    first = torch.tensor([[1.0], [3.0], [10.0]], dtype=torch.float64)
    norm(first, torch.tensor([0, 0, 1]))
    assert norm.mean[:, 0].tolist() == [2, 10, 0]  # the first batch is taken whole
    assert norm.variance[:, 0].tolist() == [2, 1, 1]  # one row, and none, leave the start
    norm(torch.tensor([[4.0], [8.0]], dtype=torch.float64), torch.tensor([0, 0]))
    assert norm.mean[:, 0].tolist() == [(2 + 6) / 2, 10, 0]
    assert norm.variance[:, 0].tolist() == [(2 + 8) / 2, 1, 1]
    assert norm.batches.tolist() == [2, 0, 0]


def test_rows_alone_leave_nothing_of_the_start_in_the_variance() -> None:
    norm, own = PartitionedNorm(1, 1).double().train(), torch.zeros(2, dtype=torch.long)
    for value in (3.0, 5.0, 4.0):
        norm(torch.tensor([[value]], dtype=torch.float64), own[:1])
    assert (norm.mean.item(), norm.variance.item()) == (4, 1)  # the last is all that is known
    norm(torch.tensor([[1.0], [3.0]], dtype=torch.float64), own)
    assert (norm.mean.item(), norm.variance.item()) == (2, 2)
    norm(torch.tensor([[6.0]], dtype=torch.float64), own[:1])
    assert (norm.mean.item(), norm.variance.item()) == ((2 + 6) / 2, 2)


def test_later_batches_move_the_running_mean_by_the_momentum() -> None:
    norm = PartitionedNorm(1, 1).double().train()
    own = torch.zeros(2, dtype=torch.long)
    for _ in range(round(1 / MOMENTUM)):
        norm(torch.zeros(2, 1, dtype=torch.float64), own)
    norm(torch.ones(2, 1, dtype=torch.float64), own)
    torch.testing.assert_close(norm.mean, torch.full_like(norm.mean, MOMENTUM))


def test_one_row_of_a_partition_and_none_are_fine() -> None:
    norm = PartitionedNorm(3, 2).train()
    x = torch.randn(1, 2, requires_grad=True)
    found = norm(x, torch.tensor([1]))
    assert found.tolist() == [[0, 0]]  # a row alone is its own mean
    found.sum().backward()
    assert x.grad.isfinite().all()
    assert norm(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)).shape == (0, 2)
    for value in norm.state_dict().values():
        assert value.isfinite().all()
