"""Experts: dense and sparse give the same numbers and the same gradients."""

import pytest
import torch
from torch import Tensor, nn

from aesm2.layers.experts import SPARSE_MIN_ROWS, Experts, ParallelLinear

ROWS, INPUTS, WIDTH, EXPERTS = 7, 3, 4, 5


def experts(compute: str, seed: int = 0) -> Experts:
    torch.manual_seed(seed)
    built = Experts(EXPERTS, INPUTS, WIDTH, 2).double()
    built.compute = compute
    return built


def mixing(mixes: int, chosen: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random weights of `chosen` experts a row: (M, rows, n) and their mask."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(mixes, ROWS, EXPERTS, generator=generator, dtype=torch.float64)
    mask = scores.argsort(-1).argsort(-1) < chosen
    return scores.masked_fill(~mask, 0.0), mask


def inputs() -> Tensor:
    return torch.randn(
        ROWS, INPUTS, generator=torch.Generator().manual_seed(9), dtype=torch.float64
    )


@pytest.mark.parametrize("compute", ["dense", "sparse"])
@pytest.mark.parametrize("mixes", [1, 3])
@pytest.mark.parametrize("chosen", [1, 2, 5])
def test_output_is_the_weighted_sum_of_relu_layers(compute: str, mixes: int, chosen: int) -> None:
    model, (weights, mask), x = experts(compute), mixing(mixes, chosen), inputs()
    output = model(x, weights, mask)
    assert output.shape == (mixes, ROWS, WIDTH)
    W, b = model.linear.weight, model.linear.bias
    for i in range(mixes):
        for r in range(ROWS):
            parts = [weights[i, r, k] * (W[k] @ x[r] + b[k]).relu() for k in range(EXPERTS)]
            torch.testing.assert_close(output[i, r], sum(parts), rtol=0, atol=1e-12)


@pytest.mark.parametrize("mixes", [1, 2])
def test_dense_and_sparse_have_the_same_gradients(mixes: int) -> None:
    gradients = []
    for compute in ("dense", "sparse"):
        model, (weights, mask), x = experts(compute), mixing(mixes, 2), inputs()
        leaves = [x.requires_grad_(), weights.requires_grad_(), *model.parameters()]
        output = model(x, weights.masked_fill(~mask, 0.0), mask)
        gradients.append(torch.autograd.grad(output.square().sum(), leaves))
    for dense, sparse in zip(*gradients, strict=True):
        assert dense.abs().sum() > 0
        torch.testing.assert_close(dense, sparse, rtol=0, atol=1e-12)


@pytest.mark.parametrize("compute", ["dense", "sparse"])
def test_gradients_are_right(compute: str) -> None:
    model, (weights, mask), x = experts(compute), mixing(2, 2), inputs()

    def mixed(x: Tensor, weights: Tensor, *parameters: Tensor) -> Tensor:
        named = dict(zip(["linear.weight", "linear.bias"], parameters, strict=True))
        return torch.func.functional_call(model, named, (x, weights.masked_fill(~mask, 0.0), mask))

    leaves = (x.requires_grad_(), weights.requires_grad_(), *model.parameters())
    assert torch.autograd.gradcheck(mixed, leaves)


@pytest.mark.parametrize("compute", ["dense", "sparse"])
def test_gradients_reach_only_chosen_experts(compute: str) -> None:
    model, x = experts(compute), inputs()
    nn.init.constant_(model.linear.bias, 5.0)  # keeps every relu open
    mask = torch.zeros(1, ROWS, EXPERTS, dtype=torch.bool)
    mask[..., [1, 4]] = True
    model(x, mask.double() / 2, mask).sum().backward()
    reached = model.linear.weight.grad.abs().sum((1, 2)) > 0
    assert reached.tolist() == [False, True, False, False, True]
    assert (model.linear.bias.grad.abs().sum(1) > 0).tolist() == reached.tolist()


def test_sparse_leaves_out_an_expert_that_nobody_chose() -> None:
    model, (weights, mask), x = experts("sparse"), mixing(1, 2), inputs()
    weights, mask = weights.clone(), mask.clone()
    weights[..., 0], mask[..., 0] = 0.0, False
    before = model(x, weights, mask)
    with torch.no_grad():
        model.linear.weight[0] = torch.nan
    assert torch.equal(model(x, weights, mask), before)


def test_outputs_are_those_of_every_expert() -> None:
    model, x = experts("auto"), inputs()
    outputs = model.outputs(x)
    assert outputs.shape == (ROWS, EXPERTS, WIDTH)
    by_hand = (model.linear.weight[3] @ x[2] + model.linear.bias[3]).relu()
    torch.testing.assert_close(outputs[2, 3], by_hand)
    assert model.width == WIDTH


@pytest.mark.parametrize(
    ("chosen", "rows", "called"),
    [
        (2, SPARSE_MIN_ROWS, "_sparse"),
        (2, SPARSE_MIN_ROWS - 1, "_dense"),
        (5, SPARSE_MIN_ROWS, "_dense"),
    ],
)
def test_auto_is_sparse_where_that_pays(
    chosen: int, rows: int, called: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, calls = Experts(EXPERTS, INPUTS, WIDTH, chosen), []
    for name in ("_sparse", "_dense"):
        monkeypatch.setattr(model, name, lambda *_, name=name: calls.append(name))
    mask = torch.ones(1, rows, EXPERTS, dtype=torch.bool)
    model(torch.zeros(rows, INPUTS), mask.float(), mask)
    assert calls == [called]


def test_parallel_linear_applies_map_i_to_input_i() -> None:
    layer = ParallelLinear(3, 2, 4).double()
    x = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    output = layer(x)
    assert output.shape == (3, 5, 4)
    for i in range(3):
        torch.testing.assert_close(output[i], x[i] @ layer.weight[i].t() + layer.bias[i])
