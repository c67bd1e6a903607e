"""What a model costs: its parameters, its multiply-adds for a row, its speed."""

import statistics
import time
from collections.abc import Mapping

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from aesm2.data.batch import Batch
from aesm2.layers.embedding import FieldEmbedding
from aesm2.models import Model

ROUNDS = 9
ROWS = 8192


def costs(models: Mapping[str, Model], batch: Batch, rounds: int = ROUNDS) -> pd.DataFrame:
    """Measure models side by side on the first rows of a batch, in evaluation mode.

    One line a model: parameters; embedding_parameters, those of them in lookup tables;
    multiply_adds, of matrix products for one row; rows_per_second, the median over `rounds` in
    which every model predicts once in turn, with as many threads as torch is set to.
    """
    rows, seconds = batch[:ROWS], {name: [0.0] * rounds for name in models}
    with torch.no_grad():
        for number in range(-1, rounds):  # the first is to warm up
            for name, model in models.items():
                started = time.perf_counter()
                model(rows)
                seconds[name][number] = time.perf_counter() - started
        lines = [
            {
                "variant": name,
                "parameters": sum(p.numel() for p in model.parameters()),
                "embedding_parameters": _in_tables(model),
                "multiply_adds": _multiply_adds(model, rows),
                "rows_per_second": len(rows) / statistics.median(seconds[name]),
            }
            for name, model in models.items()
        ]
    return pd.DataFrame(lines)


def _in_tables(model: Model) -> int:
    tables = (m for m in model.modules() if isinstance(m, FieldEmbedding | torch.nn.Embedding))
    return sum(p.numel() for table in tables for p in table.parameters())


def _multiply_adds(model: Model, rows: Batch) -> float:
    with FlopCounterMode(display=False) as counter:
        model(rows)
    flops: int = counter.get_total_flops()
    return flops / 2 / len(rows)
