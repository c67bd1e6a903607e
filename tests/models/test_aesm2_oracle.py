"""The whole of AESM² against the loops of tests/oracle.py, over random configurations."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings

from aesm2.data.batch import Batch
from aesm2.losses import loss_terms, squared_norm
from aesm2.models import AESM2
from tests import oracle
from tests.models import cases

MASKS = ("specific", "shared")
VALUES = ("kl_specific", "kl_shared", "mixing_weights")


def expected(model: AESM2, rows: Batch) -> oracle.Prediction:
    shape = cases.oracle_shape(model.config, model.schema)
    return oracle.predict(cases.weights(model), shape, rows.fields.numpy(), rows.scenarios.numpy())


def narrowest_choice(prediction: oracle.Prediction) -> np.ndarray:
    """Per row, the smallest gap between a chosen and an unchosen KL, (rows,); exact ties skipped.

    Rounding can settle a narrow gap either way, and everything after it would then differ.
    """
    rows = len(prediction.logits)
    narrowest = np.full(rows, np.inf)
    for layer in prediction.layers:
        for kl, mask in ((layer.kl_specific, layer.specific), (layer.kl_shared, layer.shared)):
            worst = np.where(mask, kl, -np.inf).max(-1)
            best = np.where(mask, np.inf, kl).min(-1)
            gap = np.where(best == worst, np.inf, best - worst).reshape(-1, rows).min(0)
            narrowest = np.minimum(narrowest, gap)
    return narrowest


def close(actual: torch.Tensor, wanted: np.ndarray, what: str) -> None:
    assert actual.shape == wanted.shape, what
    np.testing.assert_allclose(actual.detach().numpy(), wanted, rtol=1e-9, atol=1e-9, err_msg=what)


@pytest.mark.parametrize("how", ["dense", "sparse"])
@settings(max_examples=120)
@given(cases.aesm2_cases())
def test_every_layer_and_probability_agrees_in_float64(how: str, case: tuple[AESM2, Batch]) -> None:
    model, rows = case
    wanted = expected(model, rows)
    assume(narrowest_choice(wanted).min() > 1e-9)
    cases.compute(model, how)
    output = model.double()(rows)
    assert len(output.routings) == len(wanted.layers)
    for number, (routing, layer) in enumerate(zip(output.routings, wanted.layers, strict=True)):
        for name in MASKS:
            actual = getattr(routing.selection, name).numpy()
            np.testing.assert_array_equal(actual, getattr(layer, name), f"{name} of {number}")
        for name in VALUES:
            close(getattr(routing.selection, name), getattr(layer, name), f"{name} of {number}")
        close(routing.gate_logits, layer.gate_logits, f"gate_logits of {number}")
        close(routing.gate_logits.softmax(-1), layer.row_softmax, f"row_softmax of {number}")
        close(routing.output, layer.output, f"output of {number}")
    close(output.logits, wanted.logits, "logits")
    close(output.log_probability.exp(), wanted.probabilities, "probabilities")


@settings(max_examples=80)
@given(cases.aesm2_cases())
def test_every_loss_term_agrees_in_float64(case: tuple[AESM2, Batch]) -> None:
    model, rows = case
    prediction = expected(model, rows)
    assume(narrowest_choice(prediction).min() > 1e-9)
    wanted = oracle.loss(cases.weights(model), prediction, rows.labels.double().numpy())
    model.double()
    terms = loss_terms(model(rows), rows.labels.double())
    assert len(terms.specific) == len(terms.shared) == len(prediction.layers)
    task_weights = [0.1, 1.0, 2.0][: len(wanted.tasks)]
    total = terms.total(
        torch.tensor(task_weights, dtype=torch.float64), 0.3, 0.7
    ) + 0.01 * squared_norm(model)
    np.testing.assert_allclose(terms.tasks.detach(), wanted.tasks, rtol=1e-9)
    np.testing.assert_allclose(terms.specific.sum().item(), wanted.specific, 1e-9, 1e-9)
    np.testing.assert_allclose(terms.shared.sum().item(), wanted.shared, 1e-9, 1e-9)
    everything = oracle.total_loss(wanted, task_weights, 0.3, 0.7, 0.01)
    np.testing.assert_allclose(total.item(), everything, rtol=1e-9)


@pytest.mark.parametrize("how", ["dense", "sparse"])
@settings(max_examples=60)
@given(cases.aesm2_cases())
def test_probabilities_agree_in_float32(how: str, case: tuple[AESM2, Batch]) -> None:
    model, rows = case
    wanted = expected(model, rows)
    clear = narrowest_choice(wanted) > 1e-4
    assume(clear.any())
    cases.compute(model, how)
    output = model(rows)
    assert output.logits.dtype == torch.float32
    probabilities = output.log_probability.exp().detach().numpy()
    np.testing.assert_allclose(probabilities[clear], wanted.probabilities[clear], atol=1e-5)
    for routing, layer in zip(output.routings, wanted.layers, strict=True):
        for name in MASKS:
            actual = getattr(routing.selection, name).numpy()
            np.testing.assert_array_equal(
                actual[..., clear, :], getattr(layer, name)[..., clear, :]
            )
