"""Offline replay: what two rankers would earn from the same simulated searches.

Searches come from a simulated world, whose true probabilities are known: nothing is estimated from
clicks, and nobody was shown anything. A list's candidates are ranked by each ranker, the first
`top` are shown, and position i is looked at with probability 1 / log2(1 + i), the discount of DCG
(Järvelin and Kekäläinen, 2002). An item that is looked at is clicked and bought with its true
probabilities, whatever else is shown. Only the choice of lists is random, and so is the interval.

Axes: L lists; C candidates of a list; R replicates; S scopes; 3 rankers: b, a, the oracle;
3 totals: clicks, conversions, GMV; 4 metrics, see METRICS.
"""

import numpy as np
import pandas as pd

from aesm2.data.scenarios import OVERALL, PATH, SEPARATOR
from aesm2.errors import InputError
from aesm2.simulation.world import World

METRICS = ("ctr", "cvr", "ctcvr", "gmv")
REPLICATES = 2_000
LISTS_STREAM = 5  # apart from the streams of the world
KEYS = 1 << 21  # random keys drawn at once
COUNTS = 1 << 21  # of resampled lists at once


def candidate_lists(world: World, lists: int, size: int, seed: int = 0) -> pd.DataFrame:
    """Draw searches of a world, each with distinct candidates; one line a candidate.

    A path by its share of the traffic, a user and a query of it as the log has them, and `size`
    items of it, one after the other by their frequencies without those drawn before; sorted by
    item, so that their order favours none. List i depends on the world, `size`, the seed and i.
    Columns: list_id; path; all that the description of the log reads; truth_ctr and truth_ctcvr,
    probabilities of a click, and of a click and conversion.
    Raises InputError where `lists` is below 1 or a path has fewer items than `size`.
    """
    users, items, queries = world.entities
    share = np.diff(items.cumulative, axis=1, prepend=0.0)  # (P, items)
    fewest = int((share > 0).sum(1).min())
    if lists < 1 or not 1 <= size <= fewest:
        raise InputError(
            f"{lists} lists of {size} candidates; expected at least one list, of 1 to {fewest}, "
            "the number of items of the smallest path"
        )
    at_once = max(1, KEYS // share.shape[1])
    parts = []
    for number in range(-(-lists // at_once)):
        rng = np.random.default_rng((world.seed, LISTS_STREAM, seed, number))
        uniform = rng.random((3, at_once))
        path = np.searchsorted(np.cumsum(world.truth.share)[:-1], uniform[0], side="right")
        user, query = users.draw(path, uniform[1]), queries.draw(path, uniform[2])
        with np.errstate(divide="ignore"):  # items of other paths never come
            keys = rng.standard_exponential((at_once, share.shape[1])) / share[path]
        chosen = np.sort(np.argpartition(keys, size - 1, axis=1)[:, :size], axis=1)
        parts.append(np.stack([np.repeat(x, size) for x in (path, user, query)] + [chosen.ravel()]))
    path, user, query, item = np.concatenate(parts, axis=1)[:, : lists * size]
    return _frame(world, np.repeat(np.arange(lists), size), path, (user, item, query))


def replay(
    scores_a: np.ndarray, scores_b: np.ndarray, lists: pd.DataFrame, top: int = 10, seed: int = 0
) -> pd.DataFrame:
    """Compare what two rankers would earn, and what the best possible one would.

    scores_a, scores_b: (rows,) in the order of `lists`, say pCTCVR; higher first, equal ones in the
    order of candidates. lists: see `candidate_lists`. One line a scope ("all", and "path" with each
    path as scenario) and metric: ctr, clicks per item shown; cvr, conversions per click; ctcvr,
    conversions per item shown; gmv, value of conversions per list.
    Columns: scope, scenario, metric, lists; a, b, oracle, the metric of the rankers, the oracle
    going by true CTCVR; uplift of a over b in %, with its 95 % interval low to high; ceiling, the
    oracle's uplift over b, with ceiling_low and ceiling_high. Intervals are percentiles of 2,000
    paired bootstraps over lists; NaN where there is one list.
    Raises InputError where scores do not fit the lists, or lists are not of one size.
    """
    count, size = _shape(lists, (scores_a, scores_b), top)
    of_list = lists.iloc[::size]
    paths = list(dict.fromkeys(of_list["path"]))
    inside = np.stack([np.ones(count, bool), *(of_list["path"] == path for path in paths)], axis=1)
    scores = (scores_b, scores_a, lists["truth_ctcvr"].to_numpy())
    b, a, oracle = (_earned(own.reshape(count, size), lists, top) for own in scores)
    earned = np.stack([b, a - b, oracle - b], axis=1)  # differences: equal rankers differ by 0
    columns = inside[:, :, None, None] * earned[:, None]  # (L, S, 3, 3)
    shown = min(top, size)
    own = _metrics(columns.sum(0), inside.sum(0), shown)  # (S, 3, 4)
    uplift = _uplift(own)
    low, high = _bootstrap(columns, inside, shown, seed)
    names = [(OVERALL, OVERALL), *((PATH, path) for path in paths)]
    lines = [
        (*name, metric, int(inside[:, s].sum()), own[s, 1, m], own[s, 0, m], own[s, 2, m],
         *(value for r in (0, 1) for value in (uplift[s, r, m], low[s, r, m], high[s, r, m])))
        for s, name in enumerate(names)
        for m, metric in enumerate(METRICS)
    ]  # fmt: skip
    return pd.DataFrame(
        lines,
        columns=["scope", "scenario", "metric", "lists", "a", "b", "oracle",
                 "uplift", "low", "high", "ceiling", "ceiling_low", "ceiling_high"],
    )  # fmt: skip


def _frame(
    world: World, list_id: np.ndarray, path: np.ndarray, drawn: tuple[np.ndarray, ...]
) -> pd.DataFrame:
    """Columns of rows whose path and entities are known, joined as in the log."""
    names = [line.path for line in world.preset.traffic]
    columns = {"list_id": list_id, "path": np.array(list(map(SEPARATOR.join, names)), object)[path]}
    for position, level in enumerate(world.preset.levels):
        columns[level.name] = np.array([name[position] for name in names], object)[path]
    for entities, rows in zip(world.entities, drawn, strict=True):
        columns |= {str(n): values.to_numpy()[rows] for n, values in entities.table.items()}
    cells = [e.cell[rows] for e, rows in zip(world.entities, drawn, strict=True)]
    cell = np.ravel_multi_index(tuple(cells), tuple(e.kind.cells for e in world.entities))
    click, conversion = world.truth.probability_at(path, cell)
    return pd.DataFrame(columns | {"truth_ctr": click, "truth_ctcvr": click * conversion})


def _shape(lists: pd.DataFrame, scores: tuple[np.ndarray, ...], top: int) -> tuple[int, int]:
    """Number of lists and of candidates in each."""
    ids = lists["list_id"].to_numpy()
    count = len(np.unique(ids))
    size = len(ids) // max(count, 1)
    if count == 0 or (ids != np.resize(np.repeat(ids[::size], size), len(ids))).any():
        raise InputError("expected lists of one size, the rows of each together")
    for own in scores:
        if own.shape != ids.shape or np.isnan(own).any():
            missing = int(np.isnan(own).sum())
            raise InputError(
                f"expected a score for each of {len(ids)} rows; found {own.shape}, {missing} NaN"
            )
    if top < 1:
        raise InputError(f"top is {top}; expected 1 or more")
    return count, size


def _earned(scores: np.ndarray, lists: pd.DataFrame, top: int) -> np.ndarray:
    """Expected clicks, conversions and GMV of each list, (L, C) → (L, 3)."""
    click, conversion = (
        lists[name].to_numpy().reshape(scores.shape) for name in ("truth_ctr", "truth_ctcvr")
    )
    price = lists["price"].to_numpy(np.float64).reshape(scores.shape)
    gains = np.stack([click, conversion, conversion * price], axis=-1)  # (L, C, 3)
    shown = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    looked_at = 1 / np.log2(2 + np.arange(shown.shape[1]))
    ranked = np.take_along_axis(gains, shown[:, :, None], axis=1)
    earned: np.ndarray = np.einsum("lcg,c->lg", ranked, looked_at)
    return earned


def _metrics(sums: np.ndarray, lists: np.ndarray, shown: int) -> np.ndarray:
    """Metrics of sums over lists: (…, S, 3, 3) and (…, S) → (…, S, 3, 4).

    The sums of the rankers after the first are differences from it.
    """
    totals = sums.copy()
    totals[..., 1:, :] += sums[..., :1, :]
    clicks, conversions, gmv = np.moveaxis(totals, -1, 0)
    lists = lists[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):  # a scope without lists in a replicate
        rates = (clicks / (lists * shown), conversions / clicks,
                 conversions / (lists * shown), gmv / lists)  # fmt: skip
    return np.stack(rates, axis=-1)


def _uplift(metrics: np.ndarray) -> np.ndarray:
    """Relative improvement over b in %, of a and of the oracle, (…, S, 3, 4) → (…, S, 2, 4)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        uplift: np.ndarray = 100 * (metrics[..., 1:, :] / metrics[..., :1, :] - 1)
    return uplift


def _bootstrap(
    columns: np.ndarray, inside: np.ndarray, shown: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles of the uplift over resampled lists, low and high, each (S, 2, 4)."""
    rng, count = np.random.default_rng(seed), len(columns)
    flat, scopes = columns.reshape(count, -1), inside.astype(np.float64)
    at_once, parts = max(1, COUNTS // count), []
    for start in range(0, REPLICATES, at_once):
        replicates = min(at_once, REPLICATES - start)
        drawn = rng.integers(count, size=(replicates, count))
        drawn += count * np.arange(replicates)[:, None]
        times = np.bincount(drawn.ravel(), minlength=replicates * count)
        times = times.reshape(replicates, count).astype(np.float64)  # multinomial
        sums = (times @ flat).reshape(replicates, *columns.shape[1:])
        parts.append(_uplift(_metrics(sums, times @ scopes, shown)))
    found = np.concatenate(parts)
    found[:, inside.sum(0) < 2] = np.nan
    flat_found = pd.DataFrame(found.reshape(REPLICATES, -1))  # its quantiles leave out NaN
    low, high = flat_found.quantile([0.025, 0.975]).to_numpy().reshape(2, *found.shape[1:])
    return low, high
