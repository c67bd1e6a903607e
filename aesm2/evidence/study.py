"""A study: which models are compared, at what size, and how each is tuned.

Every model gets the same depth, the same width of experts at work, the same number of trials at
the same points of the same ranges, the same epochs and the same early stopping.
"""

from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from pydantic import Field, ValidationError, model_validator
from scipy.stats import qmc

from aesm2.config import (
    AESM2Config,
    AITMConfig,
    CrossStitchConfig,
    DSelectKConfig,
    ESMMConfig,
    ExpertGroup,
    GatedGroup,
    HardSharingConfig,
    HMoEConfig,
    MixtureGroup,
    MLPConfig,
    MMoEConfig,
    ModelConfig,
    ParallelDNNConfig,
    PEPNetConfig,
    PLEConfig,
    SplitGroup,
    STARConfig,
    Strict,
    TrainingConfig,
    parse,
    read_toml,
)
from aesm2.errors import InputError

ModelName = Literal[
    "mlp", "hard_sharing", "parallel_dnn", "cross_stitch", "star", "mmoe", "hmoe", "ple", "esmm",
    "aitm", "pepnet", "dselect_k", "aesm2",
]  # fmt: skip
ALL_MODELS: tuple[ModelName, ...] = get_args(ModelName)
IDS = "+ids"  # ends the name of a variant whose hidden layers or experts see scenario ids
TRIAL_SEED = 1_000_000  # trials use this seed, so that no final run repeats one of them


class Size(Strict):
    """The size of AESM², from which that of every other model follows (§4.1).

    Models with gates activate as many experts of the same width; models without have layers as
    wide as those experts side by side.
    """

    embedding_dim: int = Field(8, ge=1, le=1024)
    context_dim: int = Field(8, ge=1, le=1024)
    scenario: ExpertGroup = ExpertGroup(layers=1, experts=8, specific=2, shared=2, width=64)
    task: ExpertGroup = ExpertGroup(layers=1, experts=4, specific=1, shared=1, width=32)
    tower: tuple[int, ...] = (16,)


