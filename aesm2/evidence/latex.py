r"""Standings as a LaTeX table of the package booktabs, laid out as in the paper."""

import numpy as np

from aesm2.data.scenarios import OVERALL
from aesm2.evidence.standings import Board, variant_title

SIGNS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "→": r"$\rightarrow$", "×": r"$\times$", "±": r"$\pm$", "²": r"\textsuperscript{2}",
    "<": r"\textless{}", ">": r"\textgreater{}", "≥": r"$\geq$", "λ": r"$\lambda$",
}  # fmt: skip


def latex(board: Board, digits: int, caption: str) -> str:
    r"""Write standings as a table of the package booktabs.

    The best mean of a column is bold, the second underlined, a significant difference to the best
    baseline starred. caption: plain text, escaped here.
    """
    scenarios, tasks = (board.means.columns.get_level_values(level) for level in (0, 1))
    columns = list(zip(scenarios, tasks, strict=True))
    lines = [
        r"\begin{table}",
        rf"\caption{{{escaped(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"\toprule",
        *_head(columns),
        r"\midrule",
        *_body(board, digits),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Return text that LaTeX prints as it stands."""
    return "".join(SIGNS.get(sign, sign) for sign in text)


def _head(columns: list[tuple[str, str]]) -> list[str]:
    """Return a line of scenarios, rules under them, and a line of tasks."""
    scenarios = list(dict.fromkeys(scenario for scenario, _ in columns))
    spans, rules, at = [], [], 2
    for scenario in scenarios:
        width = sum(own == scenario for own, _ in columns)
        title = escaped("all rows" if scenario == OVERALL else scenario)
        spans.append(rf"\multicolumn{{{width}}}{{c}}{{{title}}}")
        rules.append(rf"\cmidrule(lr){{{at}-{at + width - 1}}}")
        at += width
    tasks = [escaped(task.upper()) for _, task in columns]
    return [
        " & ".join(["", *spans]) + r" \\",
        " ".join(rules),
        " & ".join(["Model", *tasks]) + r" \\",
    ]


def _body(board: Board, digits: int) -> list[str]:
    written, lines = board.written(digits), []
    grids = (written.to_numpy(), board.ranks.to_numpy(np.float64), board.stars.to_numpy(bool))
    for variant, *parts in zip(written.index, *grids, strict=True):
        cells = [_cell(*cell) for cell in zip(*parts, strict=True)]
        lines.append(" & ".join([escaped(variant_title(str(variant))), *cells]) + r" \\")
    return lines


def _cell(text: str, rank: float, star: bool) -> str:
    mean, _, spread = text.partition(" ± ")
    command = {1.0: r"\textbf", 2.0: r"\underline"}.get(rank)
    mean = mean if command is None else f"{command}{{{mean}}}"
    return mean + ("$^{*}$" if star else "") + (rf" $\pm$ {spread}" if spread else "")
