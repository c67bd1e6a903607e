"""Attribution: how much each feature contributed to what the model computed for a row.

targets.py    what is explained: a probability, a score, a gate logit, a margin
question.py   a target as a function of a row's embedded fields, its choice of experts held or free
methods.py    integrated gradients, ablation and Shapley values of such a function (Captum)
baselines.py  what a feature is compared with where it is taken away
summary.py    agreement between methods; means over many rows; what completeness says
"""

from aesm2.attribution.baselines import mean_baseline, row_baseline, value_baseline
from aesm2.attribution.methods import METHODS, Attribution, Features, Method, attribute, features_of
from aesm2.attribution.question import Question, ask
from aesm2.attribution.summary import (
    agreement,
    completeness,
    completeness_words,
    means,
    means_words,
)
from aesm2.attribution.targets import GateLogit, Logit, Margin, Probability, Score, Target

__all__ = [
    "METHODS", "Attribution", "Features", "GateLogit", "Logit", "Margin", "Method", "Probability",
    "Question", "Score", "Target", "agreement", "ask", "attribute", "completeness",
    "completeness_words", "features_of", "mean_baseline", "means", "means_words", "row_baseline",
    "value_baseline",
]  # fmt: skip