class Range(Strict):
    """A range from which trials are drawn evenly on a logarithmic scale."""

    low: float = Field(gt=0)
    high: float = Field(gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.low > self.high:
            raise ValueError(f"low = {self.low:g} is above high = {self.high:g}")
        return self

    def at(self, share: float) -> float:
        """Return the value at a share of the way from low to high."""
        return float(f"{self.low * (self.high / self.low) ** share:.3g}")


class Search(Strict):
    """What is tuned, on validation.

    trials: for every variant. learning_rate, l2: of every model. auxiliary: λ_sp = λ_sh, and
    noise_scale: of AESM² only, which has no more trials for them.
    """

    trials: int = Field(6, ge=1, le=1000)
    learning_rate: Range = Range(low=5e-4, high=5e-3)
    l2: Range = Range(low=1e-7, high=1e-4)
    auxiliary: Range = Range(low=1e-5, high=1e-2)
    noise_scale: Range = Range(low=3e-3, high=1e-1)


class Simulated(Strict):
    """A dataset to simulate: see `aesm2 simulate`."""

    preset: str
    rows: int = Field(ge=1000)
    seed: int = Field(0, ge=0)


class Searches(Strict):
    """What is replayed of a simulated dataset: searches, candidates of each, and how many show."""

    lists: int = Field(4_000, ge=2, le=1_000_000)
    candidates: int = Field(50, ge=2, le=10_000)
    shown: int = Field(10, ge=1)


class Study(Strict):
    """A study file, such as configs/evidence/kuairand.toml.

    dataset, out: folders that `aesm2 reproduce` reads and writes, relative to the file; simulate:
    how the dataset is made where it is missing.
    models: those compared, each without and with scenario ids as features of its hidden layers.
    only: the variants compared, by name, where not all of these models' are.
    seeds: final runs of every variant. evaluations: measurements on validation an epoch.
    """

    dataset: str = ""
    out: str = ""
    simulate: Simulated | None = None
    models: tuple[ModelName, ...] = ALL_MODELS
    only: tuple[str, ...] = ()
    seeds: int = Field(5, ge=2, le=1000)
    epochs: int = Field(4, ge=1)
    batch_size: int = Field(2048, ge=1)
    evaluations: int = Field(3, ge=1)
    patience: int = Field(4, ge=1)
    size: Size = Size()
    search: Search = Search()
    replay: Searches = Searches()

    @model_validator(mode="after")
    def _known(self) -> "Study":
        known = {name + end for name in self.models for end in ("", IDS)}
        unknown = [name for name in self.only if name not in known]
        if unknown:
            raise ValueError(f"only: '{unknown[0]}' is no variant of the models")
        if len(set(self.only)) == 1:
            raise ValueError(f"only: '{self.only[0]}' has no other variant to be compared with")
        return self

    def variants(self, levels: int) -> dict[str, ModelConfig]:
        """Return the model of each variant by name, for a dataset of so many scenario levels."""
        found: dict[str, ModelConfig] = {}
        for name in self.models:
            model = matched(name, self.size, levels)
            for seen in (False, True):
                own = model.model_copy(update={"scenario_features": seen})
                found[f"{name}{IDS if seen else ''}"] = own
        return {name: found[name] for name in self.only} if self.only else found

    def training(self, rows: int, seed: int, trial: int) -> TrainingConfig:
        """Return how a trial trains on so many rows; the final runs of a variant repeat its best.

        λ of the auxiliary losses acts on AESM² only.
        """
        rate, l2, auxiliary, _ = self.point(trial)
        steps = -(-rows // self.batch_size)
        return TrainingConfig(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=rate,
            l2=l2,
            lambda_specific=auxiliary,
            lambda_shared=auxiliary,
            evaluate_every=max(1, -(-steps // self.evaluations)),
            patience=self.patience,
            record_every=max(1, steps // 10),
            seed=seed,
        )

    def model(self, variant: ModelConfig, trial: int) -> ModelConfig:
        """Return a variant as a trial changes it: the noise of AESM² is tuned too."""
        if isinstance(variant, AESM2Config):
            return variant.model_copy(update={"noise_scale": self.point(trial)[3]})
        return variant

    def point(self, trial: int) -> tuple[float, float, float, float]:
        """Return learning rate, l2, λ and noise scale of a trial: a scrambled Halton sequence."""
        search = self.search
        ranges = (search.learning_rate, search.l2, search.auxiliary, search.noise_scale)
        drawn = qmc.Halton(len(ranges), rng=np.random.default_rng(0)).random(trial + 1)[-1]
        rate, l2, auxiliary, noise = (r.at(u) for r, u in zip(ranges, drawn, strict=True))
        return rate, l2, auxiliary, noise

    def quick(self) -> "Study":
        """Return a short form: few seeds, trials and epochs; for a first look, not for a claim."""
        search = self.search.model_copy(update={"trials": 1})
        replay = self.replay.model_copy(update={"lists": 200})
        short = {"seeds": 2, "epochs": 1, "search": search, "replay": replay}
        return self.model_copy(update=short)


def read_study(path: Path) -> Study:
    """Read a study file; InputError names what is wrong."""
    return parse(Study, read_toml(path), str(path))


def matched(name: ModelName, size: Size, levels: int) -> ModelConfig:
    """Return a model of the same depth and the same width of experts at work as AESM².

    Raises InputError where there is none, such as PLE without shared experts.
    """
    try:
        return _matched(name, size, levels)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"size: no {name} is of this size ({place} would be {first['input']}); change the size,"
            f" or leave {name} out of the models"
        ) from None


def _matched(name: ModelName, size: Size, levels: int) -> ModelConfig:
    own, task, tower = size.scenario, size.task, size.tower
    active, of_task = own.specific + own.shared, task.specific + task.shared
    dims = {"embedding_dim": size.embedding_dim}
    both = dims | {"context_dim": size.context_dim}
    side = {"layers": own.layers, "width": active * own.width}  # experts at work, side by side
    task_side = {"layers": task.layers, "width": of_task * task.width}
    bottom = (side["width"],) * (levels * own.layers) + (task_side["width"],) * task.layers
    each, task_each = ({"layers": g.layers, "width": g.width} for g in (own, task))
    plain: dict[str, Any] = {"scenario": side, "task": task_side, "tower": tower}
    match name:
        case "aesm2":
            return AESM2Config(**both, scenario=own, task=task, tower=tower)
        case "mlp":
            return MLPConfig(**dims, hidden=(*bottom, *tower))
        case "hard_sharing":
            return HardSharingConfig(**dims, hidden=bottom, tower=tower)
        case "parallel_dnn":
            return ParallelDNNConfig(**dims, **plain)
        case "cross_stitch":
            return CrossStitchConfig(**dims, **plain)
        case "star":
            return STARConfig(**both, **plain)
        case "hmoe":
            return HMoEConfig(**dims, **plain | {"scenario": each})
        case "mmoe":
            groups = (
                MixtureGroup(experts=active, **each),
                MixtureGroup(experts=of_task, **task_each),
            )
            return MMoEConfig(**dims, scenario=groups[0], task=groups[1], tower=tower)
        case "ple":
            scenario = SplitGroup(specific=own.specific, shared=own.shared, **each)
            tasks = SplitGroup(specific=task.specific, shared=task.shared, **task_each)
            return PLEConfig(**dims, scenario=scenario, task=tasks, tower=tower)
        case "dselect_k":
            many, few = (1 << max(1, (g.experts - 1).bit_length()) for g in (own, task))
            gated = GatedGroup(experts=many, selected=active, **each)
            of_tasks = GatedGroup(experts=few, selected=of_task, **task_each)
            return DSelectKConfig(**dims, scenario=gated, task=of_tasks, tower=tower)
        case "esmm":
            return ESMMConfig(**dims, hidden=(*bottom, *tower))
        case "aitm":
            return AITMConfig(**dims, hidden=bottom, transfer=max(tower, default=task.width))
        case "pepnet":
            return PEPNetConfig(**both, hidden=(*bottom, *tower))
