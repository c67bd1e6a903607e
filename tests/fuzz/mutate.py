"""Mutations of valid bytes, values and texts."""

import json
import struct
from typing import Any

from tests.fuzz.dice import Dice

TEXTS = (
    "", " ", "\t", "\n", "a\nb", "\r", "\x00", "a\x00b", "\x1b[31mred\x1b[0m", "\x07", "\u202e",
    "\ufeff", "\u2028", "é" * 20, "😀", "\ud800", "ﷺ" * 5, "A" * 300, "x" * 20_000,
    "../../etc/passwd",
    "/etc/passwd", "..", ".", "~", "a/b", "a\\b", "C:\\x", "CON", "%00", "%s%n", "{0}", "$(id)",
    "`id`",
    "'; drop table x; --", '"', "'", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))", "$x$", "**b**", "null", "None", "nan", "NaN", "inf", "-Infinity",
    "true",
    "0", "-0", "1e309", "1e-400", "0x10", "1_000", "٣", "½", "9" * 400, "9" * 5000, "truth_x",
    "split",
    "all", "task", "path", "ctr", "country", "fr", "click", "user", "__class__", "=1+1", "@x", "#",
)  # fmt: skip
NUMBERS = (
    0, -0.0, 1, -1, 2, 3, 0.5, -0.5, 255, 256, 1024, 1025, 4096, 4097, 65_536, 2**31 - 1, 2**31,
    2**32,
    2**53, 2**63 - 1, 2**63, -(2**63), 2**64, 10**12, 10**30, 10**400, 1e-320, 1e-45, 1e300, 3.4e38,
    float("inf"), float("-inf"), float("nan"), True, False,
)  # fmt: skip
BYTES = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b'"', b"'", b",", b";", b"\t", b"|", b"\n",
    b"\r",
    b"\r\n", b"\n\n\n", b"#", b"=", b"[", b"[[[[", b"]", b"{", b"}", b"\\", b"nan", b"inf",
    b"-1", b"1e999",
    b"9" * 400, b"\xc3\x28", b"\xed\xa0\x80", b"NULL", b"\x1b[2J", b"A" * 5000, b"PK\x03\x04",
    b"PAR1",
)  # fmt: skip


def mutated(dice: Dice, content: bytes, name: str, most: int = 4) -> bytes:
    """Damage bytes in one way or several."""
    for _ in range(dice.some(most)):
        content = _damaged(dice, content, name)
    return content


def _damaged(dice: Dice, content: bytes, name: str) -> bytes:
    size = len(content)
    at, end = sorted((dice.randrange(size + 1), dice.randrange(size + 1)))
    end = min(end, at + dice.one((1, 4, 64, 4096)))
    match dice.randrange(10):
        case 0 | 1 if size:
            place, bit = dice.randrange(size), dice.randrange(8)
            dice.note(f"{name}: bit {bit} of byte {place}")
            return content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :]
        case 2:
            dice.note(f"{name}: cut at {at}")
            return content[:at]
        case 3 | 4 | 5:
            token = dice.one(BYTES)
            dice.note(f"{name}: {token[:12]!r} for {at}:{end}")
            return content[:at] + token + content[end if dice.random() < 0.5 else at :]
        case 6:
            dice.note(f"{name}: without {at}:{end}")
            return content[:at] + content[end:]
        case 7:
            times = dice.one((1, 2, 50))
            dice.note(f"{name}: {at}:{end} {times} times more")
            return content[:end] + content[at:end] * times + content[end:]
        case 8:
            noise = dice.randbytes(end - at)
            dice.note(f"{name}: noise at {at}:{end}")
            return content[:at] + noise + content[end:]
        case _:
            return _rewritten(dice, content, name)


def _rewritten(dice: Dice, content: bytes, name: str) -> bytes:
    """Change the whole: its encoding, its line ends, or all of it."""
    kind = dice.one(("utf-16", "latin-1", "utf-8-sig", "cr", "empty", "zeros", "twice", "json"))
    dice.note(f"{name}: {kind}")
    text = content.decode("utf-8", "ignore")
    match kind:
        case "cr":
            return content.replace(b"\n", dice.one((b"\r", b"\r\n")))
        case "empty":
            return dice.one((b"", b"\n", b" "))
        case "zeros":
            return bytes(len(content))
        case "twice":
            return content + content
        case "json":
            return dice.one((b"null", b"[]", b"{}", b"1", b'"x"', b"[" * 100_000, b'{"a":' * 5_000))
        case _:
            return text.encode(kind, "replace")


