"""AESM² as slow, obvious loops over rows, gates and experts: what the fast code must agree with.

Written from Eq. 1–22 of the paper in Python and NumPy float64. It reads the weights of a model's
state_dict and shares no code with it. Noise (η of Eq. 8 and 16) is left out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

Weights = Mapping[str, np.ndarray]


@dataclass
class Choice:
    """What one row's gate matrix G, (n, m), leads to at gate j (Eq. 9–14)."""

    row_softmax: list[list[float]]
    kl_specific: list[float]
    kl_shared: list[float]
    specific: list[bool]
    shared: list[bool]
    mixing_weights: list[float]


@dataclass
class Layer:
    """Arrays of one layer, (rows, …); in a task layer those that depend on j are (T, rows, …)."""

    gate_logits: np.ndarray
    row_softmax: np.ndarray
    kl_specific: np.ndarray
    kl_shared: np.ndarray
    specific: np.ndarray
    shared: np.ndarray
    mixing_weights: np.ndarray
    output: np.ndarray


@dataclass
class Prediction:
    """logits and probabilities (along the chain), both (rows, tasks), and every layer."""

    logits: np.ndarray
    probabilities: np.ndarray
    layers: list[Layer] = field(default_factory=list)


@dataclass
class Loss:
    """Every term of Eq. 22 before its weight."""

    tasks: list[float]
    specific: float
    shared: float
    squared_norm: float


@dataclass(frozen=True)
class Shape:
    """What the weights alone do not tell.

    groups: for each level, then for the task part: (layers, n, K specific, K shared).
    gates: scenarios of each level. own: whether gate j of a scenario layer sees scenario j.
    """

    field_sizes: Sequence[int]
    groups: Sequence[tuple[int, int, int, int]]
    gates: Sequence[int]
    parents: Sequence[int]
    own: bool


def softmax(values: Sequence[float]) -> list[float]:
    top = max(values)
    powers = [math.exp(v - top) for v in values]
    return [p / sum(powers) for p in powers]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def kl(p: Sequence[float], q: Sequence[float]) -> float:
    """Σ p log(p / q), where 0 log 0 = 0."""
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def top_k(scores: Sequence[float], k: int) -> list[bool]:
    """Members of the k highest scores; of equal ones, the lower index first."""
    ranked = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    return [i in ranked[:k] for i in range(len(scores))]


def choose(G: np.ndarray, j: int, specific: int, shared: int) -> Choice:
    experts, gates = G.shape
    row_softmax = [softmax(list(G[k])) for k in range(experts)]  # Eq. 9
    one_hot = [1.0 if i == j else 0.0 for i in range(gates)]
    uniform = [1 / gates] * gates
    kl_specific = [kl(one_hot, row_softmax[k]) for k in range(experts)]  # Eq. 11
    kl_shared = [kl(uniform, row_softmax[k]) for k in range(experts)]  # Eq. 13
    in_specific = top_k([-d for d in kl_specific], specific)  # Eq. 10
    in_shared = top_k([-d for d in kl_shared], shared)  # Eq. 12
    chosen = [k for k in range(experts) if in_specific[k] or in_shared[k]]
    weights = [0.0] * experts
    for k, weight in zip(chosen, softmax([G[k, j] for k in chosen]), strict=True):  # Eq. 14
        weights[k] = weight
    return Choice(row_softmax, kl_specific, kl_shared, in_specific, in_shared, weights)


