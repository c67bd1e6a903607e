"""Values that refuse what they do not know, and their TOML files."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from aesm2.errors import InputError, nearest
from aesm2.files import read_text

MOST_BYTES = 16 << 20  # of a TOML file: what people write is a thousand times smaller


class Strict(BaseModel):
    """Base of every configuration value: frozen, numbers finite, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


StrictT = TypeVar("StrictT", bound=Strict)


def parse(kind: type[StrictT], values: dict[str, Any], where: str) -> StrictT:
    """Build `kind` from plain values; InputError names `where`, the key and the nearest key."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            *parents, key = first["loc"]
            message = f"unknown key{nearest(str(key), _keys_at(kind, parents))}"
        elif first["type"] not in ("missing", "value_error"):
            message = f"{message[0].lower()}{message[1:]}, found {first['input']!r}"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise InputError(f"{where}: {path or 'file'}: {message}{more}") from None


def _keys_at(kind: type[BaseModel], path: list[int | str]) -> set[str]:
    """Return the keys that are valid below `path`, a pydantic error location."""
    kinds = {kind}
    for part in path:
        fields = [k.model_fields[part] for k in kinds if part in k.model_fields]
        if fields:  # an index or a union's tag leaves the candidates as they are
            kinds = {k for field in fields for k in _models_in(field.annotation)}
    return {key for k in kinds for key in k.model_fields}


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    """Return every model named anywhere inside a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {k for inner in get_args(annotation) for k in _models_in(inner)}


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; InputError names the file and the line that does not parse."""
    text = read_text(path, "TOML", MOST_BYTES)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise InputError(f"{path}: not valid TOML: nested too deeply") from None
    except ValueError as error:  # broken, or a number of thousands of digits
        raise InputError(f"{path}: not valid TOML: {error}") from None
