"""The model card says what was measured, and nothing else."""

import math
import re

import aesm2
from aesm2.card import model_card
from aesm2.config import Config
from aesm2.data.dataset import Dataset
from tests import small
from tests.data.tables import describe

DESCRIPTION = Dataset.open(small.dataset()).description


def table(card: str) -> list[list[str]]:
    lines = [line for line in card.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_number_of_the_table_is_a_test_metric() -> None:
    opened = aesm2.load(small.run() / "checkpoint", "cpu")
    card = (opened.path / "README.md").read_text(encoding="utf-8")
    test = opened.evaluation.query("split == 'test' and scope != 'path'")
    header, *rows = table(card)
    assert header == ["scenario", "task", "rows", "positives", "AUC", "95 %", "log loss"]
    assert len(rows) == len(test) == 2 * (1 + 3 + 2)
    for row, line in zip(rows, test.to_dict("records"), strict=True):
        name = "all" if line["scope"] == "all" else f"{line['scope']} {line['scenario']}"
        assert row[:4] == [name, line["task"], str(line["n"]), str(line["positives"])]
        assert row[4] == f"{100 * line['auc']:.2f}"
        interval = f"{100 * line['auc_low']:.2f} – {100 * line['auc_high']:.2f}"
        assert row[5] == ("" if math.isnan(line["auc_low"]) else interval)
        assert row[6] == f"{line['log_loss']:.4f}"


def test_an_undefined_auc_is_called_so_and_nothing_says_nan() -> None:
    evaluation = aesm2.load(small.run() / "checkpoint", "cpu").evaluation.copy()
    rows = (evaluation["scenario"] == "fr") & (evaluation["task"] == "ctcvr")
    evaluation.loc[rows, ["auc", "auc_low", "auc_high", "log_loss"]] = math.nan
    card = model_card(DESCRIPTION, small.config(), evaluation, 3)
    (row,) = [row for row in table(card) if row[:2] == ["country fr", "ctcvr"]]
    assert row[4:] == ["undefined", "", ""]
    assert "nan" not in card.lower()


def test_an_interval_that_is_undefined_is_left_out() -> None:
    evaluation = aesm2.load(small.run() / "checkpoint", "cpu").evaluation.copy()
    evaluation["auc_low"] = evaluation["auc_high"] = math.nan
    card = model_card(DESCRIPTION, small.config(), evaluation, 3)
    assert all(row[5] == "" for row in table(card)[1:])
    assert "nan" not in card.lower()


def test_it_tells_data_rights_training_and_what_to_know() -> None:
    evaluation = aesm2.load(small.run() / "checkpoint", "cpu").evaluation
    card = model_card(DESCRIPTION, small.config(seed=4), evaluation, 15)
    assert card.startswith("# aesm2 on A small shop\n")
    assert "Data: A small shop (simulated; CC0)." in card
    assert "Cite: Nobody, 2026" in card
    assert "- Invented from a seed." in card
    assert re.search(r"seed 4, 15 steps of 64 rows, Adam at 0\.01, γ = 0\.0001", card)
    assert "λ_sp = 0.001, λ_sh = 0.001, noise scale 0.05, scenario context record" in card
    assert card.endswith("\n")


def test_what_there_is_nothing_to_say_about_is_left_out() -> None:
    evaluation = aesm2.load(small.run() / "checkpoint", "cpu").evaluation
    config = Config.model_validate({"model": {"name": "mlp"}})
    card = model_card(describe(), config, evaluation, 1)
    assert card.startswith("# mlp on A small shop\n")
    for absent in ("Cite", "Know before use", "λ_sp"):
        assert absent not in card


def test_names_from_data_stay_words() -> None:
    evaluation = aesm2.load(small.run() / "checkpoint", "cpu").evaluation.copy()
    rows = evaluation["scenario"] == "fr"
    evaluation.loc[rows, "scenario"] = "a|b*c*<i>new_or_low"
    title = "5 $ *each*\n# [x](y)"
    described = DESCRIPTION.model_copy(update={"title": title})
    card = model_card(described, small.config(), evaluation, 3)
    assert card.startswith("# aesm2 on 5 \\$ \\*each\\* # \\[x\\](y)\n\n")
    (line, _) = [line for line in card.splitlines() if line.startswith("| country a")]
    assert line.startswith("| country a\\|b\\*c\\*\\<i\\>new_or_low | ctr |")