def relu_layer(W: np.ndarray, b: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.array([max(0.0, float(np.dot(W[i], x)) + b[i]) for i in range(len(W))])  # Eq. 2


def mixture(W: np.ndarray, b: np.ndarray, x: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    total = np.zeros(W.shape[1])
    for k in range(len(W)):
        total = total + weights[k] * relu_layer(W[k], b[k], x)  # Eq. 1
    return total


def mlp(layers: Sequence[tuple[np.ndarray, np.ndarray]], x: np.ndarray) -> np.ndarray:
    for W, b in layers[:-1]:
        x = relu_layer(W, b, x)
    W, b = layers[-1]
    return W @ x + b


def embed(table: np.ndarray, sizes: Sequence[int], fields: Sequence[int]) -> np.ndarray:
    """Eq. 5–6: each field has its own part of the table, one after the other."""
    parts = [table[sum(sizes[:i]) + index] for i, index in enumerate(fields)]
    return np.concatenate(parts)


def chain(logits: Sequence[float], parents: Sequence[int]) -> list[float]:
    """Probability of each task: its own sigmoid times that of the task it follows."""
    probabilities: list[float] = []
    for logit, parent in zip(logits, parents, strict=True):
        before = 1.0 if parent < 0 else probabilities[parent]
        probabilities.append(before * sigmoid(logit))
    return probabilities


def predict(w: Weights, shape: Shape, fields: np.ndarray, scenarios: np.ndarray) -> Prediction:
    rows, tasks = len(fields), len(shape.parents)
    x = [embed(w["embedding.weight"], shape.field_sizes, fields[r]) for r in range(rows)]
    layers: list[Layer] = []
    levels = range(len(shape.gates))
    for level in levels:
        for _ in range(shape.groups[level][0]):
            layer = _scenario_layer(w, shape, len(layers), level, x, scenarios)
            layers.append(layer)
            x = list(layer.output)
    z = [x] * tasks  # z[t][r]
    for number in range(shape.groups[-1][0]):
        layer = _task_layer(w, shape, number, z, scenarios)
        layers.append(layer)
        z = [list(of_task) for of_task in layer.output]
    logits = np.array([[_tower(w, t, z[t][r]) for t in range(tasks)] for r in range(rows)])
    return Prediction(logits, np.array([chain(row, shape.parents) for row in logits]), layers)


def _scenario_embedding(w: Weights, level: int, scenario: int) -> np.ndarray:
    return w[f"scenario_embedding.{level}.weight"][scenario]


def _scenario_layer(
    w: Weights, shape: Shape, index: int, level: int, x: list[np.ndarray], scenarios: np.ndarray
) -> Layer:
    """Eq. 7–15; with `own`, gate j sees the embedding of scenario j in place of the record's."""
    name, gates = f"scenario_layers.{index}", shape.gates[level]
    _, experts, specific, shared = shape.groups[level]
    S_x = w[f"{name}.gate.weight"].reshape(experts, gates, -1)
    seen = level if shape.own else level + 1
    logits, choices, outputs = [], [], []
    for r in range(len(x)):
        G = np.zeros((experts, gates))
        for k in range(experts):
            for j in range(gates):
                G[k, j] = S_x[k, j] @ x[r]
                if seen:
                    s = [_scenario_embedding(w, i, scenarios[r, i]) for i in range(seen)]
                    S_s = w[f"{name}.gate_context.weight"].reshape(experts, gates, -1)
                    G[k, j] += S_s[k, j] @ np.concatenate(s)
                if shape.own:
                    G[k, j] += w[f"{name}.gate_own"][k, j] @ _scenario_embedding(w, level, j)
        choice = choose(G, scenarios[r, level], specific, shared)
        logits.append(G)
        choices.append(choice)
        outputs.append(_experts(w, name, x[r], choice))
    return Layer(np.array(logits), *_arrays(choices, True), np.array(outputs))


def _task_layer(
    w: Weights, shape: Shape, number: int, z: list[list[np.ndarray]], scenarios: np.ndarray
) -> Layer:
    """Eq. 16–17: column k of G sees [z_k, s_1 … s_L, t_k]; the experts are the tasks' own."""
    name, tasks, rows = f"task_layers.{number}", len(z), len(z[0])
    _, experts, specific, shared = shape.groups[-1]
    T_z, T_t = w[f"{name}.gate"], w[f"{name}.gate_own"]
    T_s = w[f"{name}.gate_context.weight"].reshape(experts, tasks, -1)
    logits = np.zeros((rows, experts, tasks))
    for r in range(rows):
        s = [_scenario_embedding(w, i, scenarios[r, i]) for i in range(len(shape.gates))]
        for k in range(experts):
            for t in range(tasks):
                logits[r, k, t] = (
                    T_z[t, k] @ z[t][r]
                    + T_s[k, t] @ np.concatenate(s)
                    + T_t[k, t] @ w["task_embedding"][t]
                )
    choices = [[choose(logits[r], t, specific, shared) for r in range(rows)] for t in range(tasks)]
    outputs = [
        [_experts(w, name, z[t][r], choices[t][r]) for r in range(rows)] for t in range(tasks)
    ]
    return Layer(logits, *_arrays(choices, False), np.array(outputs))


def _experts(w: Weights, name: str, x: np.ndarray, choice: Choice) -> np.ndarray:
    W, b = w[f"{name}.experts.linear.weight"], w[f"{name}.experts.linear.bias"]
    return mixture(W, b, x, choice.mixing_weights)


def _arrays(choices: list, scenario: bool) -> list[np.ndarray]:
    """Stack the fields of Choice; what does not depend on the task keeps no task axis."""
    by_task = [choices] if scenario else choices
    stacked = []
    for part in ("row_softmax", "kl_specific", "kl_shared", "specific", "shared", "mixing_weights"):
        array = np.array([[getattr(choice, part) for choice in row] for row in by_task])
        of_task = part in ("kl_specific", "specific", "mixing_weights")
        stacked.append(array[0] if scenario or not of_task else array)
    return stacked


def _tower(w: Weights, task: int, z: np.ndarray) -> float:
    """Eq. 18 before the sigmoid."""
    depth = len([name for name in w if name.startswith("towers.") and name.endswith("weight")])
    layers = [(w[f"towers.{i}.weight"][task], w[f"towers.{i}.bias"][task]) for i in range(depth)]
    return float(mlp(layers, z)[0])


def loss(w: Weights, prediction: Prediction, labels: np.ndarray) -> Loss:
    """Eq. 19–22; L_sp and L_sh add up layers, the gates a row uses and their chosen experts."""
    rows, tasks = labels.shape
    of_task = []
    for t in range(tasks):
        total = 0.0
        for r in range(rows):
            y, p = labels[r, t], prediction.probabilities[r, t]
            total += -y * math.log(p) - (1 - y) * math.log(1 - p)  # Eq. 19
        of_task.append(total / rows)
    specific = shared = 0.0
    for layer in prediction.layers:
        gates = tasks if layer.specific.ndim == 3 else 1
        for t in range(gates):
            for r in range(rows):
                sp = layer.specific[t, r] if layer.specific.ndim == 3 else layer.specific[r]
                kl_sp = (
                    layer.kl_specific[t, r] if layer.specific.ndim == 3 else layer.kl_specific[r]
                )
                for k in range(len(sp)):
                    specific += kl_sp[k] / rows if sp[k] else 0.0  # Eq. 20
                    shared += layer.kl_shared[r, k] / rows if layer.shared[r, k] else 0.0
    norm = sum(float((weights**2).sum()) for weights in w.values())
    return Loss(of_task, specific, shared, norm)


def total_loss(
    loss: Loss,
    task_weights: Sequence[float],
    lambda_specific: float,
    lambda_shared: float,
    gamma: float,
) -> float:
    """Eq. 21–22."""
    weighted = sum(a * b for a, b in zip(task_weights, loss.tasks, strict=True))
    auxiliary = lambda_specific * loss.specific + lambda_shared * loss.shared
    return weighted + auxiliary + gamma * loss.squared_norm
