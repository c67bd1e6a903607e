"""The command `aesm2 regimes`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from aesm2.cli.common import say
from aesm2.cli.evidence import CORES, Jobs, Work
from aesm2.evidence.regimes import leads, read_plan, run_regimes, save_map
from aesm2.evidence.standings import variant_title

Quick = Annotated[bool, typer.Option("--quick", help="Few rows, values, seeds and trials")]


def regimes_command(
    file: Annotated[Path, typer.Argument(help="e.g. configs/evidence/regimes.toml")],
    work: Work = None,
    jobs: Jobs = CORES,
    quick: Quick = False,
) -> None:
    """Map when choosing experts helps: one property of a simulated world at a time moves.

    With --quick the map goes into the work folder, never over that of a full run.
    """
    plan = read_plan(file)
    out, folder = (file.parent / plan.out).resolve(), work or Path("runs/evidence/regimes")
    if quick:
        plan, out = plan.quick(), folder / "quick"
    lines = run_regimes(plan, folder, jobs)
    save_map(out, plan, lines, shlex.join(["aesm2", *sys.argv[1:]]))
    found = leads(lines)
    told = found.assign(baseline=found["baseline"].map(variant_title)).round(2)
    sys.stdout.write(told.to_string(index=False) + "\n")
    say(f"regimes: {out}")
