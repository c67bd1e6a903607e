"""Small funnels of other people, awkward on purpose: each is a table as a stranger would bring it.

Every one is written into a new folder and drawn from a seed; FUNNELS names them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

Draw = np.random.Generator


def flags(rng: Draw, rate: np.ndarray, given: np.ndarray | None = None) -> np.ndarray:
    """Draw a label at each row's rate, 0 where `given` is; (rows,) bool."""
    drawn = rng.random(len(rate)) < rate
    return drawn if given is None else drawn & given


def of(rng: Draw, values: Sequence[str], shares: Sequence[float], rows: int) -> np.ndarray:
    """Draw texts with these shares, as objects so that other types fit in."""
    return rng.choice(np.array(values, object), rows, p=shares)


def some(rng: Draw, values: np.ndarray, markers: Sequence[object], share: float) -> np.ndarray:
    """Replace a share of the values by markers of missing values, each in turn."""
    mixed = np.array(values, object)
    gone = np.flatnonzero(rng.random(len(mixed)) < share)
    mixed[gone] = np.resize(np.array(markers, object), len(gone))
    return mixed


def shop(folder: Path) -> Path:
    """A semicolon CSV: impression → click → cart → purchase as yes and no, 03.11.2026, 12,50."""
    rng, rows = np.random.default_rng(1), 3000
    day = pd.Timestamp("2026-10-20") + pd.to_timedelta(np.arange(rows) // 200, unit="D")
    country = of(rng, ["DE", "AT", "CH"], [0.6, 0.3, 0.1], rows)
    country[rng.choice(rows, 30, replace=False)] = "LI"  # thirty rows
    price = rng.uniform(1, 90, rows).round(2)
    seen = flags(rng, np.full(rows, 0.85))
    click = flags(rng, 0.25 + 0.35 * (country == "DE") + 0.2 * (price < 30), seen)
    cart = flags(rng, np.full(rows, 0.5), click)
    bought = flags(rng, np.full(rows, 0.5), cart)
    said = {True: "ja", False: "nein"}
    frame = pd.DataFrame(
        {
            "Vorgang": [f"V{i:06d}" for i in range(rows)],
            "user_id": rng.integers(0, 250, rows),
            "country": country,
            "Date": day.strftime("%d.%m.%Y"),
            "price": some(rng, price, ["?", "-", "unknown"], 0.05),
            "age": some(rng, rng.integers(18, 80, rows), ["", -999], 0.1),
            "currency": "EUR",
            "impression": pd.Series(seen).map(said),
            "clicked": pd.Series(click).map(said),
            "in_cart": pd.Series(cart).map(said),
            "purchase": pd.Series(bought).map(said),
        }
    )
    frame["price"] = [str(p).replace(".", ",") for p in frame["price"]]
    frame.to_csv(folder / "shop.csv", sep=";", index=False)
    return folder / "shop.csv"


def feed(folder: Path) -> Path:
    """A parquet file: independent tasks as booleans, countries in regions, "Nov 3, 2026"."""
    rng, rows = np.random.default_rng(2), 2500
    country = of(rng, ["fr", "it", "jp", "kr", "in"], [0.3, 0.2, 0.2, 0.1, 0.2], rows)
    region = np.where(np.isin(country, ["fr", "it"]), "Europe", "Asia")
    day = pd.Timestamp("2026-10-25") + pd.to_timedelta(rng.integers(0, 14, rows), unit="D")
    seconds = rng.exponential(20, rows).round(1)
    like = flags(rng, 0.1 + 0.3 * (region == "Asia") + 0.2 * (seconds > 30))
    share = flags(rng, 0.15 + 0.2 * (country == "fr"))
    pd.DataFrame(
        {
            "userId": [f"u{i}" for i in rng.integers(0, 200, rows)],
            "videoId": rng.integers(0, 90, rows),
            "country": country,
            "region": region,
            "day": [f"{d:%b} {d.day}, {d:%Y}" for d in day],
            "videoSeconds": np.where(rng.random(rows) < 0.1, -999, seconds),
            "hour": rng.integers(0, 24, rows),
            "tags": [["a", "b"]] * rows,
            "is_like": like,
            "is_share": share,
        }
    ).to_parquet(folder / "feed.parquet", index=False)
    return folder / "feed.parquet"


def letter(folder: Path) -> Path:
    """A CSV of one scenario, without a date: opened and clicked as Y and N, 1 and 0 mixed in."""
    rng, rows = np.random.default_rng(3), 1500
    length = rng.integers(100, 3000, rows)
    opened = flags(rng, 0.2 + 0.5 * (length < 1000))
    click = flags(rng, np.full(rows, 0.4), opened)
    spelt = np.array([["N", "n", "no"], ["Y", "y", "yes"]], object)
    pd.DataFrame(
        {
            "member": [f"m{i}" for i in rng.integers(0, 150, rows)],
            "subject_length": length,
            "topic": [f"topic {i}" for i in rng.integers(0, 40, rows)],
            "opened": spelt[opened.astype(int), rng.integers(0, 3, rows)],
            "click": spelt[click.astype(int), rng.integers(0, 3, rows)],
        }
    ).to_csv(folder / "letter.csv", index=False)
    return folder / "letter.csv"


def portal(folder: Path) -> Path:
    """A parquet file of four levels, moments with a zone, and an unrelated frequent flag."""
    rng, rows = np.random.default_rng(4), 3000
    moment = pd.Timestamp("2026-03-01", tz="UTC") + pd.to_timedelta(np.arange(rows) * 7, unit="min")
    country = of(rng, ["fr", "it"], [0.7, 0.3], rows)
    channel = of(rng, ["app", "web"], [0.5, 0.5], rows)
    page = of(rng, ["home", "search", "offers"], [0.4, 0.4, 0.2], rows)
    tab = of(rng, ["t1", "t2", "t3", "t4"], [0.25] * 4, rows)
    rate = 0.1 + 0.2 * (country == "it") + 0.2 * (page == "search") + 0.15 * (tab == "t1")
    click = flags(rng, rate + 0.1 * (channel == "app"))
    order = flags(rng, np.full(rows, 0.3), click)
    pd.DataFrame(
        {
            "created_at": moment,
            "session_id": [f"s{i}" for i in rng.integers(0, 900, rows)],
            "customer": rng.integers(0, 200, rows),
            "country": country,
            "channel": channel,
            "page": page,
            "tab": tab,
            "position": rng.integers(1, 11, rows),
            "product_price": rng.uniform(5, 50, rows).round(2),
            "viewed": flags(rng, np.full(rows, 0.97)).astype(int),
            "click": click.astype(int),
            "order": order.astype(int),
            "order_value": np.where(order, rng.uniform(5, 50, rows).round(2), np.nan),
        }
    ).to_parquet(folder / "portal.parquet", index=False)
    return folder / "portal.parquet"


def market(folder: Path) -> Path:
    """A folder of parquet by site: a sale exists in the app only, a lead not in the app."""
    rng, rows = np.random.default_rng(5), 3000
    site = of(rng, ["app", "web", "partner"], [0.5, 0.3, 0.2], rows)
    score = rng.normal(size=rows)
    click = flags(rng, 1 / (1 + np.exp(-score)))
    lead = flags(rng, np.where(site == "app", 0.0, 0.3), click)
    sale = flags(rng, np.full(rows, 0.3), click).astype(float)
    sale[site != "app"] = np.nan
    frame = pd.DataFrame(
        {
            "ts": 1_770_000_000 + 600 * np.arange(rows),
            "query": some(
                rng, of(rng, ["shoes", "hat", "coat"], [0.5, 0.3, 0.2], rows), ["\\N"], 0.1
            ),
            "search_id": np.arange(rows) // 3,
            "seller": rng.integers(0, 60, rows),
            "match": score.round(4),
            "is_click": click.astype(int),
            "lead": lead.astype(int),
            "sale": sale,
            "gmv": np.where(sale == 1, rng.uniform(1, 9, rows).round(2), 0.0),
        }
    )
    for name in ("app", "web", "partner"):
        part = folder / "market" / f"site={name}"
        part.mkdir(parents=True)
        frame[site == name].to_parquet(part / "part-0.parquet", index=False)
    return folder / "market"


FUNNELS: dict[str, Callable[[Path], Path]] = {
    made.__name__: made for made in (shop, feed, letter, portal, market)
}
