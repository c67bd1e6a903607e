"""Commands on evidence: compare, replay, transfer, ablate, reproduce, report."""

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from aesm2.cli.common import say
from aesm2.data.dataset import Dataset
from aesm2.data.scenarios import OVERALL
from aesm2.errors import InputError
from aesm2.evidence.ablation import FULL, ablations
from aesm2.evidence.cells import Store
from aesm2.evidence.comparison import (
    REFERENCES,
    Runs,
    chosen_trials,
    comparisons,
    curves_of,
    final_runs,
    lines_of,
    search,
)
from aesm2.evidence.cost import costs
from aesm2.evidence.folder import add_tables, read_evidence
from aesm2.evidence.regimes import MANIFEST as REGIMES
from aesm2.evidence.regimes import read_map
from aesm2.evidence.report import regimes_report, report, standings_table
from aesm2.evidence.rows import encode_rows
from aesm2.evidence.study import ALL_MODELS, Study, read_study
from aesm2.evidence.transfer import MODEL, transfer
from aesm2.evidence.uplift import uplifts
from aesm2.evidence.usage import usage_and_distances
from aesm2.simulation.planted import read_structure
from aesm2.simulation.presets import read_preset
from aesm2.simulation.write import simulate

DatasetArgument = Annotated[Path, typer.Argument(help="A dataset folder, or its dataset.toml")]
StudyFile = Annotated[
    Path | None, typer.Option("--study", help="e.g. configs/evidence/kuairand.toml")
]
Out = Annotated[Path, typer.Option(help="Folder of evidence to write tables into")]
Work = Annotated[
    Path | None,
    typer.Option(help="Folder that keeps finished runs; by default runs/evidence/NAME"),
]
Jobs = Annotated[int, typer.Option(help="Runs at a time, one core each", min=1)]
Quick = Annotated[bool, typer.Option("--quick", help="Two seeds, one trial, one epoch")]
Models = Annotated[
    str | None, typer.Option(help=f"Comma-separated; by default {','.join(ALL_MODELS)}")
]
Seeds = Annotated[int | None, typer.Option(help="Final runs of every variant", min=2)]
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class _Task:
    """A study on a dataset: where its runs are kept and its tables go."""

    dataset: Dataset
    study: Study
    store: Store
    out: Path
    jobs: int
    about: dict[str, Any]

    def write(self, **tables: Any) -> None:
        command = shlex.join(["aesm2", *sys.argv[1:]])
        add_tables(self.out, self.about, tables, command)


def compare(
    dataset: DatasetArgument,
    out: Out,
    study: StudyFile = None,
    work: Work = None,
    jobs: Jobs = CORES,
    models: Models = None,
    seeds: Seeds = None,
    quick: Quick = False,
) -> None:
    """Tune, train and compare models (Tables 3 and 4); finished runs are never run again."""
    task = _task(dataset, out, study, work, jobs, models, seeds, quick)
    _compare(task)


def replay_command(
    dataset: DatasetArgument,
    out: Out,
    study: StudyFile = None,
    work: Work = None,
    jobs: Jobs = CORES,
    models: Models = None,
    seeds: Seeds = None,
    quick: Quick = False,
) -> None:
    """Replay simulated searches with the models of `compare`, against what is known to be true."""
    task = _task(dataset, out, study, work, jobs, models, seeds, quick)
    read_structure(task.dataset.folder)  # before anything is trained
    _replay(task)


def transfer_command(
    dataset: DatasetArgument,
    out: Out,
    study: StudyFile = None,
    work: Work = None,
    jobs: Jobs = CORES,
    seeds: Seeds = None,
    quick: Quick = False,
) -> None:
    """Train ESMM on each scenario alone, test on all (Tables 5 and 7)."""
    _transfer(_task(dataset, out, study, work, jobs, None, seeds, quick))


def ablate(
    dataset: DatasetArgument,
    out: Out,
    study: StudyFile = None,
    work: Work = None,
    jobs: Jobs = CORES,
    seeds: Seeds = None,
    quick: Quick = False,
) -> None:
    """Take AESM² apart (Table 6, Fig. 6), and try what the paper does not have."""
    _ablate(_task(dataset, out, study, work, jobs, None, seeds, quick))


def reproduce(
    studies: Annotated[list[Path], typer.Argument(help="Study files that name their dataset")],
    work: Work = None,
    jobs: Jobs = CORES,
    quick: Quick = False,
) -> None:
    """Compute everything a study ships: compare, replay, transfer, ablate.

    A dataset that the study simulates is simulated first, and only its searches are replayed.

    With --quick the tables go into the work folder, never over those of a full run.
    """
    for file in studies:
        study = read_study(file)
        if not (study.dataset and study.out):
            raise InputError(f"{file}: has no dataset or no out, so there is nothing to reproduce")
        dataset = (file.parent / study.dataset).resolve()
        if study.simulate is not None and not dataset.exists():
            made = study.simulate
            simulate(read_preset(made.preset), made.rows, dataset, made.seed)
        out = (file.parent / study.out).resolve()
        if quick:
            out = (work or Path("runs") / "evidence") / "quick" / out.name
        task = _task(dataset, out, file, work, jobs, None, None, quick)
        for part in (_compare, *((_replay,) if study.simulate else ()), _transfer, _ablate):
            part(task)


