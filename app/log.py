"""What an operator can read: one line an event on stderr, quiet unless something is wrong.

AESM2_LOG is debug, info, warning (the default) or error; AESM2_LOG_FORMAT is text or json, one
JSON value a line. An error that nobody expected gets an id, which the page shows. Its line holds
the kind of the error and where in the code it was, but not its words: they may quote what somebody
uploaded. At debug they are there.
"""

import json
import logging
import os
import secrets
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

NAME, FIELDS = "aesm2.app", "fields"
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
DEEP = 12  # frames of a traceback


class _Line(logging.Formatter):
    """Writes an event as text or as JSON."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields: Mapping[str, Any] = getattr(record, FIELDS, {})
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told = {"time": time, "level": record.levelname.lower(), "event": record.getMessage()}
        told |= fields
        if self._json:
            return json.dumps(told, ensure_ascii=False, default=str)
        more = " ".join(f"{name}={value}" for name, value in fields.items())
        return f"{time} {told['level'].upper()} {told['event']} {more}".rstrip()


class _Stderr(logging.StreamHandler[Any]):
    """Writes to whatever stderr is at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def settle(environment: Mapping[str, str] = os.environ) -> logging.Logger:
    """Set the logger up as the environment says; again without harm."""
    logger = logging.getLogger(NAME)
    logger.setLevel(LEVELS.get(environment.get("AESM2_LOG", "").strip().lower(), logging.WARNING))
    handler = next((own for own in logger.handlers if isinstance(own, _Stderr)), None)
    if handler is None:
        handler = _Stderr()
        logger.addHandler(handler)
    handler.setFormatter(_Line(environment.get("AESM2_LOG_FORMAT", "").strip().lower() == "json"))
    return logger


def event(name: str, level: int = logging.INFO, **fields: object) -> None:
    """Write an event with its facts: ids, counts and times, never values of rows."""
    logging.getLogger(NAME).log(level, name, extra={FIELDS: fields})


def problem(name: str, error: BaseException, **fields: object) -> str:
    """Write that something broke; return the id that the page shows."""
    id_ = secrets.token_hex(4)
    frames = traceback.extract_tb(error.__traceback__)[-DEEP:]
    where = [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]
    told = {"error": id_, **fields, "kind": type(error).__name__, "at": where}
    if logging.getLogger(NAME).isEnabledFor(logging.DEBUG):
        told["said"] = str(error)
    event(name, logging.ERROR, **told)
    return id_


def _short(file: str) -> str:
    """Take off what is before the package."""
    parts = file.replace("\\", "/").split("/")
    starts = [i for i, part in enumerate(parts) if part in ("app", "aesm2", "site-packages")]
    return "/".join(parts[starts[-1] :] if starts else parts[-2:])
