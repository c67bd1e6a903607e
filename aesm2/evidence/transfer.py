"""Transfer between scenarios (Tables 5 and 7): trained on each alone, tested on all."""

import pandas as pd

from aesm2.config import Config
from aesm2.data.scenarios import PATH, path_index, path_names
from aesm2.evidence.cells import Cell, Store
from aesm2.evidence.study import Study

MODEL = "esmm"  # as in §4.3
COLUMNS = ["train", "test", "task", "seed", "n", "positives", "auc", "truth_auc"]


def transfer(store: Store, study: Study, trial: int, jobs: int) -> pd.DataFrame:
    """Train ESMM on each fine-grained scenario with a trial's settings; one line a pair and seed.

    Columns: see COLUMNS; auc is NaN where the test rows have one class only. A scenario without
    training or validation rows is left out as a train scenario.
    """
    schema, batches = store.rows.schema, store.rows.batches
    names = path_names(schema)
    own = {
        split: path_index(batches[split].scenarios.numpy(), schema)
        for split in ("train", "validation")
    }
    model, cells = study.variants(len(schema.levels))[MODEL], {}
    for path, name in enumerate(names):
        rows = int((own["train"] == path).sum())
        if rows and (own["validation"] == path).any():
            for seed in range(study.seeds):
                config = Config(model=model, training=study.training(rows, seed, trial))
                cells[(name, seed)] = Cell(config, path)
    store.compute(cells.values(), jobs, "transfer")
    parts = []
    for (name, seed), cell in cells.items():
        lines = pd.DataFrame(store.result(cell)["lines"])
        scope = PATH if (lines["scope"] == PATH).any() else schema.level_names[0]
        tested = lines[lines["scope"] == scope].rename(columns={"scenario": "test"})
        parts.append(tested.assign(train=name, seed=seed)[COLUMNS])
    return pd.concat(parts, ignore_index=True)
