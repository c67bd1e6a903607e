"""The audit's own equations against numbers worked out by hand."""

import numpy as np
import pytest

from aesm2.audit import reference


def test_embedding() -> None:
    table = np.arange(10.0).reshape(5, 2)  # two fields, of 2 and 3 rows
    assert reference.embedding(table, (2, 3), np.array([[1, 0], [0, 2]])).tolist() == [
        [2, 3, 4, 5],
        [0, 1, 8, 9],
    ]


def test_gates_have_a_column_each() -> None:
    weights = np.array([[[1.0], [10.0]], [[2.0], [20.0]]])  # 2 experts, 2 gates, width 1
    x = np.array([[3.0]])
    assert reference.gates([(weights, (x, x))]).tolist() == [[[3, 30], [6, 60]]]
    own = (np.array([[1.0]]), np.array([[2.0]]))
    assert reference.gates([(weights, (x, x)), (weights, own)]).tolist() == [[[4, 50], [8, 100]]]


def test_divergences() -> None:
    log_q = np.log(np.array([[0.5, 0.25, 0.25]]))
    one_hot = np.array([0.0, 1.0, 0.0])
    assert reference.divergence(one_hot, log_q) == pytest.approx([np.log(4)])
    uniform = np.full(3, 1 / 3)
    assert reference.divergence(uniform, log_q) == pytest.approx([np.log(32 / 27) / 3])
    assert reference.divergence(np.ones(1), reference.log_softmax(np.array([[7.0]]))) == [0]


def test_sets() -> None:
    kl = np.array([[3.0, 1.0, 1.0, 2.0]])
    assert reference.top_k(kl, 1).tolist() == [[False, True, False, False]]
    assert reference.top_k(kl, 3).tolist() == [[False, True, True, True]]
    chosen = np.array([[True, True, False, False]])
    assert reference.excess(kl, chosen, 2) == pytest.approx([2])
    assert reference.excess(kl, np.array([[False, False, True, False]]), 1) == [0]
    assert reference.excess(kl, chosen, 3) == [np.inf]
    assert reference.excess(kl, np.zeros((1, 4), bool), 0) == [0]
    assert reference.excess(kl, np.ones((1, 4), bool), 4) == [0]


def test_weights_and_mixture() -> None:
    members = np.array([[True, False, True]])
    weights = reference.masked_softmax(np.array([[0.0, 9.0, np.log(3)]]), members)
    assert weights == pytest.approx(np.array([[0.25, 0, 0.75]]))
    weight, bias = np.array([[[1.0]], [[1.0]], [[-1.0]]]), np.array([[1.0], [0.0], [1.0]])
    outputs = reference.experts(weight, bias, np.array([[2.0]]))
    assert outputs.tolist() == [[[3], [2], [0]]]
    assert reference.mixture(weights, outputs) == pytest.approx(np.array([[0.75]]))


def test_tower_chain_and_loss() -> None:
    layers = [(np.array([[1.0], [-1.0]]), np.zeros(2)), (np.array([[2.0, 5.0]]), np.array([1.0]))]
    assert reference.perceptron(layers, np.array([[3.0]])) == pytest.approx([7])
    assert reference.sigmoid(np.array([0.0, -800.0])).tolist() == [0.5, 0]
    assert reference.chain(np.array([[0.5, 0.2, 0.1]]), (-1, 0, 1))[0] == pytest.approx(
        [0.5, 0.1, 0.01]
    )
    loss = reference.cross_entropy(np.log([0.25, 0.25]), np.array([1.0, 0.0]))
    assert loss == pytest.approx([np.log(4), np.log(4 / 3)])
