"""Configuration of models and training, as frozen values that refuse what they do not know."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from aesm2.errors import InputError, nearest


class Strict(BaseModel):
    """Base of every configuration value: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


StrictT = TypeVar("StrictT", bound=Strict)


class ExpertGroup(Strict):
    """The layers of one scenario level, or of the task part.

    layers: layers stacked. experts: n of Eq. 7. specific, shared: K of Eq. 10 and Eq. 12.
    width: output width of each expert (Eq. 2).
    """

    layers: int = Field(2, ge=1, le=16)
    experts: int = Field(10, ge=1, le=256)
    specific: int = Field(2, ge=0)
    shared: int = Field(2, ge=0)
    width: int = Field(64, ge=1, le=4096)

    @model_validator(mode="after")
    def _enough_experts(self) -> "ExpertGroup":
        for role, k in (("specific", self.specific), ("shared", self.shared)):
            if k > self.experts:
                raise ValueError(f"{role} = {k} is more than experts = {self.experts}")
        if self.specific + self.shared == 0:
            raise ValueError("specific and shared are both 0: no expert would ever be chosen")
        return self


def per_level(
    scenario: ExpertGroup | tuple[ExpertGroup, ...], count: int
) -> tuple[ExpertGroup, ...]:
    """One group for each of `count` scenario levels; InputError where their numbers differ."""
    if isinstance(scenario, ExpertGroup):
        return (scenario,) * count
    if len(scenario) != count:
        raise InputError(
            f"model.scenario describes {len(scenario)} levels, the dataset has {count}"
        )
    return scenario


class AESM2Config(Strict):
    """AESM² (Zou et al., SIGIR 2022), with one ExpertGroup for all levels or one a level.

    noise_scale: the noise of Eq. 8 has standard deviation noise_scale · experts.
    scenario_context: "record" is Eq. 8, every gate sees the record's own scenario embedding;
    "gate" is an extension in which gate j sees the embedding of scenario j, as Eq. 16 does for
    tasks.
    """

    name: Literal["aesm2"] = "aesm2"
    embedding_dim: int = Field(8, ge=1, le=1024)
    context_dim: int = Field(8, ge=1, le=1024)
    scenario: ExpertGroup | tuple[ExpertGroup, ...] = ExpertGroup()
    task: ExpertGroup = ExpertGroup(experts=3, specific=1, shared=1, width=32)
    tower: tuple[Annotated[int, Field(ge=1)], ...] = (32,)
    noise_scale: float = Field(0.01, ge=0)
    scenario_context: Literal["record", "gate"] = "record"

    def levels(self, count: int) -> tuple[ExpertGroup, ...]:
        """Return one group for each of `count` levels; see `per_level`."""
        return per_level(self.scenario, count)


class MMoEConfig(Strict):
    """Dense multi-gate mixture of experts (Eq. 1–4), stacked like AESM²; K is ignored."""

    name: Literal["mmoe"] = "mmoe"
    embedding_dim: int = Field(8, ge=1, le=1024)
    scenario: ExpertGroup | tuple[ExpertGroup, ...] = ExpertGroup()
    task: ExpertGroup = ExpertGroup(experts=3, specific=1, shared=1, width=32)
    tower: tuple[Annotated[int, Field(ge=1)], ...] = (32,)

    def levels(self, count: int) -> tuple[ExpertGroup, ...]:
        """Return one group for each of `count` levels; see `per_level`."""
        return per_level(self.scenario, count)


class MLPConfig(Strict):
    """One multilayer perceptron for all scenarios, given their ids as features."""

    name: Literal["mlp"] = "mlp"
    embedding_dim: int = Field(8, ge=1, le=1024)
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (128, 64)


ModelConfig = Annotated[AESM2Config | MMoEConfig | MLPConfig, Field(discriminator="name")]


class TrainingConfig(Strict):
    """How a model is fitted.

    lambda_specific, lambda_shared: λ_sp and λ_sh of Eq. 21. task_weights: λ_k of Eq. 22 by task
    name, 1 where absent. l2: γ of Eq. 22. evaluate_every: optimizer steps between two measurements
    on the validation split, by default one an epoch. patience: measurements without a better score
    before training stops. record_every: optimizer steps between two records of the losses.
    precision: "bf16" runs the experts under autocast; gates and losses stay in float32.
    """

    epochs: int = Field(10, ge=1)
    batch_size: int = Field(4096, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    l2: float = Field(0.0, ge=0)
    lambda_specific: float = Field(1e-3, ge=0)
    lambda_shared: float = Field(1e-3, ge=0)
    task_weights: dict[str, Annotated[float, Field(ge=0)]] = {}
    evaluate_every: int | None = Field(None, ge=1)
    patience: int = Field(2, ge=1)
    record_every: int = Field(20, ge=1)
    seed: int = Field(0, ge=0, lt=2**63)
    precision: Literal["float32", "bf16"] = "float32"


class Config(Strict):
    """A whole configuration file: [model] and [training]."""

    model: ModelConfig = AESM2Config()
    training: TrainingConfig = TrainingConfig()


def parse(kind: type[StrictT], values: dict[str, Any], where: str) -> StrictT:
    """Build `kind` from plain values; InputError names `where`, the key and the nearest key."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            *parents, key = first["loc"]
            message = f"unknown key{nearest(str(key), _keys_at(kind, parents))}"
        elif first["type"] not in ("missing", "value_error"):
            message = f"{message[0].lower()}{message[1:]}, found {first['input']!r}"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise InputError(f"{where}: {path or 'file'}: {message}{more}") from None


def _keys_at(kind: type[BaseModel], path: list[int | str]) -> set[str]:
    """Return the keys that are valid below `path`, a pydantic error location."""
    kinds = {kind}
    for part in path:
        fields = [k.model_fields[part] for k in kinds if part in k.model_fields]
        if fields:  # an index or a union's tag leaves the candidates as they are
            kinds = {k for field in fields for k in _models_in(field.annotation)}
    return {key for k in kinds for key in k.model_fields}


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    """Return every model named anywhere inside a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {k for inner in get_args(annotation) for k in _models_in(inner)}


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; InputError names the file and the line that does not parse."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def read_config(path: Path) -> Config:
    """Read a configuration file such as `configs/kuairand.toml`."""
    return parse(Config, read_toml(path), str(path))
