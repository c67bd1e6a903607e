"""The lines of Python that make the charts of the Training curves."""

from collections.abc import Iterable, Sequence

from app import recipes, widgets
from app.curves.runs import Run


def frames(
    names: Iterable[str], runs: Sequence[Run], factor: float, read: str, by: list[str], figure: str
) -> str:
    """Return the script that draws a frame of every run. names: of runs that have one.

    factor, by: of the smoothing. read: the frame of `run`. figure: made of `frames`.
    """
    lines = (
        "from aesm2.plots import training\n"
        "from aesm2.training import history\n"
        "frames = {\n"
        "    name: history.smoothed(\n"
        f"        {read}, {factor}, {by}\n"
        "    )\n"
        f"    for name, run in runs.items() if name in {list(names)}\n}}\n"
        f"figure = {figure}"
    )
    return recipes.of_runs({run.name: run.checkpoint for run in runs}, lines)


def snapshot(run: Run, layer: str, by: str, step: int) -> str:
    """Return the script that draws the use of a layer's experts as it was at a step."""
    stamp = f"{widgets.stamp()}, validation split"
    lines = (
        "from aesm2.data.scenarios import PATH, existing\n"
        "from aesm2.plots import utilisation\n"
        "from aesm2.routing.shares import ROLES, layer_shares\n"
        f"used = dict(checkpoint.utilisation_history())[{step}]\n"
        "exists = existing(checkpoint.description, used.schema, PATH)\n"
        f"shares = layer_shares(used, {layer!r}, {by!r}, exists)\n"
        'panels = utilisation.panels([shares], ROLES, "share")\n'
        f"figure = utilisation.utilisation_figure(panels, {stamp!r})"
    )
    return recipes.of_rows(run.checkpoint, None, lines)
