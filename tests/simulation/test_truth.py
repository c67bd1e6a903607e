"""The planted truth against slow, obvious computations."""

import itertools
import math

import numpy as np
import pytest
from scipy.special import expit

from aesm2.metrics import soft_auc
from aesm2.simulation.population import TOPICS, populate
from aesm2.simulation.presets import PRESETS, Dials, Preset, SimulatedLevel, Traffic
from aesm2.simulation.truth import CARRY, Truth, plant

SMALL = {"users": 300, "items": 200, "queries": 100}


def planted(name: str = "alipay", seed: int = 0, **dials: float) -> Truth:
    preset = PRESETS[name].model_copy(update=SMALL | {"dials": Dials(**dials)})
    return plant(preset, *populate(preset, seed), seed)


@pytest.fixture(scope="module")
def alipay() -> Truth:
    return planted()


def test_the_rates_of_each_scenario_are_those_of_the_paper(alipay: Truth) -> None:
    """Table 1 prints 28.34, 2.33, 43.74 and 7.74 % clicks; 8.75, 3.92, 6.00 and 3.49 % of those."""
    click, conversion = alipay.probability
    clicks = (alipay.cells * click).sum(1)
    conversions = (alipay.cells * click * conversion).sum(1) / clicks
    assert (100 * clicks).round(2).tolist() == [28.34, 2.33, 43.74, 7.74]
    assert 100 * conversions == pytest.approx([8.75, 3.92, 6.00, 3.49], abs=0.0075)
    assert (100 * alipay.share).round(2).tolist() == [12.98, 28.91, 51.67, 6.44]


