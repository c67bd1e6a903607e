"""The command line, `aesm2`.

Every command exits with 0 on success, with 2 on input it cannot use, with one line that says what,
where and what to do; with 1 where a check fails; and with 130 after Ctrl-C.
"""

import sys

import typer

from aesm2.cli import audit, data, evidence, models, regimes
from aesm2.cli.common import say
from aesm2.errors import InputError

app = typer.Typer(
    help="AESM²: automatic expert selection for multi-scenario and multi-task ranking.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("train")(models.train_command)
app.command("estimate")(models.estimate_command)
app.command("evaluate")(models.evaluate)
app.command("trace")(models.trace_command)
app.command("info")(models.info)
app.command("selfcheck")(models.selfcheck_command)
app.command("audit")(audit.audit_command)
app.command("export")(models.export)
app.command("import")(models.import_command)
app.command("describe")(data.describe)
app.command("prepare")(data.prepare_command)
app.command("simulate")(data.simulate_command)
app.command("recover")(data.recover)
app.command("compare")(evidence.compare)
app.command("replay")(evidence.replay_command)
app.command("transfer")(evidence.transfer_command)
app.command("ablate")(evidence.ablate)
app.command("reproduce")(evidence.reproduce)
app.command("report")(evidence.report_command)
app.command("regimes")(regimes.regimes_command)


def main() -> None:
    """Run the command line."""
    try:  # typer ends with 130 after Ctrl-C, and quietly where the reader of our output has gone
        sys.exit(app(sys.argv[1:] or ["--help"], prog_name="aesm2", standalone_mode=False))
    except InputError as error:
        say(f"aesm2: {error}")
    except typer.TyperException as error:  # a mistyped command or option
        command = getattr(getattr(error, "ctx", None), "command_path", "aesm2")
        say(f"aesm2: {' '.join(error.format_message().split())} See: {command} --help")
    except OSError as error:  # a full disk, a folder that may not be written
        where = f"{error.filename}: " if error.filename else ""
        say(f"aesm2: {where}{error.strerror or error}")
    sys.exit(2)
