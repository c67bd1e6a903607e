"""Configuration of each model: its layers at every scenario level, its task layers, its towers.

`scenario` is one group for all levels or one a level, outermost first. `scenario_features` says
whether the scenario ids are embedded as inputs beside the other features, and so reach the experts
or hidden layers themselves; what else they reach is in each model's docstring.
"""

from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import Field, model_validator

from aesm2.config.strict import Strict
from aesm2.errors import InputError

Count = Annotated[int, Field(ge=1)]
Dim = Annotated[int, Field(ge=1, le=1024)]


class LayerGroup(Strict):
    """Plain layers. layers: how many are stacked. width: their output width."""

    layers: int = Field(1, ge=1, le=16)
    width: int = Field(64, ge=1, le=4096)


class MixtureGroup(Strict):
    """Layers of experts that all contribute to every row.

    layers: layers stacked. experts: n of Eq. 1. width: output width of each expert (Eq. 2).
    """

    layers: int = Field(1, ge=1, le=16)
    experts: int = Field(4, ge=1, le=256)
    width: int = Field(64, ge=1, le=4096)


class SplitGroup(Strict):
    """Layers whose experts belong to one gate each, or to all.

    layers: layers stacked. specific: experts of each gate alone. shared: experts of all gates.
    width: output width of each expert (Eq. 2).
    """

    layers: int = Field(1, ge=1, le=16)
    specific: int = Field(2, ge=1, le=256)
    shared: int = Field(2, ge=1, le=256)
    width: int = Field(64, ge=1, le=4096)


class ExpertGroup(Strict):
    """Layers of experts of which each row selects some: those of one scenario level, or the tasks.

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


class GatedGroup(Strict):
    """Layers of experts of which a DSelect-k gate uses at most k.

    layers: layers stacked. experts: n, a power of two, so that every binary code is an expert.
    selected: k. width: output width of each expert (Eq. 2).
    """

    layers: int = Field(1, ge=1, le=16)
    experts: int = Field(8, ge=2, le=256)
    selected: int = Field(4, ge=1, le=256)
    width: int = Field(64, ge=1, le=4096)

    @model_validator(mode="after")
    def _codes(self) -> "GatedGroup":
        if self.experts & (self.experts - 1):
            raise ValueError(f"experts = {self.experts} is no power of two")
        return self


Group = LayerGroup | MixtureGroup | SplitGroup | ExpertGroup | GatedGroup
GroupT = TypeVar("GroupT", bound=Group)


def per_level(scenario: GroupT | tuple[GroupT, ...], count: int) -> tuple[GroupT, ...]:
    """One group for each of `count` scenario levels; InputError where their numbers differ."""
    if not isinstance(scenario, tuple):
        return (scenario,) * count
    if len(scenario) != count:
        raise InputError(
            f"model.scenario describes {len(scenario)} levels, the dataset has {count}"
        )
    return scenario


class AESM2Config(Strict):
    """AESM² (Zou et al., SIGIR 2022).

    noise_scale: the noise of Eq. 8 has standard deviation noise_scale · experts.
    scenario_context: "record" is Eq. 8, every gate sees the record's own scenario embedding;
    "gate" is an extension in which gate j sees the embedding of scenario j, as Eq. 16 does for
    tasks. scenario_features: an extension too; in the paper only gates see the scenario.
    """

    title: ClassVar[str] = "AESM²"
    name: Literal["aesm2"] = "aesm2"
    embedding_dim: Dim = 8
    context_dim: Dim = 8
    scenario: ExpertGroup | tuple[ExpertGroup, ...] = ExpertGroup()
    task: ExpertGroup = ExpertGroup(experts=3, specific=1, shared=1, width=32)
    tower: tuple[Count, ...] = (32,)
    noise_scale: float = Field(0.01, ge=0, le=1e6)
    scenario_context: Literal["record", "gate"] = "record"
    scenario_features: bool = False


class MLPConfig(Strict):
    """One multilayer perceptron for all scenarios and tasks: the control."""

    title: ClassVar[str] = "Shared MLP"
    name: Literal["mlp"] = "mlp"
    embedding_dim: Dim = 8
    hidden: tuple[Count, ...] = (128, 64)
    scenario_features: bool = True


class HardSharingConfig(Strict):
    """Hard parameter sharing (Caruana, 1997): one bottom, a tower a scenario and task."""

    title: ClassVar[str] = "Hard Sharing"
    name: Literal["hard_sharing"] = "hard_sharing"
    embedding_dim: Dim = 8
    hidden: tuple[Count, ...] = (128, 64)
    tower: tuple[Count, ...] = (32,)
    scenario_features: bool = False


class ParallelDNNConfig(Strict):
    """A network of its own for each scenario of each level, then for each task."""

    title: ClassVar[str] = "Parallel DNN"
    name: Literal["parallel_dnn"] = "parallel_dnn"
    embedding_dim: Dim = 8
    scenario: LayerGroup | tuple[LayerGroup, ...] = LayerGroup()
    task: LayerGroup = LayerGroup(width=32)
    tower: tuple[Count, ...] = (32,)
    scenario_features: bool = False


class CrossStitchConfig(Strict):
    """Cross-stitch networks (Misra et al., CVPR 2016).

    keep: initial weight of a column's own activation; the rest is divided among the others.
    """

    title: ClassVar[str] = "Cross-Stitch"
    name: Literal["cross_stitch"] = "cross_stitch"
    embedding_dim: Dim = 8
    scenario: LayerGroup | tuple[LayerGroup, ...] = LayerGroup()
    task: LayerGroup = LayerGroup(width=32)
    tower: tuple[Count, ...] = (32,)
    keep: float = Field(0.9, ge=0, le=1)
    scenario_features: bool = False


class STARConfig(Strict):
    """STAR (Sheng et al., CIKM 2021), with a second star for the tasks.

    auxiliary: hidden widths of its auxiliary network. partitioned_norm: whether the input is
    normalised by statistics of its own scenario.
    """

    title: ClassVar[str] = "STAR"
    name: Literal["star"] = "star"
    embedding_dim: Dim = 8
    context_dim: Dim = 8
    scenario: LayerGroup | tuple[LayerGroup, ...] = LayerGroup()
    task: LayerGroup = LayerGroup(width=32)
    tower: tuple[Count, ...] = (32,)
    auxiliary: tuple[Count, ...] = (16,)
    partitioned_norm: bool = True
    scenario_features: bool = False


class MMoEConfig(Strict):
    """Dense multi-gate mixture of experts (Ma et al., KDD 2018; Eq. 1–4), stacked like AESM²."""

    title: ClassVar[str] = "MMoE"
    name: Literal["mmoe"] = "mmoe"
    embedding_dim: Dim = 8
    scenario: MixtureGroup | tuple[MixtureGroup, ...] = MixtureGroup()
    task: MixtureGroup = MixtureGroup(experts=2, width=32)
    tower: tuple[Count, ...] = (32,)
    scenario_features: bool = False


class HMoEConfig(Strict):
    """HMoE (Li et al., 2020): an expert a scenario, gradients of the others cut."""

    title: ClassVar[str] = "HMoE"
    name: Literal["hmoe"] = "hmoe"
    embedding_dim: Dim = 8
    scenario: LayerGroup | tuple[LayerGroup, ...] = LayerGroup()
    task: LayerGroup = LayerGroup(width=32)
    tower: tuple[Count, ...] = (32,)
    scenario_features: bool = False


class PLEConfig(Strict):
    """PLE (Tang et al., RecSys 2020), with progressive layers for scenarios before the tasks'."""

    title: ClassVar[str] = "PLE"
    name: Literal["ple"] = "ple"
    embedding_dim: Dim = 8
    scenario: SplitGroup | tuple[SplitGroup, ...] = SplitGroup()
    task: SplitGroup = SplitGroup(specific=1, shared=1, width=32)
    tower: tuple[Count, ...] = (32,)
    scenario_features: bool = False


