"""Expert selection: which experts, with what weight, and that no rounding decides."""

import decimal
import math
from decimal import Decimal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from aesm2.layers.selection import ROUNDS, Selection, lowest, select

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 8), st.integers(1, 5), st.integers(0, 9999))


def random_gates(rows: int, experts: int, gates: int, seed: int, scale: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(rows, experts, gates, generator=generator, dtype=torch.float64)


def one_hot(target: list[int], gates: int) -> Tensor:
    return F.one_hot(torch.tensor(target), gates).bool()


def choose(gate_logits: Tensor, target: list[int], specific: int, shared: int) -> Selection:
    return select(gate_logits, one_hot(target, gate_logits.shape[-1]), specific, shared)


def exact_divergences(row: list[float], j: int, digits: int) -> tuple[Decimal, Decimal]:
    """KL(p_j, softmax(row)) and KL(q, softmax(row)) by definition, to so many digits."""
    with decimal.localcontext(decimal.Context(prec=digits)):
        powers = [Decimal(g).exp() for g in row]
        row_softmax = [p / sum(powers) for p in powers]
        q = 1 / Decimal(len(row))
        return -row_softmax[j].ln(), sum(q * (q.ln() - p.ln()) for p in row_softmax)


def exact_choice(scores: list[Decimal], k: int) -> set[int]:
    return set(sorted(range(len(scores)), key=lambda i: (scores[i], i))[:k])


@given(SHAPES, st.data())
def test_k_experts_of_each_kind_share_all_the_weight(shape, data) -> None:
    rows, experts, gates, seed = shape
    specific = data.draw(st.integers(0, experts))
    shared = data.draw(st.integers(0 if specific else 1, experts))
    target = [(seed + row) % gates for row in range(rows)]
    chosen = choose(random_gates(*shape), target, specific, shared)
    union = chosen.specific | chosen.shared
    assert chosen.specific.sum(-1).tolist() == [specific] * rows
    assert chosen.shared.sum(-1).tolist() == [shared] * rows
    assert (chosen.mixing_weights[~union] == 0).all()
    assert (chosen.mixing_weights[union] > 0).all()
    torch.testing.assert_close(
        chosen.mixing_weights.sum(-1), torch.ones(rows, dtype=torch.float64), rtol=0, atol=1e-12
    )


@given(SHAPES)
def test_divergences_equal_their_definition_and_are_not_negative(shape) -> None:
    rows, _, gates, seed = shape
    target = [(seed + row) % gates for row in range(rows)]
    gate_logits = random_gates(*shape)
    chosen = choose(gate_logits, target, 1, 1)
    p = np.exp(gate_logits.numpy()) / np.exp(gate_logits.numpy()).sum(-1, keepdims=True)
    by_definition = -np.log(p[np.arange(rows), :, target])
    np.testing.assert_allclose(chosen.kl_specific, by_definition, rtol=1e-10, atol=1e-12)
    uniform = (np.log(1 / gates) - np.log(p)).mean(-1)
    np.testing.assert_allclose(chosen.kl_shared, uniform, rtol=1e-10, atol=1e-12)
    assert (chosen.kl_specific >= 0).all()
    assert (chosen.kl_shared >= 0).all()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 100.0])
def test_kl_shared_is_never_negative_in_float32(scale: float) -> None:
    flat = torch.full((1, 50, 7), scale) + 1e-7 * random_gates(1, 50, 7, 0).float()
    assert (choose(flat, [0], 1, 1).kl_shared >= 0).all()


def test_kl_shared_and_the_shared_set_do_not_depend_on_the_target() -> None:
    gate_logits = random_gates(6, 8, 4, 1)
    choices = [choose(gate_logits, [j] * 6, 2, 3) for j in range(4)]
    for choice in choices[1:]:
        assert torch.equal(choice.kl_shared, choices[0].kl_shared)
        assert torch.equal(choice.shared, choices[0].shared)
    assert not torch.equal(choices[1].specific, choices[0].specific)


def test_a_task_axis_gives_what_each_task_gives_alone() -> None:
    gate_logits = random_gates(5, 6, 3, 2)
    together = select(gate_logits, torch.eye(3, dtype=torch.bool).unsqueeze(1), 2, 1)
    assert together.kl_specific.shape == together.specific.shape == (3, 5, 6)
    assert together.mixing_weights.shape == (3, 5, 6)
    assert together.kl_shared.shape == together.shared.shape == (5, 6)
    for task in range(3):
        alone = choose(gate_logits, [task] * 5, 2, 1)
        assert torch.equal(together.specific[task], alone.specific)
        assert torch.equal(together.shared, alone.shared)
        assert torch.equal(together.mixing_weights[task], alone.mixing_weights)


def test_mixing_is_a_softmax_of_the_column_not_of_the_row() -> None:
    gate_logits = torch.tensor([[[3.0, 0.0], [1.0, 1.5], [-2.0, 4.0]]], dtype=torch.float64)
    chosen = choose(gate_logits, [0], 1, 1)
    assert chosen.specific.tolist() == [[True, False, False]]
    assert chosen.shared.tolist() == [[False, True, False]]
    weight = math.exp(3) / (math.exp(3) + math.exp(1))
    np.testing.assert_allclose(chosen.mixing_weights, [[weight, 1 - weight, 0]], rtol=1e-12)


def test_a_chosen_expert_with_a_negative_logit_keeps_the_weight() -> None:
    gate_logits = torch.tensor([[[-5.0, -9.0], [-1.0, 3.0], [0.0, 9.0]]])
    chosen = choose(gate_logits, [0], 1, 0)
    assert chosen.specific.tolist() == [[True, False, False]]
    assert chosen.mixing_weights.tolist() == [[1.0, 0.0, 0.0]]


