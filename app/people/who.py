"""Who is asking, and what they may. Actions ask here; hiding a button is not enough.

Without a login everybody at this machine is an analyst without quotas, and their things belong to
nobody in particular. That somebody comes from elsewhere is told by where the server listens and by
what a proxy adds; whoever adds such a header themselves only loses by it.
"""

import fnmatch
import hashlib
import logging
import string
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import streamlit as st

from aesm2.errors import InputError, one_line
from aesm2.owner import owner_of
from app import log
from app.people.settings import People, Quotas, Role, demo, settings

LOOPBACK = ("127.0.0.1", "localhost", "::1")
UNNAMED = "unnamed"  # the id of somebody whom the provider does not name; they may nothing
LONGEST_NAME, LONGEST_EMAIL = 80, 254  # characters; of an address as the standard has it
_LOW = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)  # K, the Kelvin sign, is no k
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
    email = _email(claims)
    name = _name(claims) or email or "you"
    identity = _identity(claims)
    if identity is None:
        return Person(UNNAMED, name, None, False, "")
    id_ = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    role = None
    if _fits(email, people.analysts):
        role = Role.ANALYST
    elif _fits(email, people.viewers):
        role = Role.VIEWER
    return Person(id_, name, role, False, "Ask an analyst of your team to do it, or whoever runs"
                  " this app to make you one.")  # fmt: skip


def _identity(claims: Mapping[str, Any]) -> str | None:
    """Issuer and subject, which tell somebody from everybody else; None where either lacks."""
    issuer, subject = claims.get("iss"), claims.get("sub")
    named = all(isinstance(own, str) and own for own in (issuer, subject))
    return f"{issuer}|{subject}" if named and "|" not in str(issuer) else None


def _email(claims: Mapping[str, Any]) -> str:
    """One address; "" where there is none, or the provider says that it is not verified."""
    email, verified = claims.get("email"), claims.get("email_verified")
    sure = verified is None or str(verified).lower() == "true"  # some send texts
    if not (sure and isinstance(email, str) and len(email) <= LONGEST_EMAIL):
        return ""
    return email if email.isprintable() and " " not in email and email.count("@") < 2 else ""


def _name(claims: Mapping[str, Any]) -> str:
    name = claims.get("name")
    text = one_line(name).strip() if isinstance(name, str) else ""
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"


def _fits(email: str, patterns: tuple[str, ...]) -> bool:
    folded = email.translate(_LOW)
    return any(fnmatch.fnmatchcase(folded, own.translate(_LOW)) for own in patterns)


def _claims() -> Mapping[str, Any]:
    """What the provider said of whoever asks; without the key is_logged_in there is no login."""
    return st.user.to_dict()


def _local() -> bool:
    address = str(st.get_option("server.address") or "")
    headers = st.context.headers
    return address in LOOPBACK and not any(headers.get(name) for name in FORWARDED)