class ESMMConfig(Strict):
    """ESMM (Ma et al., SIGIR 2018): an embedding shared by one network a task."""

    title: ClassVar[str] = "ESMM"
    name: Literal["esmm"] = "esmm"
    embedding_dim: Dim = 8
    hidden: tuple[Count, ...] = (128, 64)
    scenario_features: bool = False


class AITMConfig(Strict):
    """AITM (Xi et al., KDD 2021): what a task's network knows is passed to the one it leads to.

    transfer: width of the passed vectors.
    """

    title: ClassVar[str] = "AITM"
    name: Literal["aitm"] = "aitm"
    embedding_dim: Dim = 8
    hidden: tuple[Count, ...] = (128, 64)
    transfer: Dim = 32
    scenario_features: bool = True


class PEPNetConfig(Strict):
    """PEPNet (Chang et al., KDD 2023): gates scale the embedding and every hidden unit.

    gate: hidden width of the gate networks.
    """

    title: ClassVar[str] = "PEPNet"
    name: Literal["pepnet"] = "pepnet"
    embedding_dim: Dim = 8
    context_dim: Dim = 8
    hidden: tuple[Count, ...] = (128, 64)
    gate: Dim = 32
    scenario_features: bool = False


class DSelectKConfig(Strict):
    """MMoE with DSelect-k gates (Hazimeh et al., NeurIPS 2021): at most k experts a gate.

    gamma: width of the smooth step.
    """

    title: ClassVar[str] = "DSelect-k"
    name: Literal["dselect_k"] = "dselect_k"
    embedding_dim: Dim = 8
    scenario: GatedGroup | tuple[GatedGroup, ...] = GatedGroup()
    task: GatedGroup = GatedGroup(experts=4, selected=2, width=32)
    tower: tuple[Count, ...] = (32,)
    gamma: float = Field(1.0, gt=0)
    scenario_features: bool = False


StackedConfig = (
    AESM2Config
    | ParallelDNNConfig
    | CrossStitchConfig
    | STARConfig
    | MMoEConfig
    | HMoEConfig
    | PLEConfig
    | DSelectKConfig
)  # a layer or more for each scenario level, then for the tasks, then towers
ModelConfig = Annotated[
    StackedConfig | MLPConfig | HardSharingConfig | ESMMConfig | AITMConfig | PEPNetConfig,
    Field(discriminator="name"),
]
