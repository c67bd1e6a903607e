"""What interventions come to in each layer, and whether they can be done at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from aesm2.errors import InputError, nearest
from aesm2.routing.interventions.values import (
    Fix,
    Force,
    Interventions,
    KnockOut,
    Noise,
    Retarget,
    SetK,
    Swap,
)
from aesm2.routing.shares import RoleName
from aesm2.routing.trace import LayerSpec

LARGEST_NOISE = 1_000_000  # scale; logits beyond all floats choose nothing

One = TypeVar("One")


@dataclass(frozen=True)
class Plan:
    """What happens in one layer. specific, shared: K as it is used."""

    target: int | None
    specific: int
    shared: int
    out: frozenset[int]
    forced: dict[RoleName, tuple[int, ...]]
    fixed: Fix | None

    def k(self, role: RoleName) -> int:
        """Return K of a role."""
        return self.specific if role == "specific" else self.shared


def validate(layers: Sequence[LayerSpec], interventions: Interventions) -> None:
    """Raise InputError, naming what is wrong, for what cannot be done to a model's layers."""
    plans(layers, interventions)
    swaps = [own for own in interventions if isinstance(own, Swap)]
    for own in swaps:
        place_of(own.scenario, level_of(layers, own.level).gates, own.level)
        if sum(other.level == own.level for other in swaps) > 1:
            raise InputError(f"the scenario of level '{own.level}' is swapped twice; keep one")
    for noise in (own for own in interventions if isinstance(own, Noise)):
        if not 0 <= noise.scale <= LARGEST_NOISE or noise.seed < 0:
            raise InputError(
                f"noise of scale {noise.scale:g} and seed {noise.seed}: both must be 0 or more, the"
                f" scale at most {LARGEST_NOISE:,}"
            )


def plans(layers: Sequence[LayerSpec], interventions: Interventions) -> list[Plan | None]:
    """What happens in each layer, None where nothing but noise does; InputError where it cannot."""
    names = [spec.name for spec in layers]
    for own in interventions:
        if not isinstance(own, Noise | Swap) and own.layer not in names:
            raise InputError(
                f"no layer '{own.layer}'{nearest(own.layer, names)} (layers: {', '.join(names)})"
            )
    return [
        _plan(spec, [i for i in interventions if not isinstance(i, Noise | Swap)
                     and i.layer == spec.name])
        for spec in layers
    ]  # fmt: skip


def _plan(spec: LayerSpec, own: list[KnockOut | Force | Fix | SetK | Retarget]) -> Plan | None:
    if not own:
        return None
    retarget = _only([i for i in own if isinstance(i, Retarget)], spec, "retargeted")
    k = _only([i for i in own if isinstance(i, SetK)], spec, "given K")
    fixed = _only([i for i in own if isinstance(i, Fix)], spec, "fixed")
    out = frozenset(i.expert for i in own if isinstance(i, KnockOut))
    forced: dict[RoleName, tuple[int, ...]] = {"specific": (), "shared": ()}
    for force in (i for i in own if isinstance(i, Force)):
        if force.role not in forced:
            raise InputError(f"'{force.role}' is no role: an expert is specific or shared")
        forced[force.role] = (*dict.fromkeys((*forced[force.role], force.expert)),)
    _check_experts(spec, [*out, *forced["specific"], *forced["shared"]])
    target = None if retarget is None else _gate(spec, retarget)
    left = spec.experts - len(out)
    if left < 1:
        raise InputError(f"every expert of {spec.name} is knocked out: at least one must remain")
    specific, shared = (spec.specific, spec.shared) if k is None else _check_k(spec, k)
    plan = Plan(target, min(specific, left), min(shared, left), out, forced, fixed)
    _check_fixed(spec, plan, k) if fixed is not None else _check_forced(spec, plan)
    return plan


def _only(found: list[One], spec: LayerSpec, what: str) -> One | None:
    if len(found) > 1:
        raise InputError(f"{spec.name} is {what} twice; keep one")
    return found[0] if found else None


def _check_experts(spec: LayerSpec, experts: list[int]) -> None:
    for expert in experts:
        if not 0 <= expert < spec.experts:
            raise InputError(
                f"no expert {expert} in {spec.name}: its experts are 0 to {spec.experts - 1}"
            )


def _check_k(spec: LayerSpec, k: SetK) -> tuple[int, int]:
    fits = 0 <= k.specific <= spec.experts and 0 <= k.shared <= spec.experts
    if not fits or k.specific + k.shared == 0:
        raise InputError(
            f"K = {k.specific} specific and {k.shared} shared does not fit {spec.name}: each is 0"
            f" to {spec.experts}, and not both are 0"
        )
    return k.specific, k.shared


def _check_forced(spec: LayerSpec, plan: Plan) -> None:
    for role, forced in plan.forced.items():
        if gone := plan.out.intersection(forced):
            raise InputError(f"expert {min(gone)} of {spec.name} is knocked out and forced in")
        if len(forced) > plan.k(role):
            raise InputError(
                f"{len(forced)} experts of {spec.name} are forced in as {role}, but a row takes"
                f" K = {plan.k(role)}; raise K or force fewer"
            )


def _check_fixed(spec: LayerSpec, plan: Plan, k: SetK | None) -> None:
    fixed = plan.fixed
    if fixed is None:
        return
    _check_experts(spec, [*fixed.specific, *fixed.shared])
    if not fixed.specific and not fixed.shared:
        raise InputError(f"the roles of {spec.name} are fixed to no expert at all; name one")
    if k is not None or any(plan.forced.values()):
        raise InputError(f"the roles of {spec.name} are fixed: drop its K and what is forced in")
    if gone := plan.out.intersection(fixed.specific + fixed.shared):
        raise InputError(f"expert {min(gone)} of {spec.name} is knocked out and in its fixed roles")


def _gate(spec: LayerSpec, retarget: Retarget) -> int:
    if spec.kind != "scenario":
        raise InputError(f"{spec.name} is a task layer, whose gates are the tasks; retarget a"
                         " scenario layer")  # fmt: skip
    return place_of(retarget.gate, spec.gates, level_name(spec))


def level_of(layers: Sequence[LayerSpec], name: str) -> LayerSpec:
    """Return a layer of a scenario level."""
    levels = {level_name(spec): spec for spec in layers if spec.kind == "scenario"}
    if name not in levels:
        raise InputError(
            f"no scenario level '{name}'{nearest(name, levels)} (levels: {', '.join(levels)})"
        )
    return levels[name]


def place_of(scenario: str, gates: Sequence[str], level: str) -> int:
    """Return the place of a scenario in its level."""
    if scenario not in gates:
        few = ", ".join(gates[:8]) + (", …" if len(gates) > 8 else "")
        raise InputError(
            f"no scenario '{scenario}' of level '{level}'{nearest(scenario, gates)} (known: {few})"
        )
    return gates.index(scenario)


def level_name(spec: LayerSpec) -> str:
    """Return the name of a scenario layer's level: "tab" of "tab.1"."""
    return spec.name.rpartition(".")[0]
