"""Who may do what and how much, as the operator set it: the file of $AESM2_SERVING.

Without that variable it is .streamlit/serving.toml, and without the file the defaults below:

    [people]
    analysts = ["*@shop.example"]        # patterns of e-mail addresses
    viewers = ["*"]
    without_login = "viewer"             # who comes from elsewhere while there is no login

    [quotas]
    runs = 4
"""

import functools
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field

from aesm2.config import Strict, parse
from aesm2.config.strict import read_toml
from aesm2.errors import InputError
from aesm2.files import exists

ROOT = Path(__file__).parents[2]
FILE = Path(".streamlit") / "serving.toml"
Pattern = Annotated[str, Field(min_length=1)]
YES = ("1", "true", "yes", "on")


class Role(StrEnum):
    """What somebody is here."""

    VIEWER = "viewer"  # looks at what is there
    ANALYST = "analyst"  # also trains, uploads, saves


class People(Strict):
    """The table [people]. analysts, viewers: patterns such as *@shop.example, upper case aside."""

    analysts: tuple[Pattern, ...] = ()
    viewers: tuple[Pattern, ...] = ("*",)
    without_login: Role = Role.VIEWER


class Quotas(Strict):
    """The table [quotas]: what one person may use. They hold for everybody but the local user.

    upload_mb: of one file. session_mb: of the files that a session keeps. uploads: files a day.
    runs: that wait or train at a time. minutes: of training, all in all, of one run. disk_mb: of
    runs, datasets and checkpoints together.
    """

    upload_mb: float = Field(50, gt=0, strict=True)
    session_mb: float = Field(200, gt=0, strict=True)
    uploads: int = Field(100, ge=0, strict=True)
    runs: int = Field(4, ge=0, strict=True)
    minutes: float = Field(120, gt=0, strict=True)
    disk_mb: float = Field(2_000, gt=0, strict=True)


class Settings(Strict):
    """The whole file."""

    people: People = People()
    quotas: Quotas = Quotas()


def demo() -> bool:
    """Whether everybody is a viewer and nobody logs in: AESM2_DEMO=1."""
    return os.environ.get("AESM2_DEMO", "").strip().lower() in YES


def settings() -> Settings:
    """Read the file, again after it changed; InputError, which stops every page, if it is bad."""
    named = os.environ.get("AESM2_SERVING")
    path = Path(named) if named else ROOT / FILE
    if not exists(path):
        if named:
            raise InputError(f"{path}: named in AESM2_SERVING, but not there")
        return Settings()
    return _read(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _read(path: Path, _stamp: int) -> Settings:
    return parse(Settings, read_toml(path), str(path))