def report_command(
    folders: Annotated[list[Path], typer.Argument(help="e.g. checkpoints/evidence/kuairand")],
) -> None:
    """Print what folders of evidence say, as Markdown: standings, tests, ablation, replay."""
    sys.stdout.write("\n".join(
        regimes_report(read_map(folder)) if (folder / REGIMES).exists()
        else report(read_evidence(folder))
        for folder in folders
    ))  # fmt: skip


def _task(
    path: Path,
    out: Path,
    file: Path | None,
    work: Path | None,
    jobs: int,
    models: str | None,
    seeds: int | None,
    quick: bool,
) -> _Task:
    study = read_study(file) if file else Study()
    if models is not None:
        names = tuple(name.strip() for name in models.split(","))
        unknown = sorted(set(names) - set(ALL_MODELS))
        if unknown:
            raise InputError(
                f"--models: no model '{unknown[0]}'; there are {', '.join(ALL_MODELS)}"
            )
        study = study.model_copy(update={"models": names, "only": ()})
    if seeds is not None:
        study = study.model_copy(update={"seeds": seeds})
    study = study.quick() if quick else study
    opened = Dataset.open(path)
    described = opened.description
    rows = encode_rows(opened)
    about = {
        "name": out.resolve().name,
        "dataset": {
            "name": described.name,
            "title": described.title,
            "provenance": described.provenance,
            "licence": described.licence,
        },
        "rows": {split: len(batch) for split, batch in rows.batches.items()} | {"hash": rows.hash},
        "levels": [
            {"name": level.name, "title": level.title, "scenarios": list(level.scenarios)}
            for level in described.level
        ],
        "tasks": list(rows.schema.tasks),
        "study": study.model_dump(mode="json"),
    }
    folder = work or Path("runs") / "evidence" / described.name
    return _Task(opened, study, Store(folder, rows), out, jobs, about)


def _compare(task: _Task) -> None:
    store, study = task.store, task.study
    trials = search(store, study, task.jobs)
    runs = final_runs(store, study, trials, task.jobs)
    lines = lines_of(store, runs)
    references = _references(runs)
    torch.set_num_threads(1)
    models = {name: store.model(cells[0]) for name, cells in runs.items()}
    usage, distances = usage_and_distances(store, runs)
    task.write(
        trials=trials,
        runs=lines,
        comparisons=comparisons(store, runs, references),
        costs=costs(models, store.rows.batches["test"]),
        curves=curves_of(store, runs),
        usage=usage,
        distances=distances,
    )
    sys.stdout.write(standings_table(lines) + "\n")
    say(f"evidence: {task.out}")


def _references(runs: Runs) -> list[str]:
    """The variants that every other one is compared with."""
    return [name for name in REFERENCES if name in runs] or list(runs)[:1]


def _replay(task: _Task) -> None:
    store, study = task.store, task.study
    runs = final_runs(store, study, search(store, study, task.jobs), task.jobs)
    torch.set_num_threads(1)
    found = uplifts(store, runs, _references(runs), task.dataset, study.replay)
    task.write(replay=found)
    own = found[found["scenario"] == OVERALL]
    means = own.groupby(["reference", "variant", "metric"], sort=False)["uplift"].mean()
    sys.stdout.write(means.unstack("metric").round(2).to_string() + "\n")
    say(f"evidence: {task.out}")


def _transfer(task: _Task) -> None:
    study = task.study.model_copy(update={"models": (MODEL,), "only": ()})
    trials = search(task.store, study, task.jobs)
    found = transfer(task.store, study, chosen_trials(trials)[MODEL], task.jobs)
    task.write(transfer=found)
    means = found.groupby(["task", "train", "test"], sort=False)["auc"].mean().unstack("test")
    sys.stdout.write((100 * means).round(2).to_string() + "\n")
    say(f"evidence: {task.out}")


def _ablate(task: _Task) -> None:
    study = task.study.model_copy(update={"models": ("aesm2",), "only": ()})
    trials = search(task.store, study, task.jobs)
    runs = ablations(task.store, study, chosen_trials(trials)["aesm2"], task.jobs)
    lines = lines_of(task.store, runs)
    task.write(
        ablation=lines,
        ablation_comparisons=comparisons(task.store, runs, [FULL]),
        ablation_curves=curves_of(task.store, runs),
    )
    sys.stdout.write(standings_table(lines) + "\n")
    say(f"evidence: {task.out}")
