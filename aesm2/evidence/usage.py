"""Who uses which experts in the final runs (Fig. 7), and how far scenarios are apart by it."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from aesm2.data.scenarios import PATH, path_names
from aesm2.evidence.cells import Cell, Store
from aesm2.evidence.stored import empty
from aesm2.routing.distance import scenario_distances
from aesm2.routing.shares import ROLES
from aesm2.routing.trace import layer_specs
from aesm2.routing.utilisation import LayerUtilisation, Utilisation, utilisation


def usage_and_distances(
    store: Store, runs: Mapping[str, Sequence[Cell]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Look at every run of a model that selects, on the test rows.

    usage: one line a variant, seed, layer, target, path and expert: rows, specific and shared
    (counts of choices), weight (sum of mixing weights). distances: one line a variant, seed and
    pair of fine-grained scenarios a, b: see `scenario_distances`, over all layers and both roles.
    Both have no lines where no model selects.
    """
    usage, distances = [], []
    for name, cells in runs.items():
        for seed, cell in enumerate(cells):
            model = store.model(cell)
            if not layer_specs(model):
                break
            counted = utilisation(model, store.rows.batches["test"])
            usage += [
                _usage(counted, layer).assign(variant=name, seed=seed) for layer in counted.layers
            ]
            distances.append(_distances(counted).assign(variant=name, seed=seed))
    return _joined(usage, "usage"), _joined(distances, "distances")


def _usage(counted: Utilisation, layer: LayerUtilisation) -> pd.DataFrame:
    targets = layer.spec.gates if layer.spec.kind == "task" else ("",)
    paths, experts = path_names(counted.schema), range(layer.spec.experts)
    index = pd.MultiIndex.from_product(
        [[layer.spec.name], targets, paths, experts], names=["layer", "target", "path", "expert"]
    )
    rows = np.broadcast_to(counted.rows[:, None], layer.specific.shape)
    values = {"rows": rows, "specific": layer.specific, "shared": layer.shared,
              "weight": layer.weight}  # fmt: skip
    columns = {name: value.ravel() for name, value in values.items()}
    return pd.DataFrame(columns, index=index).reset_index()


def _distances(counted: Utilisation) -> pd.DataFrame:
    names = [layer.spec.name for layer in counted.layers]
    found = scenario_distances(counted, names, ROLES, PATH)
    first, second = np.triu_indices(len(found.scenarios), 1)
    scenarios = np.array(found.scenarios, object)
    return pd.DataFrame(
        {"a": scenarios[first], "b": scenarios[second], "distance": found.distance[first, second]}
    )


def _joined(parts: Sequence[pd.DataFrame], name: str) -> pd.DataFrame:
    if not parts:
        return empty(name)
    frame = pd.concat(parts, ignore_index=True)
    first = ["variant", "seed"]
    return frame[first + [column for column in frame.columns if column not in first]]
