"""What a slice is found to do, in a sentence."""

from aesm2.slices.conditions import Slice
from aesm2.slices.difference import Difference
from aesm2.slices.find import Line
from aesm2.slices.measures import Measure


def sentence(line: Line) -> str:
    """Say which rows, how many, and how they differ; the numbers are of the held-out half."""
    told = said(line.measure, line.difference)
    return f"{_rows(line.slice, line.rows, line.share)}: {told}, q {tail(line.q)}."


def single_sentence(of: Slice, measure: Measure, rows: int, share: float, found: Difference) -> str:
    """Say the same of a slice somebody named, which was tested once, on all rows."""
    if found.p != found.p:  # NaN
        return f"{_rows(of, rows, share)}: too few rows to compare {measure.name}."
    return f"{_rows(of, rows, share)}: {said(measure, found)}, p {tail(found.p)}."


def said(measure: Measure, found: Difference) -> str:
    """Say how much higher or lower a measure is, with its interval."""
    sign = 1 if found.effect >= 0 else -1
    bounds = sorted((sign * found.low * measure.scale, sign * found.high * measure.scale))
    low, high = (_number(bound) for bound in bounds)
    return (
        f"{measure.name} is {_number(abs(found.effect) * measure.scale)} {measure.unit}"
        f" {'higher' if sign > 0 else 'lower'} [{low}, {high}]"
    )


def tail(probability: float) -> str:
    """Write a p or q after its name: "= 0.012", "< 0.001"."""
    return "< 0.001" if probability < 0.001 else f"= {probability:.2g}"


def _rows(of: Slice, rows: int, share: float) -> str:
    percent = f"{100 * share:.0f}" if share >= 0.1 else f"{100 * share:.2g}"
    return f"Rows with {of.words} (n = {rows:,}, {percent} %)"


def _number(value: float) -> str:
    digits = f"{value:.2f}" if abs(value) >= 10 else f"{value:.2g}"
    return digits.replace("-", "−")
