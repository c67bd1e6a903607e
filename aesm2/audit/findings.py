"""What an audit found: the audit's own value of a quantity beside the model's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from aesm2.audit.catalogue import EQUATIONS

TOLERANCE = 1e-5  # of a difference: some eighty units in the last place of float32
TOLERANCE_TEXT = "1e-5"
SMALL = 1e-6  # of a probability or a cross-entropy: below this an absolute difference counts
AGREES, DIFFERS, LEFT_OUT = "agrees", "differs", "not audited"


class About(NamedTuple):
    """What is compared. layer, task: "" where it belongs to the whole model, or to all tasks."""

    equation: int
    quantity: str
    layer: str = ""
    task: str = ""


class Axis(NamedTuple):
    """An axis of an array, to say where in it. names: of its places; their numbers if None."""

    word: str
    names: Sequence[object] | None = None

    def at(self, place: int) -> str:
        """Say a place, e.g. "expert 3"."""
        return f"{self.word} {place if self.names is None else self.names[place]}"


@dataclass(frozen=True)
class Finding:
    """One quantity of one layer, at the place where the audit and the model differ most.

    audit, model: the two values there. difference: |audit − model|, divided by the larger of
    |audit| and the usual size of such a quantity, 1 unless it is small by nature; of a set, how far
    its worst member is over the best one left out, in nats. where: the place. compared: how many
    numbers were.
    """

    about: About
    audit: str
    model: str
    difference: float
    where: str
    compared: int

    @property
    def ok(self) -> bool:
        """Whether they agree within TOLERANCE."""
        return self.difference <= TOLERANCE


@dataclass(frozen=True)
class Audit:
    """Everything compared for some rows. left_out: equation → why it was not audited."""

    findings: tuple[Finding, ...]
    left_out: dict[int, str]
    rows: int

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return all(finding.ok for finding in self.findings)

    @property
    def differing(self) -> tuple[int, ...]:
        """The equations that the model does not follow."""
        return tuple(sorted({f.about.equation for f in self.findings if not f.ok}))

    def restricted(self, layer: str, task: str) -> "Audit":
        """Return what concerns a layer and task; what concerns the whole model stays."""
        kept = [f for f in self.findings
                if f.about.layer in ("", layer) and f.about.task in ("", task)]  # fmt: skip
        left_out = dict(self.left_out)
        there = {f.about.equation for f in kept}
        for equation in {f.about.equation for f in self.findings} - there:
            left_out[equation] = f"not of layer {layer}: see the whole row"
        return Audit(tuple(kept), left_out, self.rows)

    def verdict(self) -> str:
        """Say in a line how it went."""
        audited = {finding.about.equation for finding in self.findings}
        rows = "this row" if self.rows == 1 else f"{self.rows:,} rows"
        said = f"{len(EQUATIONS)} equations, {len(audited)} audited on {rows}: "
        if self.agrees:
            return f"{said}all agree within {TOLERANCE_TEXT}"
        return f"{said}the model does not follow Eq. {', '.join(map(str, self.differing))}"

    def frame(self, equation: int | None = None) -> pd.DataFrame:
        """Return one line a finding, of one equation or of all, by number.

        Columns: equation, quantity, layer, task, audit, model, difference, tolerance, ok, where,
        compared.
        """
        lines = [
            {
                **f.about._asdict(), "audit": f.audit, "model": f.model,
                "difference": f.difference, "tolerance": TOLERANCE, "ok": f.ok, "where": f.where,
                "compared": f.compared,
            }
            for f in self.findings if equation in (None, f.about.equation)
        ]  # fmt: skip
        columns = [*About._fields, "audit", "model", "difference", "tolerance", "ok", "where",
                   "compared"]  # fmt: skip
        found = pd.DataFrame(lines, columns=columns)
        return found.sort_values("equation", kind="stable", ignore_index=True)

    def by_equation(self) -> pd.DataFrame:
        """Return one line an equation of the paper, at its largest difference.

        Columns: equation, title, status ("agrees", "differs", "not audited"), quantity, layer,
        task, audit, model, difference, tolerance, where, compared (in all), why (not audited).
        """
        return pd.DataFrame([self._line(equation.number) for equation in EQUATIONS])

    def _line(self, number: int) -> dict[str, object]:
        own = [finding for finding in self.findings if finding.about.equation == number]
        worst = max(own, key=lambda finding: finding.difference, default=None)
        about = About(number, "") if worst is None else worst.about
        status = LEFT_OUT if worst is None else AGREES if worst.ok else DIFFERS
        return {
            "equation": number,
            "title": EQUATIONS[number - 1].title,
            "status": status,
            "quantity": about.quantity,
            "layer": about.layer,
            "task": about.task,
            "audit": "" if worst is None else worst.audit,
            "model": "" if worst is None else worst.model,
            "difference": np.nan if worst is None else worst.difference,
            "tolerance": TOLERANCE,
            "where": "" if worst is None else worst.where,
            "compared": sum(finding.compared for finding in own),
            "why": self.left_out.get(number, "") if worst is None else "",
        }


def compared(
    about: About,
    audit: np.ndarray,
    model: np.ndarray,
    axes: Sequence[Axis] = (),
    size: float = 1.0,
) -> Finding:
    """Compare two arrays of the same quantity; axes: of the arrays. size: usual for it."""
    if audit.shape != model.shape:
        return shapes(about, audit.shape, model.shape)
    with np.errstate(invalid="ignore"):
        difference = np.abs(audit - model) / np.maximum(size, np.abs(audit))
    difference = np.where(audit == model, 0.0, np.nan_to_num(difference, nan=np.inf))
    place = np.unravel_index(int(difference.argmax()), difference.shape) if difference.ndim else ()
    where = ", ".join(axis.at(int(at)) for axis, at in zip(axes, place, strict=True))
    return Finding(
        about, f"{audit[place]:.9g}", f"{model[place]:.9g}", float(difference[place]), where,
        difference.size,
    )  # fmt: skip


def shapes(about: About, audit: tuple[int, ...], model: tuple[int, ...]) -> Finding:
    """Compare shapes, which are right or wrong."""
    ours, theirs = (" × ".join(map(str, shape)) for shape in (audit, model))
    return Finding(about, ours, theirs, 0.0 if audit == model else np.inf, "shape", 1)


def sets(
    about: About, audit: np.ndarray, model: np.ndarray, excess: np.ndarray, row: Axis
) -> Finding:
    """Compare sets of experts, masks (R, n), by how far the model's is from a TopK, (R,) nats."""
    unequal = (audit != model).any(-1)
    at = int(excess.argmax()) if excess.max() > 0 or not unequal.any() else int(unequal.argmax())
    ours, theirs = _members(audit[at]), _members(model[at])
    return Finding(about, ours, theirs, float(excess[at]), row.at(at), len(excess))


def _members(mask: np.ndarray) -> str:
    return "{" + ", ".join(map(str, np.flatnonzero(mask))) + "}"


def exact(tensor: Tensor) -> np.ndarray:
    """Return a tensor's numbers in float64, which holds float32 without rounding."""
    values: np.ndarray = tensor.detach().cpu().double().numpy()
    return values
