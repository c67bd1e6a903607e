"""Who comes to a served app: what a login provider says of them, the settings, whose things."""

import contextlib
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aesm2.errors import InputError
from aesm2.owner import OWNER, give, owner_of
from aesm2.slices.saved import save, saved
from tests.fuzz import mutate
from tests.fuzz.dice import Dice, Wrong
from tests.fuzz.guard import Case

CLAIMS = {
    "is_logged_in": True, "iss": "https://id.example", "sub": "1", "email": "ann@shop.example",
    "email_verified": True, "name": "Ann", "provider": "id", "aud": "x", "exp": 2_000_000_000,
}  # fmt: skip
SETTINGS = {
    "people": {"analysts": ["*@shop.example", "guest@*"], "viewers": ["*"],
               "without_login": "viewer"},
    "quotas": {"upload_mb": 50, "session_mb": 200.5, "uploads": 100, "runs": 4, "minutes": 120,
               "disk_mb": 2000},
}  # fmt: skip
EMAILS = (
    "ANN@SHOP.EXAMPLE", "ann@shop.example.evil", "evil@evil.example\n@shop.example", "",
    "evil@evil.example, ann@shop.example", "\u212ann@shop.example", "ann@\u017fhop.example",
    "guest@evil.example", "@shop.example", "ann@shop.example\x00", " ann@shop.example", "İ@i",
    ["ann@shop.example"], {"x": "ann@shop.example"}, None, True, 1, "a" * 100_000 + "@shop.example",
)  # fmt: skip
VERIFIED = (True, False, None, "true", "false", "False", "True", "", 0, 1, [], {}, "no")
SUBJECTS = (
    "1", "2", 1, 1.0, True, None, "", " ", "../x", "/etc", "..", "a|b", "|", "x" * 1_000_000,
    "\ud800", "\x00", "é", "e\u0301", [], {}, ["1"], "1\n", "0123456789abcdef",
)  # fmt: skip
ISSUERS = (
    "https://id.example", "https://id.example/", "https://id.example|1", "", None, 1, [], "|",
    "https://other.example", "\ud800",
)  # fmt: skip
PATTERNS = ("*", "", "?*", "*@*", "*@shop.example", "GUEST@*", "*@SHOP.example", "k*@shop.example",
            "**", "[a-z]*@shop.example", "*" * 300 + "x", "ann@shop.example", "i*@i")  # fmt: skip


def people() -> Case:
    """Claims and settings changed; nobody has a role that was not given, or others' things."""
    from app import locations
    from app.people import who
    from app.people.settings import settings

    def case(dice: Dice, place: Path) -> None:
        file = place / "serving.toml"
        _settings(dice, file)
        os.environ |= {"AESM2_SERVING": str(file), "AESM2_DATA": str(place / "data")}
        os.environ.pop("AESM2_DEMO", None)
        ann, bob = _claims(dice), _claims(dice)
        try:
            found = settings()
            _require_settings(file, found)
            both = []
            for claims in (ann, bob):
                who._claims = lambda claims=claims: claims
                own = who.person()
                _require_role(found.people, claims, own)
                both.append((claims, own))
            _require_two(both)
            _things(dice, place, both)
        finally:
            who._claims = dict
            assert locations.data_home() == place / "data"

    return case


# ---- what is drawn ----------------------------------------------------------------------------


def _settings(dice: Dice, file: Path) -> None:
    kind = dice.randrange(10)
    if kind < 2:
        file.write_bytes(mutate.mutated(dice, mutate.to_toml(SETTINGS), "serving.toml"))
    elif kind < 5:
        values = mutate.changed(dice, SETTINGS, "serving.toml")
        file.write_bytes(mutate.to_toml(values if isinstance(values, dict) else {"x": values}))
    elif kind < 9:
        rights = {name: [dice.one(PATTERNS) for _ in range(dice.randrange(3))]
                  for name in ("analysts", "viewers")}  # fmt: skip
        dice.note(f"{rights}")
        file.write_bytes(mutate.to_toml({"people": rights}))
    else:
        what = dice.one(("pipe", "folder", "deep", "digits", "long"))
        dice.note(f"serving.toml is a {what}")
        match what:
            case "pipe":
                os.mkfifo(file)
            case "folder":
                file.mkdir()
            case "deep":
                file.write_text("a = " + "[" * 100_000)
            case "digits":
                file.write_text("[quotas]\nruns = " + "9" * dice.one((20, 400, 5_000)))
            case _:
                file.write_text("# " + "x" * (17 << 20))


def _claims(dice: Dice) -> dict[str, Any]:
    claims: Any = dict(CLAIMS)
    for _ in range(dice.some(3)):
        match dice.randrange(7):
            case 0:
                claims["email"] = dice.one(EMAILS)
            case 1:
                claims["email_verified"] = dice.one(VERIFIED)
            case 2:
                claims["sub"] = dice.one(SUBJECTS)
            case 3:
                claims["iss"] = dice.one(ISSUERS)
            case 4:  # the same text in other places
                whole = "https://id.example|1|2"
                at = dice.one([i for i, sign in enumerate(whole) if sign == "|"])
                claims |= {"iss": whole[:at], "sub": whole[at + 1 :]}
            case 5:
                claims["name"] = dice.one((*mutate.TEXTS, *mutate.NUMBERS[:8], None, [], {}))
            case _:
                claims.pop(dice.one(sorted(claims)))
                claims["is_logged_in"] = dice.one((True, True, True, False))
    if dice.random() < 0.1:
        changed = mutate.changed(dice, CLAIMS, "claims")
        claims = changed if isinstance(changed, dict) else claims
    dice.note(f"{ ({k: v for k, v in claims.items() if CLAIMS.get(k, 0) is not v})!r:.300}")
    return claims


