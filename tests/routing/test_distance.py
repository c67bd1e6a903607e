import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from aesm2.data.scenarios import PATH
from aesm2.routing.distance import FEW, LEVEL, divergence, scenario_distances
from aesm2.routing.trace import LayerSpec
from aesm2.routing.utilisation import LayerUtilisation, Utilisation
from tests.models import cases


def use(
    rows: list[int], *layers: tuple[list, list], specific: int = 1, shared: int = 1
) -> Utilisation:
    """A one-level utilisation; each layer: counts of specific and shared, (S, n)."""
    shape = cases.schema(levels=(len(rows),))
    made = []
    for number, (own, common) in enumerate(layers, start=1):
        spec = LayerSpec(
            f"level0.{number}", "scenario", 0, shape.levels[0], len(own[0]), 8, specific, shared
        )
        counts = np.array([own])
        made.append(LayerUtilisation(spec, counts, np.array([common]), counts.astype(float)))
    return Utilisation(shape, np.array(rows), tuple(made))


A, B, C = [90, 10, 0, 0], [80, 20, 0, 0], [0, 0, 50, 50]


def js(p: list, q: list) -> float:
    """Divergence in bits by its definition, in a loop."""
    p_, q_ = [v / sum(p) for v in p], [v / sum(q) for v in q]
    total = 0.0
    for a, b in zip(p_, q_, strict=True):
        m = (a + b) / 2
        total += a * math.log2(a / m) / 2 if a else 0.0
        total += b * math.log2(b / m) / 2 if b else 0.0
    return total


def test_divergence_by_its_definition_and_scipy() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        p, q = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5))
        found = float(divergence(p, q))
        assert found == pytest.approx(js(p.tolist(), q.tolist()), abs=1e-12)
        assert found == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-12)


def test_divergence_is_0_for_the_same_and_1_for_nothing_in_common() -> None:
    same = np.array([0.2, 0.8, 0.0])
    assert float(divergence(same, same)) == 0.0
    assert float(divergence(np.array([1.0, 0.0]), np.array([0.0, 1.0]))) == 1.0


def test_distance_is_the_root_of_the_mean_divergence() -> None:
    found = use([100, 100, 100], ([A, B, C], [C, C, A]), ([A, C, C], [A, A, A]))
    names = ["level0.1", "level0.2"]
    one = scenario_distances(found, names[:1], ["specific"], "level0")
    assert one.distance[0, 1] == pytest.approx(math.sqrt(js(A, B)))
    assert one.distance[0, 2] == pytest.approx(1.0)
    both = scenario_distances(found, names[:1], ["specific", "shared"], "level0")
    assert both.distance[0, 2] == pytest.approx(math.sqrt((js(A, C) + js(C, A)) / 2))
    every = scenario_distances(found, names, ["specific"], "level0")
    assert every.distance[0, 1] == pytest.approx(math.sqrt((js(A, B) + js(A, C)) / 2))
    np.testing.assert_array_equal(every.distance, every.distance.T)
    assert (np.diag(every.distance) == 0).all()


def test_a_task_layer_compares_scenarios_over_its_tasks() -> None:
    shape = cases.schema(levels=(2,))
    spec = LayerSpec("task.1", "task", None, shape.tasks, 4, 8, 1, 1)
    specific = np.array([[A, B], [A, C]])  # (T, P, n)
    layer = LayerUtilisation(spec, specific, np.array([[A, A], [A, A]]), specific.astype(float))
    found = Utilisation(shape, np.array([100, 100]), (layer,))
    of = scenario_distances(found, ["task.1"], ["specific"], "level0")
    assert of.distance[0, 1] == pytest.approx(math.sqrt((js(A, B) + js(A, C)) / 2))
    shared = scenario_distances(found, ["task.1"], ["shared"], "level0")
    assert shared.distance[0, 1] == 0


def test_a_role_that_takes_no_expert_does_not_count() -> None:
    none = [[0, 0, 0, 0]] * 2
    found = use([100, 100], ([A, C], none), shared=0)
    of = scenario_distances(found, ["level0.1"], ["specific", "shared"], "level0")
    assert of.distance[0, 1] == pytest.approx(1.0)


