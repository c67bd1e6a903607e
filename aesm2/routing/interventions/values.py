"""What can be done to a model's choice of experts, as values."""

from dataclasses import dataclass

from aesm2.routing.shares import RoleName


@dataclass(frozen=True)
class KnockOut:
    """Take an expert out of a layer: it can be chosen in neither role."""

    layer: str
    expert: int


@dataclass(frozen=True)
class Force:
    """Put an expert into a layer's set of specific or of shared experts."""

    layer: str
    expert: int
    role: RoleName


@dataclass(frozen=True)
class Fix:
    """Give both sets of a layer, for every row."""

    layer: str
    specific: tuple[int, ...]
    shared: tuple[int, ...]


@dataclass(frozen=True)
class SetK:
    """Change how many experts a row takes in a layer: K of Eq. 10 and of Eq. 12."""

    layer: str
    specific: int
    shared: int


@dataclass(frozen=True)
class Retarget:
    """Change j of a scenario layer, and nothing else."""

    layer: str
    gate: str


@dataclass(frozen=True)
class Noise:
    """Add Gaussian noise of standard deviation scale · n to G of every layer (Eq. 8).

    The noise of a row depends on the seed, the layer and the row's position alone.
    """

    scale: float
    seed: int


@dataclass(frozen=True)
class Swap:
    """Let every row come from another scenario of a level; its features stay as they are."""

    level: str
    scenario: str


Intervention = KnockOut | Force | Fix | SetK | Retarget | Noise | Swap
Interventions = tuple[Intervention, ...]
