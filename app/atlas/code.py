"""The lines of Python that make the charts of the Atlas."""

from collections.abc import Sequence

from aesm2.routing.shares import LayerShares, RoleName, Value
from app import widgets


def used() -> str:
    """Return the lines that count the experts that the rows of the bar's scenarios use."""
    path = widgets.current_scenarios()
    if all(own is None for own in path):
        return "used = checkpoint.utilisation(rows)"
    return (
        "from aesm2.routing.shares import restricted\n"
        f"used = restricted(checkpoint.utilisation(rows), {path})"
    )


def use(
    layers: Sequence[LayerShares], roles: tuple[RoleName, ...], value: Value, stamp: str
) -> str:
    """Return the lines that draw who uses which experts."""
    by = {layer.spec.name: layer.by for layer in layers}
    return (
        f"{used()}\n"
        "from aesm2.data.scenarios import PATH, existing\n"
        "from aesm2.plots import utilisation\n"
        "from aesm2.routing.shares import layer_shares\n"
        "exists = existing(checkpoint.description, used.schema, PATH)\n"
        f"groupings = {by}\n"
        "layers = [layer_shares(used, name, by, exists) for name, by in groupings.items()]\n"
        f"panels = utilisation.panels(layers, {roles}, {value!r})\n"
        f"figure = utilisation.utilisation_figure(panels, {stamp!r})"
    )


def distance(layers: Sequence[str], roles: Sequence[RoleName], by: str, stamp: str) -> str:
    """Return the lines that draw how differently scenarios use experts."""
    return (
        f"{used()}\n"
        "from aesm2.plots import distance\n"
        "from aesm2.routing.distance import scenario_distances\n"
        f"distances = scenario_distances(used, {list(layers)}, {list(roles)}, {by!r})\n"
        f"figure = distance.distance_figure(distances, {stamp!r})"
    )