@pytest.mark.parametrize("experts", [3, 17, 256])
@pytest.mark.parametrize("gates", [1, 2, 5])
def test_ties_go_to_the_lower_index(experts: int, gates: int) -> None:
    chosen = choose(torch.zeros(4, experts, gates), [0] * 4, 2, 1)
    assert chosen.specific[:, :2].all()
    assert chosen.shared[:, :1].all()
    assert chosen.specific.sum() == 8
    assert chosen.shared.sum() == 4


def test_lowest_prefers_the_lower_index_among_equals() -> None:
    mask = lowest(torch.tensor([3.0, 1.0, 2.0, 1.0, 1.0]), 2)
    assert mask.tolist() == [False, True, False, True, False]
    assert lowest(torch.tensor([3.0, 1.0]), 0).tolist() == [False, False]


@pytest.mark.parametrize("k", [1, 3, ROUNDS, ROUNDS + 1, 12])
def test_lowest_are_the_first_of_a_stable_sort(k: int) -> None:
    generator = torch.Generator().manual_seed(k)
    score = torch.randint(0, 4, (3, 50, 12), generator=generator).float()  # many ties
    score[0, 0, :5] = math.inf
    score[0, 1, 3] = math.nan
    score[0, 2] = -math.inf
    for scores in (score, score[0, :1]):
        wanted = torch.zeros_like(scores, dtype=torch.bool)
        order = scores.argsort(dim=-1, stable=True)[..., :k]
        assert torch.equal(lowest(scores, k), wanted.scatter(-1, order, True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [30.0, 100.0, 1000.0])
def test_large_logits_pick_what_hundreds_of_digits_pick(scale: float, dtype: torch.dtype) -> None:
    rows, experts, gates = 3 if scale == 1000 else 12, 8, 3
    digits = int(scale) + 40  # the smallest probability is exp(-2 · scale)
    generator = torch.Generator().manual_seed(0)
    spread = torch.rand(rows, experts, gates, generator=generator, dtype=torch.float64)
    gate_logits = (scale * (2 * spread - 1)).to(dtype)
    target = [row % gates for row in range(rows)]
    chosen = choose(gate_logits, target, 3, 3)
    for row in range(rows):
        pairs = [
            exact_divergences(gate_logits[row, k].tolist(), target[row], digits)
            for k in range(experts)
        ]
        specific, shared = zip(*pairs, strict=True)
        assert set(chosen.specific[row].nonzero().flatten().tolist()) == exact_choice(specific, 3)
        assert set(chosen.shared[row].nonzero().flatten().tolist()) == exact_choice(shared, 3)
        values = [[float(kl) for kl in kind] for kind in (specific, shared)]
        np.testing.assert_allclose(chosen.kl_specific[row], values[0], rtol=2e-5, atol=1e-30)
        np.testing.assert_allclose(chosen.kl_shared[row], values[1], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("size", [100.0, 1000.0])
def test_experts_far_on_the_same_side_do_not_tie(size: float) -> None:
    """Every expert is certain of its gate; only how certain differs, and the last one is most."""
    gate_logits = torch.tensor([[[size - 2 + i, -size, 0.0] for i in range(3)]])
    assert choose(gate_logits, [0], 1, 0).specific.tolist() == [[False, False, True]]
    assert choose(gate_logits, [1], 1, 0).specific.tolist() == [[True, False, False]]
    assert choose(gate_logits, [0], 0, 1).shared.tolist() == [[True, False, False]]


@pytest.mark.parametrize("size", [1.0, 100.0, 1000.0])
def test_gradients_are_finite_however_large_the_logits(size: float) -> None:
    gate_logits = random_gates(4, 5, 3, 3, size).float().requires_grad_()
    chosen = choose(gate_logits, [0, 1, 2, 0], 2, 2)
    (
        chosen.kl_specific.sum() + chosen.kl_shared.sum() + chosen.mixing_weights[:, 0].sum()
    ).backward()
    assert gate_logits.grad.isfinite().all()
    assert gate_logits.grad.abs().sum() > 0


def test_specific_and_shared_may_be_one_expert() -> None:
    gate_logits = torch.tensor([[[0.1, 0.0], [-5.0, 5.0], [-9.0, 4.0]]], requires_grad=True)
    chosen = choose(gate_logits, [0], 1, 1)
    assert chosen.specific.tolist() == chosen.shared.tolist() == [[True, False, False]]
    assert chosen.mixing_weights.tolist() == [[1.0, 0.0, 0.0]]
    (chosen.mixing_weights[0, 0] + chosen.kl_specific[0, 0] + chosen.kl_shared[0, 0]).backward()
    assert gate_logits.grad.isfinite().all()


def test_one_gate_has_no_divergence_and_still_chooses() -> None:
    gate_logits = random_gates(3, 5, 1, 4).requires_grad_()
    chosen = choose(gate_logits, [0, 0, 0], 2, 1)
    assert not chosen.kl_specific.any()
    assert not chosen.kl_shared.any()
    assert chosen.specific.tolist() == [[True, True, False, False, False]] * 3
    first_two = gate_logits.detach()[:, :2, 0].softmax(-1)
    torch.testing.assert_close(chosen.mixing_weights[:, :2].detach(), first_two)
    chosen.mixing_weights[:, 0].sum().backward()
    assert gate_logits.grad.isfinite().all()


def test_divergences_have_the_right_gradient() -> None:
    gate_logits = random_gates(2, 4, 3, 5).requires_grad_()

    def differentiable(g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        chosen = choose(g, [0, 2], 1, 1)
        return chosen.kl_specific, chosen.kl_shared, chosen.mixing_weights

    assert torch.autograd.gradcheck(differentiable, gate_logits)
