"""The command line, `aesm2`.

Every command exits with 0 on success, with 2 on input it cannot use, with one line that says what,
where and what to do; with 1 where a check fails; and with 130 after Ctrl-C.
"""

import importlib
import sys
from collections import UserDict
from typing import Any

import torch
import typer
from typer.core import TyperGroup

from aesm2.cli.common import say
from aesm2.device import subnormals_flushed
from aesm2.errors import InputError

COMMANDS = {  # name: where its function is, imported once it is asked for
    "train": "models.train_command",
    "estimate": "lab.estimate_command",
    "evaluate": "models.evaluate",
    "trace": "models.trace_command",
    "predict": "streaming.predict_command",
    "utilisation": "streaming.utilisation_command",
    "knockout": "streaming.knockout_command",
    "drift": "streaming.drift_command",
    "info": "models.info",
    "selfcheck": "models.selfcheck_command",
    "audit": "audit.audit_command",
    "export": "lab.export",
    "import": "lab.import_command",
    "describe": "data.describe",
    "prepare": "data.prepare_command",
    "simulate": "data.simulate_command",
    "recover": "data.recover",
    "compare": "evidence.compare",
    "replay": "evidence.replay_command",
    "transfer": "evidence.transfer_command",
    "ablate": "evidence.ablate",
    "reproduce": "evidence.reproduce",
    "report": "evidence.report_command",
    "regimes": "regimes.regimes_command",
}


class _Commands(UserDict[str, Any]):
    """COMMANDS, each made where it is first looked up."""

    def __getitem__(self, name: str) -> Any:  # a command
        module, _, function = super().__getitem__(name).partition(".")
        alone = typer.Typer(add_completion=False)
        found = getattr(importlib.import_module(f"aesm2.cli.{module}"), function)
        alone.command(name)(found)
        return typer.main.get_command(alone)


class _Group(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands(COMMANDS)


app = typer.Typer(cls=_Group, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def _aesm2() -> None:
    """AESM²: automatic expert selection for multi-scenario and multi-task ranking."""


def main() -> None:
    """Run the command line."""
    with subnormals_flushed():
        _main()


def _main() -> None:
    try:  # typer ends with 130 after Ctrl-C, and quietly where the reader of our output has gone
        sys.exit(app(sys.argv[1:] or ["--help"], prog_name="aesm2", standalone_mode=False))
    except InputError as error:
        say(f"aesm2: {error}")
    except typer.TyperException as error:  # a mistyped command or option
        command = getattr(getattr(error, "ctx", None), "command_path", "aesm2")
        say(f"aesm2: {' '.join(error.format_message().split())} See: {command} --help")
    except UnicodeError:  # most readers and writers of files take names as text
        say("aesm2: a name among the arguments is no UTF-8 text; rename the file or folder")
    except (MemoryError, torch.OutOfMemoryError):
        say("aesm2: out of memory: take a smaller batch or model, fewer rows, or a larger machine")
    except RuntimeError as error:
        if "allocate memory" not in str(error):  # how torch says that main memory is full
            raise
        say("aesm2: out of memory: take a smaller batch or model, fewer rows, or a larger machine")
    except OSError as error:  # a full disk, a folder that may not be written
        where = f"{error.filename}: " if error.filename else ""
        say(f"aesm2: {where}{error.strerror or error}")
    sys.exit(2)
