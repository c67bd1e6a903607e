"""Add the derived columns to KuaiRand-Pure's tables: `python prepare.py SOURCE TARGET`.

SOURCE holds log.parquet, users.parquet and videos.parquet as README.md describes them; TARGET gets
the same tables with these columns added, and nothing else changed:

    log     hour, weekday      of the impression, from `hourmin` and `date`
    log     log_play_seconds   ln(1 + seconds played): an outcome, used only through history
    log     play_ratio         share of the video's duration played, at most 1: likewise
    videos  aspect             height / width
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd


def prepare(source: Path, target: Path) -> None:
    """Write the tables of `source` with the derived columns into `target`."""
    log = pd.read_parquet(source / "log.parquet")
    log["hour"] = (log["hourmin"] // 100).astype(np.int8)
    day = pd.to_datetime(log["date"].astype(str), format="%Y%m%d")
    log["weekday"] = day.dt.day_of_week.astype(np.int8)
    log["log_play_seconds"] = np.log1p(log["play_time_ms"] / 1000).astype(np.float32)
    ratio = log["play_time_ms"] / log["duration_ms"].clip(lower=1)
    log["play_ratio"] = ratio.clip(upper=1).astype(np.float32)
    videos = pd.read_parquet(source / "videos.parquet")
    videos["aspect"] = (videos["server_height"] / videos["server_width"]).astype(np.float32)
    users = pd.read_parquet(source / "users.parquet")
    for name, table in (("log", log), ("users", users), ("videos", videos)):
        table.to_parquet(target / f"{name}.parquet", index=False, compression="zstd")


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), Path(sys.argv[2]))
