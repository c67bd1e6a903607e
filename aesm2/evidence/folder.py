"""A folder of evidence: tidy tables as parquet, and how each was made.

evidence.json    name, dataset, study, and for every table its command, commit and machine
runs.parquet     what was measured of every final run; one file a table
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from aesm2.errors import InputError
from aesm2.evidence.stored import check_manifest, read_stored
from aesm2.files import read_json, replaced, write_atomically
from aesm2.machine import place

FORMAT = 1
MANIFEST = "evidence.json"


@dataclass(frozen=True)
class Evidence:
    """An opened folder of evidence.

    manifest: content of evidence.json. tables: those that are there, by name.
    """

    path: Path
    manifest: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]

    @property
    def name(self) -> str:
        """Name of the study."""
        return str(self.manifest["name"])

    def made(self, table: str) -> str:
        """Say by which command, commit and machine a table was made."""
        facts = self.manifest["tables"][table]
        return f"{facts['command']}; commit {facts['commit']}; {facts['machine']}"


def read_evidence(folder: Path) -> Evidence:
    """Open a folder of evidence; InputError where it is none, or of another version."""
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{folder / MANIFEST}: not evidence of this version; compute it again")
    check_manifest(manifest, folder / MANIFEST)
    tables = {name: read_stored(folder, name) for name in manifest["tables"]}
    if not tables:
        raise InputError(f"{folder / MANIFEST}: no tables yet; `aesm2 compare` computes some")
    return Evidence(folder, manifest, tables)


def add_tables(
    folder: Path, about: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], command: str
) -> None:
    """Write tables into a folder of evidence, replacing those of the same names, all at once.

    about: name, dataset and study, which must be those the folder has already, if it is one.
    """
    manifest: dict[str, Any] = {"format": FORMAT, **about, "tables": {}}
    if (folder / MANIFEST).exists():
        old = read_json(folder / MANIFEST)
        if not isinstance(old, dict) or not isinstance(old.get("tables"), dict):
            raise InputError(f"{folder / MANIFEST}: not evidence; name another folder")
        if old.get("rows") != about["rows"]:
            raise InputError(
                f"{folder}: holds evidence of other rows; name another folder, or delete it"
            )
        manifest["tables"] = old["tables"]
    with replaced(folder, kept=True) as part:
        for name, table in tables.items():
            with (part / f"{name}.parquet").open("wb") as file:
                table.to_parquet(file, index=False, compression="zstd")
            manifest["tables"][name] = place() | {"command": command, "lines": len(table)}
        text = json.dumps(manifest, indent=1, ensure_ascii=False)
        write_atomically(part / MANIFEST, text + "\n")