# ---- what must hold ---------------------------------------------------------------------------


def _require_settings(file: Path, found: Any) -> None:
    """Raise Wrong where a setting is not the number or text of the file."""
    values = tomllib.loads(file.read_text(encoding="utf-8"))
    for table in ("people", "quotas"):
        for name, value in values.get(table, {}).items():
            own = getattr(getattr(found, table), name)
            own = list(own) if isinstance(own, tuple) else own
            if isinstance(own, float) and type(value) is int:
                value = float(value)
            if own != value or isinstance(own, bool) != isinstance(value, bool):
                raise Wrong(f"{table}.{name} is {value!r:.60}, read as {own!r:.60}")


def _require_role(people: Any, claims: dict[str, Any], own: Any) -> None:
    """Raise Wrong where somebody's role, id or name is not what the claims and settings give."""
    if not own.name.isprintable() or len(own.name) > 200:
        raise Wrong(f"a name of {len(own.name)} characters: {own.name!r:.80}")
    named = all(isinstance(claims.get(k), str) and claims[k] for k in ("iss", "sub"))
    if not (named and claims.get("is_logged_in") and "is_logged_in" in claims):
        if "is_logged_in" in claims and own.role is not None:
            raise Wrong(f"somebody without a name is {own.role}")
        return
    if own.role is not None and not re.fullmatch("[0-9a-f]{16}", own.id):
        raise Wrong(f"an id {own.id!r}")
    email = claims.get("email")
    sure = claims.get("email_verified")
    told = sure is None or sure is True or (isinstance(sure, str) and sure.lower() == "true")
    fine = isinstance(email, str) and len(email) <= 254 and email.isprintable()
    fine = fine and " " not in email and len(email.split("@")) <= 2
    email = email if told and fine else ""
    if "|" in claims["iss"]:
        expected = None
    elif any(map(_bracket, (*people.analysts, *people.viewers))):
        return
    elif any(_fits(email, own) for own in people.analysts):
        expected = "analyst"
    else:
        expected = "viewer" if any(_fits(email, own) for own in people.viewers) else None
    if own.role != expected:
        raise Wrong(f"{email!r:.80} is {own.role}, by hand {expected}")


def _bracket(pattern: str) -> bool:
    return "[" in pattern


def _fits(text: str, pattern: str) -> bool:
    """Whether a text is as a pattern of * and ? says, one sign after the other."""
    text, pattern = _low(text), re.sub(r"\*+", "*", _low(pattern))
    ends = {0}  # lengths of the text that the pattern so far may stand for
    for sign in pattern:
        if sign == "*":
            ends = set(range(min(ends), len(text) + 1)) if ends else set()
        else:
            ends = {end + 1 for end in ends if text[end : end + 1] and sign in ("?", text[end])}
    return len(text) in ends


def _low(text: str) -> str:
    return "".join(chr(ord(sign) + 32) if "A" <= sign <= "Z" else sign for sign in text)


def _require_two(both: list[tuple[dict[str, Any], Any]]) -> None:
    """Raise Wrong where two people are one, or one is two."""
    (a, ann), (b, bob) = both
    if ann.role is None or bob.role is None or not (ann.id and bob.id):
        return
    same = (a["iss"], a["sub"]) == (b["iss"], b["sub"])
    if (ann.id == bob.id) != same:
        raise Wrong(f"{a['iss']!r:.40} {a['sub']!r:.40}, {b['iss']!r:.40} {b['sub']!r:.40}:"
                    f" {ann.id}, {bob.id}")  # fmt: skip


def _things(dice: Dice, place: Path, both: list[tuple[dict[str, Any], Any]]) -> None:
    """Keep something for each and look at it as the other."""
    from app import locations
    from app.people import who

    shared, homes = place / "data" / ".slices", []
    folder = place / "data" / "hers"
    folder.mkdir(parents=True)
    with _being(both[0][0]):
        ann = who.person()
        home = locations.slices_home()
        homes.append(home)
        if ann.id:
            if home.parent != shared or home.resolve() != place.resolve() / home.relative_to(place):
                raise Wrong(f"slices are kept in {home}")
            home.mkdir(parents=True)
            save(home, "shop", "mine", "age missing")
            give(folder, ann.id)
            _spoil(dice, folder / OWNER)
    with _being(both[1][0]):
        bob = who.person()
        if ann.id and ann.id != bob.id and bob.role is not None:
            if saved(locations.slices_home(), "shop"):
                raise Wrong("slices of somebody else")
            if who.sees(folder):
                raise Wrong(f"a folder of {owner_of(folder)!r:.40} is seen by {bob.id}")
            with contextlib.suppress(InputError):
                who.require_own(folder, "dataset")
                raise Wrong("a folder of somebody else may be replaced")


def _spoil(dice: Dice, file: Path) -> None:
    """Damage the file that says whose a folder is: then it is nobody's, never everybody's."""
    if dice.random() < 0.5:
        return
    text = dice.one(("", " ", "\n", "?", "\x00", "*", "..", "\ufeff", "x" * 2_000_000, b"\xff"))
    dice.note(f"{OWNER} holds {text!r:.20}")
    file.write_bytes(text if isinstance(text, bytes) else text.encode())


@contextlib.contextmanager
def _being(claims: dict[str, Any]) -> Iterator[None]:
    from app.people import who

    before = who._claims
    who._claims = lambda: claims
    try:
        yield
    finally:
        who._claims = before