def test_the_rates_of_each_country_are_those_of_the_paper() -> None:
    """Table 2."""
    truth = planted("aliexpress")
    click, conversion = truth.probability
    clicks = (truth.cells * click).sum(1)
    conversions = (truth.cells * click * conversion).sum(1) / clicks
    assert 100 * clicks == pytest.approx(
        [2.15, 2.00, 2.66, 1.64], abs=0.008
    )  # the counts give 2.008
    assert 100 * conversions == pytest.approx([3.63, 2.66, 2.27, 2.41], abs=0.0075)
    assert 100 * truth.share == pytest.approx([17.07, 26.04, 30.51, 26.39], abs=0.0075)


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_effect_has_mean_0_and_variance_1_where_it_acts(name: str) -> None:
    truth = planted(name)
    traffic = truth.share @ truth.cells
    shape = truth.factors[0].effect.shape
    topic = np.repeat(np.arange(TOPICS), shape[2] // TOPICS)
    for factor in truth.factors:
        acts = np.broadcast_to(factor.topics[topic], shape).ravel()
        effect, weight = factor.effect.ravel()[acts], traffic[acts] / traffic[acts].sum()
        assert weight @ effect == pytest.approx(0, abs=1e-9)
        assert weight @ effect**2 == pytest.approx(1, abs=1e-9)
        assert not factor.effect.ravel()[~acts].any()
        assert factor.topics.sum() == (TOPICS if factor.scope in ("shared", "task") else TOPICS / 2)


def test_who_feels_which_factor(alipay: Truth) -> None:
    """Paths are HP → RI, HP → BS, VP → RI, VP → BS."""
    felt = {f.name: f.paths.tolist() for f in alipay.factors}
    assert felt == {
        "shared": [1, 1, 1, 1],
        "channel HP": [1, 1, 0, 0],
        "channel VP": [0, 0, 1, 1],
        "domain RI": [1, 0, 1, 0],
        "domain BS": [0, 1, 0, 1],
        "HP → RI": [1, 0, 0, 0],
        "HP → BS": [0, 1, 0, 0],
        "VP → RI": [0, 0, 1, 0],
        "VP → BS": [0, 0, 0, 1],
        "conflict of channel": [1, 1, -1, -1],
        "conflict of domain": [1, -1, 1, -1],
        "ctr alone": [1, 1, 1, 1],
        "ctcvr alone": [1, 1, 1, 1],
    }
    tasks = {f.name: f.tasks.tolist() for f in alipay.factors}
    assert tasks["shared"] == [1, CARRY]
    assert tasks["ctr alone"] == [0.5, 0]
    assert tasks["ctcvr alone"] == [0, 0.5]


@pytest.mark.parametrize("scope", ["shared", "branch", "leaf", "conflict", "task"])
def test_a_dial_moves_its_own_factors_and_no_other(scope: str) -> None:
    base, turned = planted(), planted(**{scope: 0.0})
    for before, after in zip(base.factors, turned.factors, strict=True):
        assert np.array_equal(before.effect, after.effect)
        wanted = np.zeros(2) if before.scope == scope else before.tasks
        assert after.tasks.tolist() == wanted.tolist()


def test_log_odds_are_the_sum_of_the_factors(alipay: Truth) -> None:
    rng = np.random.default_rng(1)
    shape = alipay.factors[0].effect.shape
    for cell in rng.integers(0, math.prod(shape), 20):
        at = np.unravel_index(cell, shape)
        for task, path in itertools.product(range(2), range(4)):
            wanted = sum(f.tasks[task] * f.paths[path] * f.effect[at] for f in alipay.factors)
            assert alipay.interaction[task, path, cell] == pytest.approx(wanted, abs=1e-10)
            click, conversion = alipay.probability_at(np.array([path]), np.array([cell]))
            given = (click, conversion)[task][0]
            assert given == pytest.approx(expit(wanted + alipay.intercept[task, path]), abs=1e-12)


def test_the_bayes_auc_is_that_of_drawn_labels(alipay: Truth) -> None:
    """Draw cells and labels, rank by the truth: the AUC must agree within its own error."""
    rng, rows = np.random.default_rng(2), 40_000
    along = np.cumprod(alipay.probability, axis=0)
    for task, path in itertools.product(range(2), (0, 2)):
        cell = rng.choice(alipay.cells.shape[1], rows, p=alipay.cells[path])
        p = along[task, path, cell]
        positive = rng.random(rows) < p
        good, bad = np.sort(p[positive]), np.sort(p[~positive])
        lower = np.searchsorted(bad, good, "left") + np.searchsorted(bad, good, "right")
        drawn = lower.sum() / (2 * len(good) * len(bad))
        assert abs(drawn - alipay.bayes()[task, path]) < 4 * 0.5 / math.sqrt(len(good))


def test_no_other_score_beats_the_bayes_auc(alipay: Truth) -> None:
    along = np.cumprod(alipay.probability, axis=0)
    noise = np.random.default_rng(3).normal(size=along.shape[2])
    for task in range(2):
        best = alipay.bayes()[task, 0]
        worse = soft_auc(along[task, 0], along[task, 0] * np.exp(0.3 * noise), alipay.cells[0])
        assert worse < best - 0.001


def test_the_distance_of_scenarios_is_that_of_their_own_factors() -> None:
    """Orthogonal effects: only what two paths do not share counts, a conflict twice."""
    truth = planted(shared=2.0, branch=0.0, leaf=0.0, conflict=1.0)
    factors = {f.name: f for f in truth.factors}
    traffic = truth.share @ truth.cells
    channel = 2 * factors["conflict of channel"].effect.ravel()
    assert truth.distance()[0, 2] == pytest.approx(math.sqrt(traffic @ channel**2))
    assert truth.distance()[1, 3] == pytest.approx(truth.distance()[0, 2])
    assert not truth.distance().diagonal().any()
    same = planted(branch=0.0, leaf=0.0, conflict=0.0)
    assert same.distance() == pytest.approx(0)


def test_sensitivity_is_the_change_of_the_log_odds_in_the_other_scenario(alipay: Truth) -> None:
    click = alipay.interaction[0]
    assert alipay.sensitivity(0)[0] == pytest.approx(np.abs(click[2] - click[0]))  # HP&RI → VP&RI
    assert alipay.sensitivity(1)[3] == pytest.approx(np.abs(click[2] - click[3]))  # VP&BS → VP&RI
    countries = planted("aliexpress")
    click = countries.interaction[0]
    wanted = sum(np.abs(click[i] - click[1]) for i in (0, 2, 3)) / 3
    assert countries.sensitivity(0)[1] == pytest.approx(wanted)


def test_the_regime_is_the_set_of_factors_that_act(alipay: Truth) -> None:
    names = ["channel HP", "channel VP", "conflict of channel"]  # those of the level channel
    factors = [next(f for f in alipay.factors if f.name == name) for name in names]
    regime = alipay.regime(0)
    for path, topic in itertools.product(range(4), range(TOPICS)):
        acting = [bool(f.paths[path]) and bool(f.topics[topic]) for f in factors]
        assert regime[path, topic] == sum(2**bit for bit, acts in enumerate(acting) if acts)


@pytest.mark.parametrize("count", [14, 15, 64])
def test_the_regime_tells_all_sets_of_factors_apart(count: int) -> None:
    """As many factors as scenarios and one; a column of the truth has 16 bits."""
    names = tuple(f"s{i}" for i in range(count))
    preset = Preset(
        name="many", title="Many", source="none",
        levels=(SimulatedLevel(name="market", title="Market", scenarios=names),),
        traffic=tuple(
            Traffic(path=(name,), impressions=100, clicks=30, conversions=9) for name in names
        ),
        **SMALL,
    )  # fmt: skip
    truth = plant(preset, *populate(preset, 0), 0)
    factors = [f for f in truth.factors if f.level == "market"]
    written = truth.regime(0).astype(np.int16)
    cells = list(itertools.product(range(count), range(TOPICS)))
    acting = [tuple(bool(f.paths[p]) and bool(f.topics[t]) for f in factors) for p, t in cells]
    pairs = {(sets, int(written[cell])) for sets, cell in zip(acting, cells, strict=True)}
    assert len(pairs) == len(set(acting)) == len(np.unique(written))


def test_another_seed_is_another_world() -> None:
    one, other = planted(seed=1), planted(seed=2)
    assert not np.allclose(one.factors[0].effect, other.factors[0].effect)
    again = planted(seed=1)
    assert np.array_equal(one.interaction, again.interaction)
    assert np.array_equal(one.intercept, again.intercept)


def test_four_levels_are_possible() -> None:
    levels = [{"name": f"l{i}", "title": f"L{i}", "scenarios": ["a", "b"]} for i in range(4)]
    counts = {"impressions": 1000, "clicks": 100, "conversions": 10}
    traffic = [{"path": path} | counts for path in itertools.product("ab", repeat=4)]
    values = {"name": "deep", "title": "Deep", "source": "nobody", "levels": levels}
    preset = Preset.model_validate(values | SMALL | {"traffic": traffic})
    truth = plant(preset, *populate(preset, 0), 0)
    assert truth.distance().shape == (16, 16)
    assert sum(f.scope == "branch" for f in truth.factors) == 8
