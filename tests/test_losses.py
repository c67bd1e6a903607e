"""The training loss: accurate at both ends, finite everywhere, and made of the right terms."""

import decimal
import math
from decimal import Decimal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from aesm2.layers.moe import Routing
from aesm2.layers.selection import Selection
from aesm2.losses import (
    LossTerms,
    auxiliary_terms,
    cross_entropy,
    log1mexp,
    loss_terms,
    squared_norm,
)
from aesm2.models import Output
from aesm2.models.output import along_chain

DTYPES = [torch.float32, torch.float64]


def exact_log1mexp(x: float) -> float:
    with decimal.localcontext(decimal.Context(prec=400)):
        return float((1 - Decimal(x).exp()).ln())


@given(st.floats(-745, -1e-300))
def test_log1mexp_in_float64(x: float) -> None:
    found = log1mexp(torch.tensor(x, dtype=torch.float64)).item()
    assert found == pytest.approx(exact_log1mexp(x), rel=1e-13)


@pytest.mark.parametrize("x", [-1e-37, -1e-20, -1e-7, -0.1, -0.69, -0.7, -1.0, -10.0, -80.0])
def test_log1mexp_in_float32(x: float) -> None:
    given_x = torch.tensor(x)
    assert log1mexp(given_x).item() == pytest.approx(exact_log1mexp(given_x.item()), rel=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_log1mexp_and_its_gradient_are_finite_at_both_ends(dtype: torch.dtype) -> None:
    x = torch.tensor([0.0, -0.0, -1e-45, -1e-30, -1e3, -1e30], dtype=dtype, requires_grad=True)
    log1mexp(x).sum().backward()
    assert log1mexp(x).isfinite().all()
    assert x.grad.isfinite().all()


def test_log1mexp_has_the_right_gradient() -> None:
    x = torch.tensor([-1e-3, -0.5, -0.6931, -0.6932, -5.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(log1mexp, x.requires_grad_(), eps=1e-7)


@given(st.floats(-12, 12), st.sampled_from([0.0, 1.0]))
def test_cross_entropy_is_the_formula_where_that_is_safe(logit: float, label: float) -> None:
    p = 1 / (1 + math.exp(-logit))
    naive = -label * math.log(p) - (1 - label) * math.log(1 - p)
    log_p = F.logsigmoid(torch.tensor(logit, dtype=torch.float64))
    assert cross_entropy(log_p, torch.tensor(label)).item() == pytest.approx(naive, rel=1e-9)


def test_cross_entropy_of_one_task_is_that_of_its_logit() -> None:
    logits = torch.linspace(-60, 60, 41, dtype=torch.float64)
    labels = torch.tensor([0.0, 1.0], dtype=torch.float64).unsqueeze(1).expand(2, 41)
    found = cross_entropy(F.logsigmoid(logits), labels)
    wanted = F.binary_cross_entropy_with_logits(logits.expand(2, 41), labels, reduction="none")
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [50.0, 1000.0, 1e6])
def test_extreme_logits_leave_loss_and_gradient_finite(size: float, dtype: torch.dtype) -> None:
    signs = torch.cartesian_prod(torch.tensor([-1.0, 1.0]), torch.tensor([-1.0, 1.0]))
    for label in ([0.0, 0.0], [1.0, 0.0], [1.0, 1.0]):
        logits = (size * signs).to(dtype).requires_grad_()
        output = Output(logits, along_chain(logits, (-1, 0)))
        loss = loss_terms(output, torch.tensor(label, dtype=dtype).expand(4, 2)).tasks.sum()
        loss.backward()
        assert loss.isfinite()
        assert logits.grad.isfinite().all()


def test_a_confident_mistake_is_still_corrected() -> None:
    logits = torch.tensor([[30.0], [-30.0]], requires_grad=True)
    labels = torch.tensor([[0.0], [1.0]])
    loss_terms(Output(logits, along_chain(logits, (-1,))), labels).tasks.sum().backward()
    assert logits.grad.flatten().tolist() == pytest.approx([0.5, -0.5], rel=1e-5)


def routing(
    kl_specific: list, kl_shared: list, specific: list, shared: list, gates: int
) -> Routing:
    """A layer that only has what the auxiliary loss reads."""
    kl_sp, kl_sh = torch.tensor(kl_specific), torch.tensor(kl_shared)
    chosen = Selection(
        kl_sp, kl_sh, torch.tensor(specific).bool(), torch.tensor(shared).bool(), torch.empty(0)
    )
    logits = torch.zeros(*kl_sh.shape, gates)
    return Routing(logits, torch.empty(0), chosen, torch.empty(0))


def test_rows_without_a_label_have_no_loss_and_no_gradient() -> None:
    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([[1, 1], [0, 0], [1, math.nan], [1, 0], [0, math.nan], [1, 1]]).double()
    logits.requires_grad_()
    terms = loss_terms(Output(logits, along_chain(logits, (-1, -1))), labels)
    terms.tasks.sum().backward()
    assert logits.grad is not None
    for task, rows in ((0, range(6)), (1, (0, 1, 3, 5))):
        wanted = 0.0
        for row in rows:
            p = 1 / (1 + math.exp(-logits[row, task].item()))
            wanted -= math.log(p if labels[row, task] else 1 - p) / 6
            slope = (p - labels[row, task].item()) / 6
            assert logits.grad[row, task].item() == pytest.approx(slope, abs=1e-12)
        assert terms.tasks[task].item() == pytest.approx(wanted, abs=1e-12)
    assert logits.grad[[2, 4], 1].tolist() == [0, 0]


def test_auxiliary_terms_sum_chosen_experts_and_average_rows() -> None:
    scenario = routing(
        [[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]],
        [[0.1, 0.2, 0.4], [0.8, 1.6, 3.2]],
        [[1, 1, 0], [0, 1, 1]],
        [[0, 0, 1], [1, 0, 0]],
        gates=5,
    )
    task = routing([[[1.0, 2.0]], [[4.0, 8.0]]], [[0.5, 0.25]], [[[1, 0]], [[0, 1]]], [[1, 0]], 2)
    specific, shared = auxiliary_terms([scenario, task], torch.empty(0))
    assert specific.tolist() == pytest.approx([(3 + 48) / 2, 1 + 8])
    assert shared.tolist() == pytest.approx([(0.4 + 0.8) / 2, 0.5 * 2])


def test_models_without_routing_have_no_auxiliary_terms() -> None:
    logits = torch.zeros(3, 2)
    terms = loss_terms(Output(logits, along_chain(logits, (-1, 0))), torch.zeros(3, 2))
    assert terms.specific.shape == terms.shared.shape == (0,)
    assert terms.total(torch.ones(2), 1.0, 1.0).item() == pytest.approx(
        -math.log(0.5) - math.log(0.75)
    )


def test_total_weighs_every_term() -> None:
    terms = LossTerms(torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0]), torch.tensor([100.0]))
    weights = torch.tensor([0.5, 2.0])
    assert terms.total(weights, 0.1, 0.01).item() == pytest.approx(4.5 + 3.0 + 1.0)
    assert terms.total(weights, 0.0, 0.01).item() == pytest.approx(4.5 + 1.0)
    assert terms.total(weights, 0.1, 0.0).item() == pytest.approx(4.5 + 3.0)


def test_squared_norm_adds_every_parameter() -> None:
    model = torch.nn.Linear(3, 2)
    wanted = sum(float((p.detach().numpy() ** 2).sum()) for p in model.parameters())
    np.testing.assert_allclose(squared_norm(model), wanted, rtol=1e-6)