def changed(dice: Dice, value: Any, name: str, most: int = 4) -> Any:
    """Change a value of dictionaries and lists in one place or several."""
    value = json.loads(json.dumps(value))
    for _ in range(dice.some(most)):
        value = _altered(dice, value, name)
    return value


def hostile(dice: Dice) -> Any:
    """Draw a value that nobody expects."""
    match dice.randrange(8):
        case 0 | 1 | 2:
            return dice.one(TEXTS)
        case 3 | 4 | 5:
            return dice.one(NUMBERS)
        case 6:
            return dice.one((None, [], {}, [[]], [None], {"": None}, [1, "x", None], {"x": [1]}))
        case _:
            deep: Any = dice.one((1, "x", []))
            for _ in range(dice.one((5, 60, 200))):
                deep = [deep] if dice.random() < 0.5 else {"x": deep}
            return deep


def _altered(dice: Dice, value: Any, name: str) -> Any:
    places = list(_places(value))
    if not places:
        return hostile(dice)
    holder, key, path = dice.one(places)
    match dice.randrange(9):
        case 0 | 1 | 2 | 3:
            holder[key] = hostile(dice)
            dice.note(f"{name}: {path} = {holder[key]!r:.60}")
        case 4:
            del holder[key]
            dice.note(f"{name}: {path} left out")
        case 5:
            other_holder, other, other_path = dice.one(places)
            holder[key] = json.loads(json.dumps(other_holder[other]))
            dice.note(f"{name}: {path} = {other_path}")
        case 6 if isinstance(holder, dict):
            new = dice.one(TEXTS) if dice.random() < 0.6 else f"{key}_"
            holder[new] = holder.pop(key)
            dice.note(f"{name}: {path} named {new!r:.40}")
        case 7 if isinstance(holder, list):
            times = dice.one((1, 2, 3, 300))
            holder[key:key] = [holder[key]] * times
            dice.note(f"{name}: {path} {times} times more")
        case 8 if isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
            holder[key] = holder[key] * dice.one((-1, 2, 1000, 0.5)) + dice.one((0, 1, -1))
            dice.note(f"{name}: {path} = {holder[key]}")
        case _:
            added = hostile(dice)
            if isinstance(holder, dict):
                holder[dice.one(TEXTS)] = added
            else:
                holder.append(added)
            dice.note(f"{name}: {added!r:.40} beside {path}")
    return value


def _places(value: Any, path: str = "") -> Any:
    """Yield (holder, key, path) of everything inside; of a long list the beginning."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))[:40]
    for key, part in inner:
        yield value, key, f"{path}.{key!s:.20}"
        if path.count(".") < 12:
            yield from _places(part, f"{path}.{key!s:.20}")


def to_json(dice: Dice, value: Any) -> bytes:
    """Write JSON as Python does, NaN included."""
    return json.dumps(value, ensure_ascii=dice.random() < 0.7).encode("utf-8", "replace")


def to_toml(value: dict[str, Any]) -> bytes:
    """Write TOML; what it does not know, null, is left out."""
    lines = [f"{_key(k)} = {_toml(v)}" for k, v in value.items() if not _is_table(v)]
    for key, part in value.items():
        if isinstance(part, dict):
            lines += [f"[{_key(key)}]"]
            lines += [f"{_key(k)} = {_toml(v)}" for k, v in part.items() if v is not None]
        elif isinstance(part, list) and _is_table(part):
            for own in part:
                lines += [f"[[{_key(key)}]]"]
                lines += [f"{_key(k)} = {_toml(v)}" for k, v in own.items() if v is not None]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _is_table(value: Any) -> bool:
    tables = isinstance(value, list) and value and all(isinstance(v, dict) for v in value)
    return isinstance(value, dict) or bool(tables) or value is None


def _key(key: Any) -> str:
    return _text(str(key))


def _text(text: str) -> str:
    return json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=False).replace(
        "\x7f", "\\u007f"
    )


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return {"inf": "inf", "-inf": "-inf", "nan": "nan"}.get(str(value), repr(value))
    if isinstance(value, int):
        return _digits(value)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return _text(str(value))


def _digits(value: int) -> str:
    return "9" * 5000 if abs(value) > 10**399 else str(value)


def as_float32(dice: Dice) -> float:
    """Draw a weight that no training leaves."""
    pool = (float("nan"), float("inf"), float("-inf"), 3e38, -3e38, 1e-45, 0.0, -0.0, 1e10)
    return struct.unpack("f", struct.pack("f", dice.one(pool)))[0]
