"""A dataset folder in the making: what is ready stays hidden until all of it is.

    .unfinished/progress.json   the arguments, and the finished pieces with their files and counts
    .unfinished/log/            parquet files; those of a piece not yet finished are begun anew
    .unfinished/buckets/        temporary files of the piece in hand

At the end `log/` moves up and `dataset.toml` is written, in this order: without it a folder is no
dataset. So the process may be killed at any moment.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aesm2.data.description import DESCRIPTION
from aesm2.errors import InputError
from aesm2.files import read_json, write_atomically
from aesm2.prepare.discover import Piece

VERSION = 1  # of the log's columns and draws


class Unfinished:
    """The hidden part of a dataset folder that is being prepared."""

    def __init__(self, out: Path, pieces: Sequence[Piece], fraction: float) -> None:
        """Begin in an empty folder, or go on with what an earlier call has finished.

        Raises InputError where the folder holds something else, or was begun with other arguments.
        """
        self.out, self.folder = out, out / ".unfinished"
        self.log, self.buckets = self.folder / "log", self.folder / "buckets"
        self.finished: dict[str, dict[str, Any]] = {}
        arguments = {
            "version": VERSION,
            "fraction": fraction,
            "countries": list(dict.fromkeys(piece.country for piece in pieces)),
        }
        self._progress: dict[str, Any] = {"arguments": arguments, "finished": self.finished}
        if (out / DESCRIPTION).exists():
            raise InputError(f"{out}: holds a dataset already; name another folder or delete it")
        if (self.folder / "progress.json").exists():
            self._go_on(pieces)
        elif (out / "log").exists():
            raise InputError(f"{out}: holds a 'log' already; name another folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._save()

    def start(self, piece: Piece) -> None:
        """Make the folders of a piece, without what an interrupted call left of it."""
        shutil.rmtree(self.buckets, ignore_errors=True)
        self.buckets.mkdir()
        self.log.mkdir(exist_ok=True)
        for file in self.log.glob(f"{piece.name}-*.parquet"):
            file.unlink()

    def finish(self, piece: Piece, counts: dict[str, int]) -> None:
        """Remember that all files of a piece are there."""
        self.finished[piece.name] = {"files": _sizes(piece), "counts": counts}
        self._save()

    def publish(self, description: str) -> None:
        """Make it a dataset."""
        if not (self.out / "log").exists():
            self.log.rename(self.out / "log")
        write_atomically(self.out / DESCRIPTION, description)
        self.discard()

    def discard(self) -> None:
        """Delete all that is hidden."""
        shutil.rmtree(self.folder)

    def _go_on(self, pieces: Sequence[Piece]) -> None:
        file = self.folder / "progress.json"
        stored = read_json(file)
        for name, value in self._progress["arguments"].items():
            begun = stored["arguments"].get(name)
            if begun != value:
                raise InputError(
                    f"{self.out}: was begun with {name} {_spelt(begun)}, not {_spelt(value)};"
                    f" repeat that, or delete {self.folder} to begin anew"
                )
        for piece in pieces:
            finished = stored["finished"].get(piece.name)
            if finished is not None and finished["files"] != _sizes(piece):
                raise InputError(
                    f"{self.out}: {piece.name} was prepared from other files than those in"
                    f" {piece.files[0].path.parent}; delete {self.folder} to begin anew"
                )
        self.finished.update(stored["finished"])

    def _save(self) -> None:
        write_atomically(self.folder / "progress.json", json.dumps(self._progress, indent=2))


def _sizes(piece: Piece) -> dict[str, int]:
    return {file.path.name: file.size for file in piece.files}


def _spelt(value: object) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)
