"""A folder of evidence in words and tables, as Markdown: what `aesm2 report` prints."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from aesm2.data.scenarios import OVERALL, PATH
from aesm2.errors import InputError
from aesm2.evidence.ablation import FULL
from aesm2.evidence.comparison import REFERENCES
from aesm2.evidence.folder import Evidence
from aesm2.evidence.measures import WEIGHTED
from aesm2.evidence.regimes import FACTORS, Map, leads, tally
from aesm2.evidence.standings import (
    COMPARED,
    MEASURES,
    Board,
    board,
    cell_title,
    challenge,
    standings,
    variant_title,
    verdict,
)

MOST_PATHS = 8
MARKS = {1.0: "**{}**", 2.0: "<u>{}</u>"}  # best and second of a column


def report(evidence: Evidence) -> str:
    """Write the standings, their tests, the ablation, the transfer and the replay of a study.

    Parts whose tables are missing are left out, and a transfer too wide for a page.
    Raises InputError where the tables do not fit together.
    """
    with _fitting(f"{evidence.path}"):
        return _report(evidence)


@contextlib.contextmanager
def _fitting(where: str) -> Iterator[None]:
    """Say of tables that do not fit together that they do not, whatever shows it first."""
    try:
        yield
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{where}: its tables do not fit together ({type(error).__name__}: {error}); compute"
            " them again"
        ) from None


def _report(evidence: Evidence) -> str:
    tables, parts = evidence.tables, [_about(evidence)]
    if "runs" in tables:
        parts += _bench(tables["runs"], tables.get("comparisons"))
    if "ablation" in tables:
        parts += _ablation(tables["ablation"], tables.get("ablation_comparisons"))
    if "transfer" in tables and tables["transfer"]["test"].nunique() <= MOST_PATHS:
        parts += ["### Trained on one scenario, tested on all (ESMM; test AUC × 100)"]
        parts += [_transfer(tables["transfer"])]
    if "replay" in tables:
        parts += ["### Offline replay: uplift in % of AESM² over each model, all searches"]
        parts += [_replay(tables["replay"])]
    return "\n\n".join(parts) + "\n"


def standings_table(runs: pd.DataFrame, comparisons: pd.DataFrame | None = None) -> str:
    """Write the test AUC × 100 of every run: mean ± standard deviation over seeds.

    runs: as `comparison.lines_of` gives them. Best of a column bold, second underlined, ★ where a
    reference of `comparisons` differs from the best baseline.
    """
    return _board(_standing(runs, comparisons)[0])


def _board(shown: Board) -> str:
    written, lines = shown.written(MEASURES["auc"].digits), []
    for name in written.index:
        cells = zip(written.loc[name], shown.ranks.loc[name], shown.stars.loc[name], strict=True)
        lines.append([variant_title(str(name)), *(_cell(*cell) for cell in cells)])
    return _table(["model", *(cell_title(*column) for column in written.columns)], lines)


def _about(evidence: Evidence) -> str:
    manifest = evidence.manifest
    rows, study = manifest["rows"], manifest["study"]
    made = next(iter(evidence.tables))
    return (
        f"## {manifest['dataset']['title']}\n\n"
        f"{rows['train']:,} training, {rows['validation']:,} validation and {rows['test']:,} test"
        f" rows; {study['seeds']} seeds; {study['search']['trials']} trials a variant, chosen on"
        f" validation. Made by `{evidence.made(made)}`."
    )


def _bench(runs: pd.DataFrame, comparisons: pd.DataFrame | None) -> list[str]:
    parts = ["### Test AUC × 100, mean ± standard deviation over seeds"]
    shown, challenged = _standing(runs, comparisons)
    parts += [_board(shown)]
    if challenged.empty or comparisons is None:
        return parts
    baselines = set(runs["variant"]) - set(comparisons["reference"])
    lines = [
        [
            variant_title(line["reference"]),
            cell_title(line["scenario"], line["task"]),
            variant_title(line["baseline"]),
            *_tested(line),
            line["outcome"],
        ]
        for line in challenged.to_dict(orient="records")
    ]
    head = ["", "cell", "best baseline", "difference", "p, Holm", "AESM² is"]
    parts += ["### Against the best baseline of each cell"]
    parts += ["\n".join(f"- {said}" for said in verdict(challenged, len(baselines)))]
    parts += [_table(head, lines), "### Against every model, all rows"]
    return [*parts, _overall(comparisons, REFERENCES[0])]


def _ablation(runs: pd.DataFrame, comparisons: pd.DataFrame | None) -> list[str]:
    parts = ["### AESM² taken apart and added to: test AUC × 100"]
    parts += [standings_table(runs)]
    if comparisons is None:
        return parts
    return [*parts, _overall(comparisons, FULL)]


def _overall(comparisons: pd.DataFrame, reference: str) -> str:
    """Write what a reference is ahead of every other variant over all rows."""
    whole = comparisons[(comparisons["scope"] == OVERALL) & (comparisons["reference"] == reference)]
    lines = [
        [variant_title(line["variant"]), cell_title(line["scenario"], line["task"]), *_tested(line)]
        for line in whole.to_dict(orient="records")
    ]
    return _table([f"{variant_title(reference)} minus", "cell", "difference", "p, Holm"], lines)


def regimes_report(found: Map) -> str:
    """Write a regime map: how often AESM² is ahead, and its lead at every point.

    Raises InputError where its lines do not fit together.
    """
    with _fitting("the regime map"):
        return _regimes(found)


def _regimes(found: Map) -> str:
    counts = [
        [variant_title(line["baseline"]) or "the best of them", str(line["points"]),
         str(line["ahead"]), str(line["behind"]), f"{line['lead']:+.2f}"]
        for line in tally(found.lines).to_dict(orient="records")
    ]  # fmt: skip
    points = [
        [FACTORS[line["factor"]], f"{line['value']:g}", line["task"].upper(),
         variant_title(line["baseline"]),
         f"{line['lead']:+.2f} [{line['low']:+.2f}, {line['high']:+.2f}]"]
        for line in leads(found.lines).to_dict(orient="records")
    ]  # fmt: skip
    parts = [
        f"## When choosing experts helps: simulated worlds\n\nMade by `{found.made}`.",
        "### At how many points and tasks the 95 % interval over seeds is above or below 0",
        _table(["AESM² against", "points", "ahead", "behind", "mean lead"], counts),
        "### Lead over the best baseline, AUC × 100 against the true probabilities",
        _table(["moved", "to", "task", "best baseline", "lead"], points),
    ]
    return "\n\n".join(parts) + "\n"


def _transfer(lines: pd.DataFrame) -> str:
    means = 100 * lines.pivot_table("auc", ["task", "train"], "test", sort=False, dropna=False)
    body = [
        [task.upper(), train, *(_number(value) for value in own)]
        for (task, train), own in zip(means.index, means.to_numpy(), strict=True)
    ]
    return _table(["task", "trained on", *means.columns], body)


def _replay(lines: pd.DataFrame) -> str:
    own = lines[(lines["scenario"] == OVERALL) & (lines["reference"] == "aesm2")]
    means = own.pivot_table("uplift", "variant", "metric", sort=False)
    body = [
        [variant_title(str(name)), *(f"{value:+.2f}" for value in own)]
        for name, own in zip(means.index, means.to_numpy(), strict=True)
    ]
    return _table(["instead of", *(str(name).upper() for name in means.columns)], body)


def _standing(runs: pd.DataFrame, comparisons: pd.DataFrame | None) -> tuple[Board, pd.DataFrame]:
    """Lay out the standings, and what challenges them.

    Scenarios are the fine-grained ones, or those of the first level where a page has no room.
    """
    scopes = [scope for scope in runs["scope"].unique() if scope not in {OVERALL, WEIGHTED}]
    paths = runs.loc[runs["scope"] == PATH, "scenario"].nunique()
    by, measure = PATH if 0 < paths <= MOST_PATHS else scopes[0], MEASURES["auc"]
    lines = standings(runs, measure, by)
    compared = pd.DataFrame(columns=COMPARED) if comparisons is None else comparisons
    challenged = challenge(lines, compared, measure)
    return board(lines, challenged), challenged


def _tested(line: Mapping[Any, Any]) -> tuple[str, str]:
    """Write a difference with its interval, and its p."""
    difference, low, high, p = (line[name] for name in ("difference", "low", "high", "p_adjusted"))
    if np.isnan(difference):
        return "undefined", ""
    interval = "" if np.isnan(low) else f" [{low:+.2f}, {high:+.2f}]"
    return f"{difference:+.2f}{interval}", "" if np.isnan(p) else f"{p:.3f}"


def _cell(text: str, rank: float, star: bool) -> str:
    mean, sign, spread = text.partition(" ± ")
    return MARKS.get(rank, "{}").format(mean) + ("★" if star else "") + sign + spread


def _number(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:.2f}"


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
