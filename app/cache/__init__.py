"""What is computed once: opened checkpoints, rows, and whatever the model makes of them.

The only package with st.cache_*. Keys are small ids that determine the result: the path and time
stamp of a checkpoint, the hash of its content, the id of a row set. An argument with an underscore
is what such an id stands for.
"""

from app.cache.checkpoint import Opened, dataset_name, opened
from app.cache.data import (
    OF_SLICE,
    RowSet,
    dataset_of,
    datasets,
    drafted,
    previewed,
    rows,
    splits,
)
from app.cache.evidence import Study, of_folder, of_study, study
from app.cache.figures import Draw, Drawn, anew, drawn, figure
from app.cache.model import (
    attributed,
    compute_knockouts,
    effect,
    gate_usage,
    grouped,
    highlights,
    knockouts,
    summary,
    utilisation,
)
from app.cache.process import background, keep_tidy, ledger, metrics, settle_imports
from app.cache.values import found, kept, prepared, told

__all__ = [
    "OF_SLICE", "Draw", "Drawn", "Opened", "RowSet", "Study", "anew", "attributed", "background",
    "compute_knockouts", "dataset_name", "dataset_of", "datasets", "drafted", "drawn", "effect",
    "figure", "found", "gate_usage", "grouped", "highlights", "keep_tidy", "kept", "knockouts",
    "ledger", "metrics", "of_folder", "of_study", "opened", "prepared", "previewed", "rows",
    "settle_imports", "splits", "study", "summary", "told", "utilisation",
]  # fmt: skip