def test_like_scenarios_stand_side_by_side() -> None:
    found = use([100] * 4, ([A, C, B, [0, 0, 40, 60]], [A] * 4))
    of = scenario_distances(found, ["level0.1"], ["specific"], "level0")
    order = of.order
    assert sorted(order) == [0, 1, 2, 3]
    assert abs(order.index(0) - order.index(2)) == 1
    assert abs(order.index(1) - order.index(3)) == 1
    assert of.tree is not None
    assert of.tree[-1, 2] == pytest.approx(of.distance[np.ix_([0, 2], [1, 3])].mean())


def test_scenarios_without_rows_are_left_out_and_named() -> None:
    found = use([100, 0, FEW - 1], ([A, [0] * 4, C], [A] * 3))
    of = scenario_distances(found, ["level0.1"], ["specific"], "level0")
    assert of.scenarios == ("s0", "s2")
    assert of.missing == ("s1",)
    assert of.few == ("s2",)
    assert of.distance.shape == of.noise.shape == (2, 2)
    assert np.isfinite(of.distance).all()


@pytest.mark.parametrize("rows", [[100, 0], [0, 0]])
def test_fewer_than_two_scenarios_have_no_tree(rows: list[int]) -> None:
    counts = [A if n else [0] * 4 for n in rows]
    of = scenario_distances(use(rows, (counts, counts)), ["level0.1"], ["specific"], "level0")
    assert of.tree is None
    assert of.order == list(range(sum(n > 0 for n in rows)))


def test_the_same_single_expert_has_no_noise() -> None:
    found = use([100, 100], ([[100, 0], [100, 0]], [[100, 0]] * 2))
    of = scenario_distances(found, ["level0.1"], ["specific"], "level0")
    assert of.noise[0, 1] == 0
    assert of.distance[0, 1] == 0


@pytest.mark.parametrize("sizes", [(200, 200), (100, 3000)])
@pytest.mark.parametrize("p", [(0.5, 0.3, 0.1, 0.1), (0.25, 0.25, 0.25, 0.25)])
def test_noise_is_what_resampling_gives(sizes: tuple[int, int], p: tuple[float, ...]) -> None:
    rng = np.random.default_rng(1)
    draws = [rng.multinomial(n, p, size=4000) / n for n in sizes]
    sampled = np.quantile(np.sqrt(divergence(*draws)), LEVEL)
    counts = [(np.array(p) * n).round().astype(int).tolist() for n in sizes]
    found = use(list(sizes), (counts, counts))
    of = scenario_distances(found, ["level0.1"], ["specific"], "level0")
    assert of.noise[0, 1] == pytest.approx(sampled, rel=0.05)


def test_noise_is_on_the_safe_side_for_rows_that_take_several_experts() -> None:
    """Rows take 2 of 5 experts, never the same twice: their choices are not independent."""
    rng = np.random.default_rng(2)
    beyond = 0
    for _ in range(400):
        counts = [
            np.bincount(rng.permuted(np.tile(np.arange(5), (150, 1)), axis=1)[:, :2].ravel(),
                        minlength=5).tolist()
            for _ in range(2)
        ]  # fmt: skip
        found = use([150, 150], (counts, counts), specific=2)
        of = scenario_distances(found, ["level0.1"], ["specific"], "level0")
        beyond += bool(of.distance[0, 1] > of.noise[0, 1])
    assert beyond / 400 <= 0.05


def test_noise_falls_with_rows_and_the_bound_is_1() -> None:
    def noise(scale: int) -> float:
        counts = [[v * scale for v in (5, 3, 2, 0)]] * 2
        of = scenario_distances(
            use([10 * scale] * 2, (counts, counts)), ["level0.1"], ["specific"], "level0"
        )
        return float(of.noise[0, 1])

    assert noise(100) == pytest.approx(noise(1) / 10)
    one = use([1, 1], ([[1, 0], [0, 1]], [[1, 0], [0, 1]]))
    of = scenario_distances(one, ["level0.1"], ["specific"], "level0")
    assert of.distance[0, 1] == 1
    assert of.noise[0, 1] == 1


def test_by_fine_grained_scenario() -> None:
    found = use([100, 100], ([A, B], [A, A]))
    of = scenario_distances(found, ["level0.1"], ["specific"], PATH)
    assert of.scenarios == ("s0", "s1")
    assert of.distance[0, 1] == pytest.approx(math.sqrt(js(A, B)))
