"""The model card: a checkpoint's README, written from what was measured."""

import re

import pandas as pd

from aesm2.config import AESM2Config, Config
from aesm2.data.description import Description
from aesm2.data.scenarios import OVERALL, PATH


def model_card(
    description: Description, config: Config, evaluation: pd.DataFrame, steps: int
) -> str:
    """Write the card in Markdown; every number in it comes from `evaluation`."""
    test = evaluation[(evaluation["split"] == "test") & (evaluation["scope"] != PATH)]
    model, training = config.model, config.training
    title, licence = _words(description.title), _words(description.licence)
    lines = [
        f"# {model.name} on {title}",
        "",
        f"Data: {title} ({description.provenance}; {licence}).",
        *([f"Cite: {_words(description.citation)}"] if description.citation else []),
        f"Trained by `aesm2 train`, seed {training.seed}, {steps} steps of"
        f" {training.batch_size} rows, Adam at {training.learning_rate:g}, γ = {training.l2:g}.",
    ]
    if isinstance(model, AESM2Config):
        lines.append(
            f"λ_sp = {training.lambda_specific:g}, λ_sh = {training.lambda_shared:g}, noise scale"
            f" {model.noise_scale:g}, scenario context {model.scenario_context}."
        )
    lines += ["", *_notes(description), "## Test metrics", "", *_table(test)]
    lines += [
        "",
        "AUC × 100 with its 95 % interval (DeLong); log loss in nats.",
    ]
    return "\n".join(lines) + "\n"


def _notes(description: Description) -> list[str]:
    if not description.notes:
        return []
    return ["## Know before use", "", *(f"- {note}" for note in description.notes), ""]


def _table(test: pd.DataFrame) -> list[str]:
    lines = [
        "| scenario | task | rows | positives | AUC | 95 % | log loss |",
        "|---|---|---:|---:|---:|---|---:|",
    ]
    for row in test.to_dict(orient="records"):
        names = f"{row['scope']} {row['scenario']}"
        scenario = "all" if row["scope"] == OVERALL else _words(names)
        area = f"{100 * row['auc']:.2f}" if pd.notna(row["auc"]) else "undefined"
        bounded = pd.notna(row["auc_low"])  # an interval needs two rows of each class
        interval = f"{100 * row['auc_low']:.2f} – {100 * row['auc_high']:.2f}" if bounded else ""
        loss = f"{row['log_loss']:.4f}" if pd.notna(row["log_loss"]) else ""
        lines.append(
            f"| {scenario} | {_words(row['task'])} | {row['n']:,} | {row['positives']:,} | {area} |"
            f" {interval} | {loss} |"
        )
    return lines


def _words(text: str) -> str:
    """Keep Markdown out of words that come from data, on one line; "_" in a word means nothing."""
    return re.sub(r"([\\`*\[\]<>|$~])", r"\\\1", " ".join(text.split()))
