"""Cells: single training runs of a study, each computed once, several at a time.

    rows/           the encoded rows (aesm2.evidence.rows)
    cells/KEY.json  the result of a run: see `Cell.run`
    cells/KEY.npy   its predictions on the test rows, (rows, tasks) float32
    cells/KEY.safetensors  its best weights; these two only where the test rows are looked at

KEY is a hash of the rows, the configuration and what the run trains on, so that a result is found
again whatever study asks for it, and never taken for another.
"""

import functools
import hashlib
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from tqdm import tqdm

from aesm2.config import Config
from aesm2.device import flush_subnormals, flushes_subnormals
from aesm2.evidence.measures import measures
from aesm2.evidence.rows import Rows, load_rows, save_rows
from aesm2.files import read_json, read_lines, write_atomically
from aesm2.inference import probabilities
from aesm2.machine import place
from aesm2.models import Model, build
from aesm2.training.loop import build_seeded, fit
from aesm2.training.run import Position, Run
from aesm2.workers import end_with_parent

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """One run. config: the model and its training, seed included.

    path: the fine-grained scenario whose rows it trains on, None for all. test: whether the test
    rows are looked at; a trial of the search never does.
    """

    config: Config
    path: int | None = None
    test: bool = True

    def key(self, rows_hash: str) -> str:
        """Return what names its result."""
        values = self.config.model_dump(mode="json") | {"path": self.path, "test": self.test}
        text = json.dumps([rows_hash, values], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def run(self, rows: Rows) -> tuple[dict[str, Any], np.ndarray | None, Model]:
        """Train; return the result, the predictions where the test rows are looked at, the model.

        The result: config, path, score (best on validation, see `overall_score`), steps, seconds,
        place, curves (Σ KL of each layer over training, Eq. 20), and lines (see `measures`).
        """
        started, own = time.monotonic(), rows if self.path is None else rows.of_path(self.path)
        model = build_seeded(self.config, rows.schema)
        with tempfile.TemporaryDirectory(prefix="aesm2-cell-") as folder:
            run = Run(Path(folder) / "run")
            run.start(self.config, "")
            position = fit(run, model, self.config.training, own.batches, [], progress=False)
            history = read_lines(run.folder / "history.jsonl")
        result = self._result(position, time.monotonic() - started) | {"curves": _curves(history)}
        if not self.test:
            return result, None, model
        predicted = probabilities(model, rows.batches["test"])
        lines = measures(predicted, rows)
        return result | {"lines": lines.to_dict(orient="records")}, predicted, model

    def _result(self, position: Position, seconds: float) -> dict[str, Any]:
        return {
            "config": self.config.model_dump(mode="json"),
            "path": self.path,
            "score": position.score,
            "steps": position.best_step,
            "seconds": round(seconds, 2),
            "place": place(),
        }


class Store:
    """Results of cells in a folder; `compute` makes those that are missing."""

    def __init__(self, folder: Path, rows: Rows) -> None:
        self.folder, self.rows = folder, rows
        self.cells = folder / "cells"
        self.cells.mkdir(parents=True, exist_ok=True)
        save_rows(rows, folder / "rows")

    def result(self, cell: Cell) -> Result:
        """Return the result of a finished cell."""
        values: Result = read_json(self._file(cell, "json"))
        return values

    def predictions(self, cell: Cell) -> np.ndarray:
        """Return the predictions of a finished cell on the test rows, (rows, tasks)."""
        predicted: np.ndarray = np.load(self._file(cell, "npy"))
        return predicted

    def model(self, cell: Cell) -> Model:
        """Return the trained model of a finished cell, in evaluation mode."""
        model = build(cell.config.model, self.rows.schema)
        model.load_state_dict(safetensors.torch.load_file(self._file(cell, "safetensors")))
        return model.eval()

    def has(self, cell: Cell) -> bool:
        """Whether a cell is finished."""
        return self._file(cell, "json").exists()

    def compute(self, cells: Iterable[Cell], jobs: int, what: str) -> None:
        """Run the cells that have no result yet; see `compute_all`."""
        compute_all([(self, cell) for cell in cells], jobs, what)

    def _file(self, cell: Cell, kind: str) -> Path:
        return self.cells / f"{cell.key(self.rows.hash)}.{kind}"


def compute_all(pairs: Iterable[tuple[Store, Cell]], jobs: int, what: str) -> None:
    """Run the cells that have no result yet, `jobs` at a time, and show progress.

    One job runs in this process, more in processes of their own; each uses one thread.
    """
    unique = {(store.folder, cell.key(store.rows.hash)): (store, cell) for store, cell in pairs}
    missing = [(store.folder, cell) for store, cell in unique.values() if not store.has(cell)]
    done = len(unique) - len(missing)
    with tqdm(total=len(unique), initial=done, desc=what, file=sys.stderr, unit="run") as bar:
        for _ in _finished(missing, jobs) if missing else ():
            bar.update()


def _finished(missing: Sequence[tuple[Path, Cell]], jobs: int) -> Iterator[None]:
    """Run cells and yield as each is finished; what is running when one fails is let go."""
    if jobs == 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for pair in missing:
                _run(*pair)
                yield
        finally:
            torch.set_num_threads(threads)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _settle, (flushes_subnormals(),)) as pool:
        try:
            for finished in as_completed([pool.submit(_run, *pair) for pair in missing]):
                finished.result()
                yield
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _settle(flush: bool) -> None:
    """Make a process of the pool ready."""
    flush_subnormals(flush)
    end_with_parent()
    torch.set_num_threads(1)


_rows = functools.lru_cache(maxsize=1)(load_rows)  # of a process of the pool


def _run(folder: Path, cell: Cell) -> None:
    """Run one cell in a process of the pool; its result is there whole or not at all."""
    rows = _rows(folder / "rows")
    result, predicted, model = cell.run(rows)
    stem = folder / "cells" / cell.key(rows.hash)
    if predicted is not None:
        content = BytesIO()
        np.save(content, predicted)
        write_atomically(stem.with_suffix(".npy"), content.getvalue())
        weights = safetensors.torch.save(model.state_dict())
        write_atomically(stem.with_suffix(".safetensors"), weights)
    write_atomically(stem.with_suffix(".json"), json.dumps(result))


def _curves(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Σ KL of the chosen experts by step, layer and role; empty for a model without selection."""
    return [
        {"step": record["step"], "layer": layer, "role": role, "value": value}
        for record in history
        if record["kind"] == "train"
        for role in ("specific", "shared")
        for layer, value in record.get(f"kl_{role}", {}).items()
    ]
