"""The form of one intervention: its kind, and what that kind needs."""

import streamlit as st

from aesm2.routing.interventions import (
    Fix,
    Force,
    Intervention,
    KnockOut,
    Noise,
    Retarget,
    SetK,
    Swap,
)
from aesm2.routing.shares import ROLES
from aesm2.routing.trace import LayerSpec

KINDS = {
    "out": "Knock an expert out", "force": "Force an expert in", "fix": "Fix the roles of a layer",
    "k": "Change K of a layer", "retarget": "Retarget j only", "swap": "Swap the scenario",
    "noise": "Add noise to the gates",
}  # fmt: skip
MEANS = {
    "out": "It can be chosen in neither set; the next best takes its place.",
    "force": "It displaces the K-th best of its set, for every row.",
    "fix": "Every row takes these experts, whatever its gates say.",
    "k": "How many experts a row takes in each role.",
    "retarget": "The target gate of a scenario layer changes, nothing else. The shared set cannot"
    " move: KL(q, ·) does not depend on j (Eq. 13).",
    "swap": "Embeddings, gate context and target are those of another scenario; the features stay.",
    "noise": "Gaussian noise of standard deviation scale · n on G, as in training (Eq. 8).",
}


def form(layers: tuple[LayerSpec, ...]) -> Intervention:
    """Draw the form and return the intervention it says."""
    kind = st.selectbox("What", list(KINDS), format_func=KINDS.__getitem__, key="do-kind")
    st.caption(MEANS[kind])
    if kind == "noise":
        scale = st.number_input("Scale", 0.0, 10.0, 0.1, 0.05, key="do-scale")
        return Noise(scale, int(st.number_input("Seed", 0, 10**9, 0, key="do-seed")))
    if kind == "swap":
        levels = {spec.name.rpartition(".")[0]: spec for spec in _scenario(layers)}
        level = st.selectbox("Level", list(levels), key="do-level")
        gates = levels[level].gates
        return Swap(level, st.selectbox("Scenario", gates, key=f"do-scenario-{level}"))
    if kind == "retarget":
        spec = _layer(_scenario(layers))
        return Retarget(spec.name, st.selectbox("Gate", spec.gates, key=f"do-gate-{spec.name}"))
    return _of_experts(kind, _layer(layers))


def _of_experts(kind: str, spec: LayerSpec) -> Intervention:
    experts = list(range(spec.experts))
    if kind == "fix":
        sets = (
            st.multiselect(f"{role.capitalize()} experts", experts, experts[:k],
                           key=f"do-fix-{role}-{spec.name}")
            for role, k in (("specific", spec.specific), ("shared", spec.shared))
        )  # fmt: skip
        specific, shared = (tuple(sorted(chosen)) for chosen in sets)
        return Fix(spec.name, specific, shared)
    if kind == "k":
        k_specific, k_shared = (
            int(st.number_input(f"K {role}", 0, spec.experts, k, key=f"do-k-{role}-{spec.name}"))
            for role, k in (("specific", spec.specific), ("shared", spec.shared))
        )
        return SetK(spec.name, k_specific, k_shared)
    expert = st.selectbox("Expert", experts, key=f"do-expert-{spec.name}")
    if kind == "force":
        return Force(spec.name, expert, st.selectbox("As", ROLES, key="do-role"))
    return KnockOut(spec.name, expert)


def _layer(layers: tuple[LayerSpec, ...]) -> LayerSpec:
    names = {spec.name: spec for spec in layers}
    return names[st.selectbox("Layer", list(names), key=f"do-layer-{len(names)}")]


def _scenario(layers: tuple[LayerSpec, ...]) -> tuple[LayerSpec, ...]:
    return tuple(spec for spec in layers if spec.kind == "scenario")
