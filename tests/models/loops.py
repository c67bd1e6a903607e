"""What the loops of the baselines' tests have in common."""

from collections.abc import Callable, Sequence

import numpy as np
from hypothesis import strategies as st

from aesm2.config import LayerGroup
from aesm2.data.batch import Batch
from aesm2.models import Model
from tests import oracle
from tests.models import cases

widths = st.lists(st.integers(1, 4), max_size=2).map(tuple)
groups = st.builds(LayerGroup, layers=st.integers(1, 3), width=st.integers(1, 4))
seeds = st.integers(0, 10_000)


def groups_of(shape: cases.Schema) -> st.SearchStrategy[tuple[LayerGroup, ...]]:
    """One group of layers a level."""
    count = len(shape.levels)
    return st.lists(groups, min_size=count, max_size=count).map(tuple)


def check(
    model: Model, rows: Batch, logits: Callable[[Sequence[int], Sequence[int]], list[float]]
) -> None:
    """Compare a model in float64 with `logits`, which answers for one row's fields, scenarios."""
    output = model.double()(rows)
    pairs = zip(rows.fields.tolist(), rows.scenarios.tolist(), strict=True)
    wanted = [logits(*pair) for pair in pairs]
    np.testing.assert_allclose(output.logits.detach(), wanted, rtol=1e-9, atol=1e-9)
    probabilities = [oracle.chain(row, model.schema.parents) for row in wanted]
    np.testing.assert_allclose(output.log_probability.exp().detach(), probabilities, rtol=1e-9)
    assert (output.routings, output.mixtures) == ((), ())


def towers(w: oracle.Weights, name: str, index: int, z: np.ndarray) -> float:
    """The logit of perceptron `index` of the parallel perceptrons `name`."""
    depth = sum(key.startswith(f"{name}.") and key.endswith("weight") for key in w)
    layers = [(w[f"{name}.{i}.weight"][index], w[f"{name}.{i}.bias"][index]) for i in range(depth)]
    return float(oracle.mlp(layers, z)[0])
