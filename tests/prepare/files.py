"""Small files of exactly the published shapes, and what must become of them, the obvious way."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from aesm2.data.dataset import Dataset

USER = [f"user_{i}" for i in range(1, 34)]
ITEM = [f"item_{i}" for i in range(1, 50)]


def words(text: str) -> list[str]:
    return text.split()


# Raw names in the order of the processed ones, written out: the code derives them.
CATEGORICAL = words("""
    user_2 user_3 user_4 user_5 user_6 user_7 user_8 user_32 user_33
    item_19 item_34 item_35 item_36 item_40 item_41 item_42
""")
NUMERICAL = words("""
    user_9 user_10 user_11 user_12 user_13 user_14 user_15 user_16 user_17 user_18 user_19 user_20
    user_21 user_22 user_23 user_24 user_25 user_26 user_27 user_28 user_29 user_30 user_31
    item_2 item_3 item_4 item_5 item_6 item_7 item_8 item_9 item_10 item_11 item_12 item_13 item_14
    item_15 item_16 item_17 item_18 item_20 item_21 item_22 item_23 item_24 item_25 item_26 item_27
    item_28 item_29 item_30 item_31 item_32 item_33 item_37 item_38 item_39 item_43 item_44 item_45
    item_46 item_47 item_48
""")
CATEGORICAL_NAMES = [f"categorical_{i}" for i in range(1, 17)]
NUMERICAL_NAMES = [f"numerical_{i}" for i in range(1, 64)]
FEATURES = CATEGORICAL_NAMES + NUMERICAL_NAMES
NUMBERS = {"NL": (0, 1), "FR": (2, 3), "ES": (4, 5), "US": (6, 7), "RU": (8, 9)}  # of train, test
LABELS = {0: (0, 0), 1: (1, 0), 2: (1, 1)}
PAGES = 60


def raw(country: str, split: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The user and the item table: in no order, with pages and items that have no partner."""
    rng = np.random.default_rng([*country.encode(), *split.encode()])
    pages = 3 * np.arange(PAGES)  # the same ids in every file
    users = pd.DataFrame({"user_1": rng.permutation(pages)})
    items = pd.DataFrame({"item_1": rng.permutation(np.repeat(pages, rng.integers(0, 6, PAGES)))})
    items.loc[rng.choice(len(items), 4, replace=False), "item_1"] = [1, 4, 100, 10**15]
    for table, names in ((users, USER), (items, ITEM)):
        for name in names[1:]:
            table[name] = (
                rng.integers(0, 50, len(table))
                if name in CATEGORICAL
                else rng.integers(0, 10**6, len(table)) / 10**6
            )
    items["item_49"] = rng.choice(3, len(items), p=[0.6, 0.3, 0.1])
    users.loc[3, "user_9"] = np.nan
    items.loc[5, "item_2"] = np.nan
    return users, items


def processed(country: str, split: str) -> pd.DataFrame:
    """The two tables merged in memory, under the processed names."""
    users, items = raw(country, split)
    merged = users.merge(items, left_on="user_1", right_on="item_1", how="inner")
    frame = pd.DataFrame({"search_id": merged["user_1"]})
    for new, old in zip(FEATURES, CATEGORICAL + NUMERICAL, strict=True):
        frame[new] = merged[old]
    frame["click"] = [LABELS[label][0] for label in merged["item_49"]]
    frame["conversion"] = [LABELS[label][1] for label in merged["item_49"]]
    return frame


def write_raw(folder: Path, country: str, zipped: bool = True) -> Path:
    """Write the four raw files of a country."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        for table, frame in zip(("user", "item"), raw(country, split), strict=True):
            stem = f"{country.lower()}_{table}_{split}"
            text = frame.to_csv(header=False, index=False, lineterminator="\n")
            if zipped:
                write_zip(folder / f"{stem}.zip", {f"{stem}.csv": text})
            else:
                (folder / f"{stem}.csv").write_text(text)
    return folder


def write_zip(path: Path, members: dict[str, str | bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def write_processed(folder: Path, country: str, columns: list[str] | None = None) -> Path:
    """Write train.csv and test.csv; columns: in which order, all by default."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        frame = processed(country, split)
        frame[columns or list(frame)].to_csv(folder / f"{split}.csv", index=False)
    return folder


def uniform(page: int, country: str, split: str, purpose: int) -> float:
    """The draw of a page, with Python's integers: SplitMix64's finaliser of salted id."""
    key = ("NL", "FR", "ES", "US", "RU").index(country), ("train", "test").index(split), purpose
    salt = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
    x = (page + salt) % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return ((x ^ (x >> 31)) >> 11) / 2**53


def expected(countries: Iterable[str], fraction: float = 1) -> pd.DataFrame:
    """The log, in the order of `in_order`."""
    frames = []
    for country in countries:
        for number, split in zip(NUMBERS[country], ("train", "test"), strict=True):
            frame = processed(country, split)
            frame = frame[[uniform(p, country, split, 0) < fraction for p in frame["search_id"]]]
            part = [
                "validation" if split == "test" and uniform(p, country, split, 1) < 0.5 else split
                for p in frame["search_id"]
            ]
            frame = frame.assign(search_id=10 * frame["search_id"] + number)
            frames.append(frame.assign(country=country, part=part))
    return in_order(pd.concat(frames))


def log(out: Path) -> pd.DataFrame:
    """The log that was written, in the order of `in_order`."""
    return in_order(Dataset.open(out).frame().drop(columns="split"))


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows and columns in an order that does not depend on the files; types by kind."""
    kinds = dict.fromkeys(CATEGORICAL_NAMES, "int32") | dict.fromkeys(NUMERICAL_NAMES, "float32")
    kinds |= {"click": "int8", "conversion": "int8", "country": "str", "part": "str"}
    columns = ["country", "part", "search_id", *FEATURES, "click", "conversion"]
    frame = frame[columns].astype(kinds)
    return frame.sort_values(["search_id", *FEATURES], ignore_index=True)
