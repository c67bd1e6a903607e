"""The simplex of gates: coordinates there and back, contours that keep their level, projections."""

import math

import numpy as np
import pytest

from aesm2.errors import InputError
from aesm2.routing import geometry


def slow_divergences(weights: np.ndarray, target: int) -> tuple[float, float]:
    """KL(p_j, w) and KL(q, w) by adding up p log(p / w) over the gates, 0 log 0 = 0."""
    m = len(weights)
    one_hot = [1.0 if gate == target else 0.0 for gate in range(m)]
    both = []
    for p in (one_hot, [1 / m] * m):
        pairs = [(a, float(b)) for a, b in zip(p, weights, strict=True) if a > 0]
        both.append(sum(a * math.log(a / b) if b > 0 else math.inf for a, b in pairs))
    return both[0], both[1]


@pytest.mark.parametrize("gates", [2, 3, 4])
def test_barycentric_coordinates_there_and_back(gates: int) -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(gates), (5, 7))
    points = geometry.coordinates(weights)
    assert points.shape == (5, 7, gates - 1)
    np.testing.assert_allclose(geometry.barycentric(points), weights, atol=1e-12)
    corners = geometry.vertices(gates)
    np.testing.assert_allclose(geometry.coordinates(np.eye(gates)), corners)
    edges = [np.linalg.norm(a - b) for i, a in enumerate(corners) for b in corners[:i]]
    np.testing.assert_allclose(edges, 1)


@pytest.mark.parametrize("gates", [1, 5])
def test_a_simplex_that_cannot_be_drawn(gates: int) -> None:
    with pytest.raises(InputError, match=f"2 to 4 gates, not for {gates}"):
        geometry.vertices(gates)


@pytest.mark.parametrize("gates", [2, 3, 4, 7])
@pytest.mark.parametrize("level", [1e-6, 0.03, 0.7, 5.0, 60.0])
def test_every_point_of_a_contour_has_its_divergence(gates: int, level: float) -> None:
    rng = np.random.default_rng(1)
    flat = geometry.specific_contour(level, 1, gates)
    assert flat.shape == (gates - 1, gates)
    for point in [*flat, *(rng.dirichlet(np.ones(gates - 1), 20) @ flat)]:
        assert slow_divergences(point, 1)[0] == pytest.approx(level, rel=1e-9, abs=1e-12)
    directions = geometry.around(gates, 9) if gates <= 4 else rng.normal(size=(20, gates))
    for point in geometry.shared_contour(level, directions):
        assert point.sum() == pytest.approx(1)
        assert slow_divergences(point, 0)[1] == pytest.approx(level, rel=1e-6, abs=1e-9)


def test_directions_close_up_around_the_centroid() -> None:
    turn = geometry.around(3, 13)
    np.testing.assert_allclose(turn[0], turn[-1], atol=1e-12)
    sphere = geometry.around(4, 13)
    assert sphere.shape == (13 * 7, 4)
    for directions in (turn, sphere):
        np.testing.assert_allclose(directions.sum(1), 0, atol=1e-12)
        np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)


def test_the_divergence_from_shared_does_not_saturate() -> None:
    logits = np.array([[800.0, 0.0, 0.0], [801.0, 0.0, 0.0]])
    low, high = geometry.shared_divergence(logits)
    assert high - low == pytest.approx(2 / 3)


def test_the_projection_is_that_of_the_covariance() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6)) + rng.normal(size=(400, 1)) * 9
    found = geometry.projection(logits)
    clr = logits - logits.mean(1, keepdims=True)
    values, vectors = np.linalg.eigh(np.cov(clr.T))
    np.testing.assert_allclose(found.explained, values[::-1][:2] / values.sum(), rtol=1e-9)
    np.testing.assert_allclose(np.abs(found.axes @ vectors[:, ::-1][:, :2]), np.eye(2), atol=1e-7)
    np.testing.assert_allclose(found.of(logits), (clr - clr.mean(0)) @ found.axes.T, atol=1e-9)
    np.testing.assert_allclose(found.centroid, -clr.mean(0) @ found.axes.T, atol=1e-9)
    far = found.of(np.eye(6) * 1e6) - found.centroid  # towards each corner
    np.testing.assert_allclose(
        far / np.linalg.norm(far, axis=1, keepdims=True),
        found.directions / np.linalg.norm(found.directions, axis=1, keepdims=True), atol=1e-9,
    )  # fmt: skip


def test_the_projection_of_three_gates_and_of_one_point_is_a_plane() -> None:
    logits = np.random.default_rng(3).normal(size=(50, 3))
    found = geometry.projection(logits)
    assert found.explained.sum() == pytest.approx(1)
    alone = geometry.projection(logits[:1])
    np.testing.assert_allclose(alone.axes @ alone.axes.T, np.eye(2), atol=1e-9)
    assert alone.explained.tolist() == [0, 0]


@pytest.mark.parametrize("points", [1, 2, 3])
def test_the_projection_of_few_points_lies_among_the_log_ratios(points: int) -> None:
    found = geometry.projection(np.random.default_rng(4).normal(size=(points, 5)))
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(2), atol=1e-9)
    np.testing.assert_allclose(found.axes.sum(1), 0, atol=1e-9)
