"""The replay of a comparison: every reference against every variant, seed by seed."""

from collections.abc import Mapping, Sequence

import pandas as pd

from aesm2.data.dataset import Dataset, rows_of
from aesm2.data.encoder import Encoder
from aesm2.evidence.cells import Cell, Store
from aesm2.evidence.replay import candidate_lists, replay
from aesm2.evidence.study import Searches
from aesm2.inference import probabilities
from aesm2.simulation.planted import read_world

LISTS_SEED = 0


def uplifts(
    store: Store,
    runs: Mapping[str, Sequence[Cell]],
    references: Sequence[str],
    dataset: Dataset,
    searches: Searches,
) -> pd.DataFrame:
    """Rank the same simulated searches by the pCTCVR of every run, and compare what they earn.

    The last task of the chain is what lists are ordered by. One line a reference, other variant,
    seed, scenario and metric: lists, shown, baseline (the variant's), value (the reference's),
    uplift with low and high, and ceiling; see `replay`. A reference's run of a seed is compared
    with the variant's run of the same seed.
    Raises InputError where the dataset is not simulated.
    """
    world = read_world(dataset.folder)
    lists = candidate_lists(world, searches.lists, searches.candidates, LISTS_SEED)
    encoder = Encoder.fit(dataset.description, rows_of(dataset.frame(), "train"))
    batch = encoder.encode(lists)
    scores = {
        name: [probabilities(store.model(cell), batch)[:, -1] for cell in cells]
        for name, cells in runs.items()
    }
    parts = []
    for reference in references:
        for variant in (name for name in runs if name != reference):
            pairs = zip(scores[reference], scores[variant], strict=True)
            for seed, (own, other) in enumerate(pairs):
                found = replay(own, other, lists, searches.shown)
                parts.append(found.assign(reference=reference, variant=variant, seed=seed))
    table = pd.concat(parts, ignore_index=True).rename(columns={"a": "value", "b": "baseline"})
    columns = ["reference", "variant", "seed", "scenario", "metric", "lists", "shown", "baseline",
               "value", "uplift", "low", "high", "ceiling"]  # fmt: skip
    return table.assign(shown=min(searches.shown, searches.candidates))[columns]
