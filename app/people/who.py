"""Who is asking, and what they may. Actions ask here; hiding a button is not enough.

Without a login everybody at this machine is an analyst without quotas, and their things belong to
nobody in particular. That somebody comes from elsewhere is told by where the server listens and by
what a proxy adds; whoever adds such a header themselves only loses by it.
"""

import fnmatch
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import streamlit as st

from aesm2.errors import InputError
from aesm2.owner import owner_of
from app import log
from app.people.settings import People, Quotas, Role, demo, settings

LOOPBACK = ("127.0.0.1", "localhost", "::1")
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via")


class Right(StrEnum):
    """What a viewer may not do; the text completes "may not …"."""

    TRAIN = "train, or steer a run"
    UPLOAD = "upload files"
    DATA = "bring tables and save datasets"
    PATHS = "open tables on the server"
    CHECKPOINTS = "promote, import or remove checkpoints"
    SLICES = "save or delete slices"


RIGHTS: Mapping[Role | None, frozenset[Right]] = {Role.ANALYST: frozenset(Right)}


class Forbidden(InputError):
    """Raised where somebody asks for what they may not do."""


@dataclass(frozen=True)
class Person:
    """Whoever asks.

    id: of their things; "" where nobody logs in. name: for their own eyes. role: None for somebody
    who may not use the app at all. local: at this machine, without a login. way: what to do about
    what they may not.
    """

    id: str
    name: str
    role: Role | None
    local: bool
    way: str

    @property
    def quotas(self) -> Quotas | None:
        """What they may use; None for no limits."""
        return None if self.local else settings().quotas


def login_on() -> bool:
    """Whether people log in here: there is a section [auth] in secrets.toml, and no demo."""
    return not demo() and "is_logged_in" in _claims()


def providers() -> list[str]:
    """Return the names of the providers of secrets.toml; "" for the one without a name."""
    section = st.secrets["auth"]
    named = [name for name, value in section.items() if isinstance(value, Mapping)
             and "client_id" in value]  # fmt: skip
    return [""] * ("client_id" in section) + named


def person() -> Person:
    """Return who is asking; InputError where the operator's settings cannot be read."""
    people = settings().people
    if demo():
        return Person("", "", Role.VIEWER, False, "This is a demonstration: run your own copy of"
                      " the app to do so.")  # fmt: skip
    claims = _claims()
    if "is_logged_in" in claims:
        return _logged_in(claims, people)
    if _local():
        return Person("", "", Role.ANALYST, True, "")
    return Person("", "", people.without_login, False, "This app is open to others"
                  " without a login: whoever runs it can let you (docs/serving.md).")  # fmt: skip


def may(right: Right) -> bool:
    """Whether whoever asks may do something."""
    return right in RIGHTS.get(person().role, ())


def require(right: Right) -> Person:
    """Return who is asking; Forbidden, with what to do about it, where they may not."""
    own = person()
    if right not in RIGHTS.get(own.role, ()):
        log.event("refused", logging.WARNING, right=right.name.lower(), person=own.id[:8])
        raise Forbidden(f"as a viewer you may not {right}. {own.way}")
    return own


def sees(folder: Path) -> bool:
    """Whether a dataset or checkpoint is everybody's, or theirs who ask."""
    owner = owner_of(folder)
    return not owner or owner == person().id


def require_own(folder: Path, what: str) -> None:
    """Raise InputError where a folder is there that is not theirs who ask."""
    if folder.exists() and owner_of(folder) != person().id:
        raise InputError(f"there is a {what} '{folder.name}' already, which is not yours to replace"
                         " or remove; choose another name")  # fmt: skip


def _logged_in(claims: Mapping[str, Any], people: People) -> Person:
    if not claims.get("is_logged_in"):
        return Person("", "", None, False, "Log in first.")
    identity = f"{claims.get('iss', '')}|{claims.get('sub', '')}"
    id_ = hashlib.sha256(identity.encode()).hexdigest()[:16]
    email = str(claims.get("email") or "") if claims.get("email_verified") is not False else ""
    name = str(claims.get("name") or email or "you")
    role = None
    if _fits(email, people.analysts):
        role = Role.ANALYST
    elif _fits(email, people.viewers):
        role = Role.VIEWER
    return Person(id_, name, role, False, "Ask an analyst of your team to do it, or whoever runs"
                  " this app to make you one.")  # fmt: skip


def _fits(email: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(email.lower(), own.lower()) for own in patterns)


def _claims() -> Mapping[str, Any]:
    """What the provider said of whoever asks; without the key is_logged_in there is no login."""
    return st.user.to_dict()


def _local() -> bool:
    address = str(st.get_option("server.address") or "")
    headers = st.context.headers
    return address in LOOPBACK and not any(headers.get(name) for name in FORWARDED)
