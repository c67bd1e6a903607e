"""Configuration: frozen, strict, and clear about what is wrong and where."""

import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from aesm2.config import (
    AESM2Config,
    Config,
    ExpertGroup,
    MixtureGroup,
    MLPConfig,
    MMoEConfig,
    TrainingConfig,
    parse,
    per_level,
    read_config,
)
from aesm2.errors import InputError, nearest


def error(values: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        parse(Config, values, "config.toml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_given_is_the_default() -> None:
    config = parse(Config, {}, "config.toml")
    assert config == Config()
    assert config.model == AESM2Config()
    assert (config.training.lambda_specific, config.training.lambda_shared) == (1e-3, 1e-3)


@pytest.mark.parametrize("kind", [AESM2Config, MMoEConfig, MLPConfig])
def test_the_name_picks_the_model(kind: type) -> None:
    name = kind().name
    assert parse(Config, {"model": {"name": name}}, "config.toml").model == kind()


@pytest.mark.parametrize(
    ("values", "where", "hint"),
    [
        ({"modle": {}}, "modle", "did you mean 'model'?"),
        ({"training": {"epoch": 1}}, "training.epoch", "did you mean 'epochs'?"),
        ({"training": {"lamda_shared": 1}}, "lamda_shared", "did you mean 'lambda_shared'?"),
        ({"model": {"name": "aesm2", "towr": 1}}, "towr", "did you mean 'tower'?"),
        ({"model": {"name": "mlp", "hiden": 1}}, "hiden", "did you mean 'hidden'?"),
        (
            {"model": {"name": "aesm2", "scenario": {"expert": 3}}},
            "expert",
            "did you mean 'experts'?",
        ),
        ({"model": {"name": "aesm2", "task": {"widht": 3}}}, "widht", "did you mean 'width'?"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(values: dict, where: str, hint: str) -> None:
    message = error(values)
    assert message.startswith("config.toml: ")
    assert f"{where}: unknown key ({hint})" in message


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"training": {"epochs": 0}}, ["training.epochs", "found 0"]),
        ({"training": {"epochs": "many"}}, ["training.epochs", "found 'many'"]),
        ({"training": {"learning_rate": 0}}, ["training.learning_rate", "found 0"]),
        ({"training": {"l2": math.inf}}, ["training.l2", "finite", "found inf"]),
        ({"training": {"precision": "fp8"}}, ["training.precision", "found 'fp8'"]),
        ({"training": {"task_weights": {"ctr": -1}}}, ["task_weights.ctr", "found -1"]),
        ({"model": {"name": "aesm2", "noise_scale": -0.1}}, ["noise_scale", "found -0.1"]),
        ({"model": {"name": "aesm2", "tower": [0]}}, ["tower.0", "found 0"]),
        ({"model": {"name": "gbdt"}}, ["model", "'gbdt'"]),
        (
            {"model": {"name": "aesm2", "scenario_context": "both"}},
            ["scenario_context", "'record'", "'gate'", "found 'both'"],
        ),
    ],
)
def test_a_value_that_is_no_good_is_named(values: dict, parts: list[str]) -> None:
    message = error(values)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ({"experts": 3, "specific": 4}, "specific = 4 is more than experts = 3"),
        ({"experts": 3, "specific": 1, "shared": 4}, "shared = 4 is more than experts = 3"),
        ({"specific": 0, "shared": 0}, "no expert would ever be chosen"),
    ],
)
def test_more_chosen_than_there_are_or_none_is_an_error(group: dict, message: str) -> None:
    assert message in error({"model": {"name": "aesm2", "task": group}})


@pytest.mark.parametrize(("specific", "shared"), [(0, 3), (3, 0), (3, 3)])
def test_all_experts_or_one_kind_alone_is_allowed(specific: int, shared: int) -> None:
    group = ExpertGroup(experts=3, specific=specific, shared=shared)
    assert (group.specific, group.shared) == (specific, shared)


def test_one_group_for_all_levels_or_one_a_level() -> None:
    for group, kind in ((ExpertGroup, AESM2Config), (MixtureGroup, MMoEConfig)):
        one, other = group(experts=4), group(experts=5)
        assert per_level(kind(scenario=one).scenario, 3) == (one, one, one)
        assert per_level(kind(scenario=(one, other)).scenario, 2) == (one, other)
        with pytest.raises(
            InputError, match=r"model\.scenario describes 2 levels, the dataset has 1"
        ):
            per_level((one, other), 1)


def test_configuration_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TrainingConfig().epochs = 3


def test_reading_a_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        """
[model]
name = "aesm2"
scenario = [{experts = 4}, {experts = 6, layers = 1}]
tower = [8, 4]
[training]
task_weights = {ctr = 0.1}
""",
        encoding="utf-8",
    )
    config = read_config(file)
    assert [group.experts for group in config.model.scenario] == [4, 6]
    assert config.model.tower == (8, 4)
    assert config.training.task_weights == {"ctr": 0.1}


@pytest.mark.parametrize("content", [b"[model", b"a = 1\na = 2", b"\xff"])
def test_a_file_that_is_not_toml_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_config(file)
    assert str(caught.value).startswith(f"{file}: not valid TOML")


def test_a_file_that_is_not_there_or_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: no such file"):
        read_config(tmp_path / "none.toml")
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path)


def test_nearest_suggests_only_what_is_close() -> None:
    assert nearest("tabel", ["table", "time"]) == " (did you mean 'table'?)"
    assert nearest("zzz", ["table", "time"]) == ""
    assert nearest("x", []) == ""
