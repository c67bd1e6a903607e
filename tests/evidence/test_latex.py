"""The LaTeX table by its lines."""

from aesm2.evidence.latex import escaped, latex
from aesm2.evidence.standings import MEASURES, board, challenge, standings
from tests.evidence import made

AUC = MEASURES["auc"]


def lines() -> list[str]:
    found = standings(made.runs(), AUC, "country")
    of = board(found, challenge(found, made.comparisons(), AUC))
    return latex(of, 2, "50 % of A & B_1 → C").splitlines()


def test_marks_and_spans() -> None:
    text = lines()
    assert text[1] == r"\caption{50 \% of A \& B\_1 $\rightarrow$ C}"
    assert text[2] == r"\begin{tabular}{lrrrrrr}"
    head = r" & \multicolumn{2}{c}{fr} & \multicolumn{2}{c}{it} & \multicolumn{2}{c}{all rows} \\"
    assert text[4] == head
    assert text[5] == r"\cmidrule(lr){2-3} \cmidrule(lr){4-5} \cmidrule(lr){6-7}"
    assert text[6] == r"Model & CTR & CTCVR & CTR & CTCVR & CTR & CTCVR \\"
    cells = text[8].removesuffix(r" \\").split(" & ")
    assert cells[0] == r"AESM\textsuperscript{2}"
    assert cells[1] == r"\textbf{75.00} $\pm$ 1.41"
    assert cells[2] == r"\underline{82.00} $\pm$ 1.41"
    assert cells[3] == r"60.00$^{*}$ $\pm$ 1.41"
    assert cells[4] == "undefined"


def test_every_line_has_as_many_cells_and_every_brace_its_match() -> None:
    text = lines()
    body = text[8 : text.index(r"\bottomrule")]
    assert [line.count(" & ") for line in body] == [6] * len(made.VARIANTS)
    for line in text:
        assert line.count("{") == line.count("}")


def test_signs_are_escaped() -> None:
    assert escaped(r"a\b{c}~^<$#") == (
        r"a\textbackslash{}b\{c\}\textasciitilde{}\textasciicircum{}\textless{}\$\#"
    )
