"""A model that takes numbers, from its description to every way of looking at it."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from aesm2 import Checkpoint, Dataset, load
from aesm2.attribution import baselines, methods
from aesm2.attribution.targets import Probability
from aesm2.audit.live import audit
from aesm2.config import AITMConfig, MLPConfig, MMoEConfig, PEPNetConfig, PLEConfig, STARConfig
from aesm2.data.words import feature_table
from aesm2.evidence.rows import encode_rows, load_rows, save_rows
from aesm2.layers.embedding import FieldEmbedding
from aesm2.models import build
from aesm2.routing import flips
from aesm2.routing.counterfactual import Changes, apply, counterfactual
from aesm2.selfcheck import selfcheck
from tests import oracle, small

SCALED = (
    small.DESCRIPTION
    .replace('age = { kind = "numeric"', 'age = { kind = "numeric", scale = "standard"')
    .replace('price = { kind = "numeric"', 'price = { kind = "numeric", scale = "log"')
)  # fmt: skip


@functools.cache
def dataset() -> Path:
    return small.write_dataset(small.folder() / "scaled-shop", SCALED)


@functools.cache
def checkpoint() -> Checkpoint:
    target = small.folder() / "scaled-run"
    small.fit(target, small.config(epochs=2), dataset=dataset())
    return load(target / "checkpoint", device="cpu")


def rows(count: int = 12) -> pd.DataFrame:
    return Dataset.open(dataset()).split("test").head(count)


def test_numbers_stand_beside_the_embedded_features() -> None:
    encoder = checkpoint().encoder
    names, embedding = list(encoder.description.fields), checkpoint().model.embedding
    age, price = names.index("age"), names.index("price")
    assert encoder.schema.numbers == (age, age, price)  # age misses values, price none
    assert embedding.width == 4 * 4 + 3
    assert embedding.units[-3:] == (age, age, price)
    batch = checkpoint().encode(rows())
    x = embedding(batch.fields, batch.numbers).detach().numpy()
    sizes = [size for i, size in enumerate(encoder.schema.fields) if i not in (age, price)]
    for row in range(len(batch)):
        own = [int(v) for i, v in enumerate(batch.fields[row]) if i not in (age, price)]
        wanted = oracle.embed(embedding.weight.detach().double().numpy(), sizes, own)
        np.testing.assert_allclose(x[row], [*wanted, *batch.numbers[row].tolist()], rtol=1e-6)


def test_the_whole_model_agrees_with_its_equations() -> None:
    found = audit(checkpoint(), checkpoint().encode(rows(), labels=True), rows().index)
    assert {finding.about.equation for finding in found.findings} >= {5, 6, 8, 11, 14, 18}
    assert max(finding.difference for finding in found.findings) < 1e-5


def test_a_prediction_depends_on_its_own_row_and_number_only() -> None:
    frame = rows()
    together = checkpoint().predict(frame)
    for row in range(len(frame)):
        alone = checkpoint().predict(frame.iloc[[row]])
        np.testing.assert_allclose(alone.to_numpy()[0], together.to_numpy()[row], atol=1e-6)
    moved = checkpoint().predict(frame.assign(price=frame["price"] + 4))
    assert (moved != together).to_numpy().all()
    near = frame.assign(price=frame["price"] + 1e-3)  # the same bucket, another number
    assert (checkpoint().predict(near) != together).to_numpy().any()


def test_the_stored_rows_are_computed_again() -> None:
    assert selfcheck(checkpoint()).passed


def test_a_changed_number_is_what_the_model_sees() -> None:
    frame, encoder = rows(), checkpoint().encoder
    batch = checkpoint().encode(frame)
    changed = apply(encoder, frame, batch, Changes(features={"price": 7.5}))
    wanted = checkpoint().encode(frame.assign(price=7.5))
    assert torch.equal(changed.numbers, wanted.numbers)
    assert torch.equal(changed.fields, wanted.fields)
    both = counterfactual(checkpoint(), frame, Changes(features={"age": None}))
    again = checkpoint().predict(frame.assign(age=np.nan)).to_numpy()
    np.testing.assert_allclose(both.after.log_probability.exp(), again, atol=1e-6)
    same = counterfactual(checkpoint(), frame, Changes(scenarios={"page": "1"}))
    assert torch.equal(same.batch.numbers, batch.numbers)


def test_alternatives_of_a_number_are_its_buckets_lower_edges() -> None:
    frame = rows(1)
    found = flips.feature_flips(checkpoint(), frame, "country.1", 0).alternatives
    name = found[found["feature"] == "price"].iloc[-1]
    wanted = checkpoint().predict(frame.assign(price=name["value"]))
    np.testing.assert_allclose(name[["ctr", "ctcvr"]].astype(float), wanted.iloc[0], atol=1e-6)


@pytest.mark.parametrize("method", ["held", "ablation"])
def test_attributions_add_up_and_give_a_number_its_own_share(method: methods.Method) -> None:
    batch, model = checkpoint().encode(rows(6)), checkpoint().model
    features = methods.features_of(checkpoint().description)
    baseline = baselines.mean_baseline(model, batch)
    found = methods.attribute(
        model, batch, Probability("ctr"), method, baseline, features, steps=200
    )
    if method == "held":
        assert np.abs(found.delta).max() < 2e-3
    price = features.names.index("price")
    assert np.abs(found.contributions[:, price]).max() > 0


def test_a_missing_number_is_the_mean_and_marked_in_the_baseline() -> None:
    model = checkpoint().model
    assert baselines.value_baseline(model)[0, -3:].tolist() == [0, 1, 0]
    assert baselines.value_baseline(model, unseen=True)[0, -3:].tolist() == [0, 0, 0]


def test_studies_keep_numbers(tmp_path: Path) -> None:
    read = encode_rows(Dataset.open(dataset()))
    save_rows(read, tmp_path)
    again = load_rows(tmp_path)
    assert again.schema == read.schema and again.hash == read.hash
    for split, batch in read.batches.items():
        assert torch.equal(again.batches[split].numbers, batch.numbers)


def test_every_model_takes_numbers_and_refuses_to_do_without() -> None:
    batch = checkpoint().encode(rows(5))
    for kind in (MMoEConfig, PLEConfig, MLPConfig, STARConfig, PEPNetConfig, AITMConfig):
        made = build(kind(), checkpoint().encoder.schema).eval()
        assert torch.isfinite(made(batch).logits).all()
    with pytest.raises(ValueError, match="needs 3 columns of numbers, found none"):
        checkpoint().model(type(batch)(batch.fields, batch.scenarios))


def test_a_model_may_have_nothing_but_numbers() -> None:
    embedding = FieldEmbedding([4, 5], 3, numbers=(0, 1))
    numbers = torch.tensor([[0.5, -1.0]])
    assert torch.equal(embedding(torch.tensor([[2, 2]]), numbers), numbers)


def test_words_name_the_scale() -> None:
    table = feature_table(checkpoint().encoder).set_index("feature")["encoding"]
    assert table["price"].startswith("its logarithm") and table["age"].startswith("the number")
