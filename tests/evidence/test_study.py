"""Studies: the same budget at the same points for everyone, and models of matching size."""

from pathlib import Path

import pytest

from aesm2.config import AESM2Config, LayerGroup, MixtureGroup, SplitGroup, parse
from aesm2.errors import InputError
from aesm2.evidence.study import (
    ALL_MODELS,
    ModelName,
    Range,
    Search,
    Searches,
    Size,
    Study,
    matched,
    read_study,
)
from aesm2.models import build
from tests.models import cases

ROOT = Path(__file__).parent.parent.parent
SCHEMA = cases.schema((2, 3))
FILES = sorted((ROOT / "configs" / "evidence").glob("*.toml"))
SHIPPED = [file for file in FILES if file.stem != "regimes"]  # that is no study


def test_every_model_comes_without_and_with_scenario_ids() -> None:
    variants = Study().variants(2)
    assert list(variants) == [f"{name}{ids}" for name in ALL_MODELS for ids in ("", "+ids")]
    for name, config in variants.items():
        assert config.name == name.removesuffix("+ids")
        assert config.scenario_features == name.endswith("+ids")
        assert build(config, SCHEMA).eval()(cases.batch(SCHEMA, 3)).logits.shape == (3, 2)


def test_sizes_follow_from_the_experts_that_aesm2_puts_to_work() -> None:
    size = Size()  # 2 + 2 of 8 experts of width 64, then 1 + 1 of 4 of width 32, tower 16
    wide, wide_task = LayerGroup(width=256), LayerGroup(width=64)
    assert matched("mlp", size, 2).hidden == (256, 256, 64, 16)
    assert matched("esmm", size, 1).hidden == (256, 64, 16)
    assert matched("hard_sharing", size, 2).hidden == (256, 256, 64)
    for name in ("parallel_dnn", "cross_stitch", "star"):
        model = matched(name, size, 2)
        assert (model.scenario, model.task, model.tower) == (wide, wide_task, (16,))
    mmoe = matched("mmoe", size, 1)
    assert mmoe.scenario == MixtureGroup(experts=4, width=64)
    assert mmoe.task == MixtureGroup(experts=2, width=32)
    ple = matched("ple", size, 1)
    assert ple.scenario == SplitGroup(specific=2, shared=2, width=64)
    gated = matched("dselect_k", size, 1)
    assert (gated.scenario.experts, gated.scenario.selected) == (8, 4)
    three = size.model_copy(update={"task": size.task.model_copy(update={"experts": 3})})
    assert matched("dselect_k", three, 1).task.experts == 4


@pytest.mark.parametrize(
    ("change", "name", "place"),
    [({"shared": 0}, "ple", "shared"), ({"width": 2048}, "parallel_dnn", "width")],
)
def test_a_size_that_a_model_cannot_have_is_told_in_one_line(
    change: dict[str, int], name: ModelName, place: str
) -> None:
    size = Size(scenario=Size().scenario.model_copy(update=change))
    with pytest.raises(InputError, match=rf"^size: no {name} is of this .*{place} would be \d+\);"):
        matched(name, size, 1)
    assert matched("aesm2", size, 1).scenario == size.scenario


def test_every_variant_is_tried_at_the_same_points() -> None:
    study = Study()
    variants = study.variants(1)
    for trial in range(3):
        trainings = {
            study.training(10_000, 7, trial).model_copy(update={"seed": 0}).model_dump_json()
            for _ in variants
        }
        assert len(trainings) == 1
        rate, l2, auxiliary, noise = study.point(trial)
        training = study.training(10_000, 7, trial)
        assert (training.learning_rate, training.l2, training.seed) == (rate, l2, 7)
        assert training.lambda_specific == training.lambda_shared == auxiliary
        tuned = study.model(variants["aesm2"], trial)
        assert isinstance(tuned, AESM2Config)
        assert tuned.noise_scale == noise
        assert study.model(variants["mmoe"], trial) is variants["mmoe"]


def test_points_stay_the_same_where_trials_are_added_and_cover_their_ranges() -> None:
    few, many = (Study(search=Search(trials=n)) for n in (2, 64))
    assert few.point(1) == many.point(1)
    rates = sorted(many.point(t)[0] for t in range(64))
    search = many.search
    assert search.learning_rate.low <= rates[0] < 1.1 * search.learning_rate.low
    assert rates[-1] <= search.learning_rate.high < 1.1 * rates[-1]
    middle = (search.learning_rate.low * search.learning_rate.high) ** 0.5
    assert sum(rate < middle for rate in rates) == pytest.approx(32, abs=3)


def test_measurements_an_epoch_and_steps_fit_the_rows() -> None:
    study = Study(batch_size=100, evaluations=3)
    assert study.training(1000, 0, 0).evaluate_every == 4  # 10 steps an epoch
    assert study.training(50, 0, 0).evaluate_every == 1


def test_the_quick_form_differs_in_effort_only() -> None:
    quick = Study().quick()
    assert (quick.seeds, quick.epochs, quick.search.trials) == (2, 1, 1)
    same = {"seeds": 5, "epochs": 4, "search": Search(), "replay": Searches()}
    assert quick.model_copy(update=same) == Study()


@pytest.mark.parametrize("file", SHIPPED, ids=lambda f: f.stem)
def test_shipped_studies_compare_every_model_on_at_least_five_seeds(file: Path) -> None:
    study = read_study(file)
    assert set(study.models) == set(ALL_MODELS)
    assert study.seeds >= 5
    assert study.out.endswith(f"checkpoints/evidence/{file.stem}")
    if study.simulate is None:
        assert (file.parent / study.dataset).resolve().is_dir()


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"models": ["mmoe", "gbdt"]}, "models.1"),
        ({"seeds": 1}, "seeds"),
        ({"search": {"l2": {"low": 1.0, "high": 0.1}}}, "low = 1 is above high = 0.1"),
        ({"serch": {}}, "did you mean 'search'"),
        ({"only": ["mmoe", "mmoe"]}, "'mmoe' has no other variant to be compared with"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused(values: dict, part: str) -> None:
    with pytest.raises(InputError, match=part):
        parse(Study, values, "study")


def test_a_range_is_logarithmic() -> None:
    of = Range(low=1e-4, high=1e-2)
    assert (of.at(0), of.at(0.5), of.at(1)) == (1e-4, 1e-3, 1e-2)
