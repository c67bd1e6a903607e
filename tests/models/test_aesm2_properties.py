"""What must hold for AESM² whatever its weights."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from aesm2.config import AESM2Config, ExpertGroup
from aesm2.layers.moe import GateNoise
from aesm2.losses import loss_terms
from aesm2.models import AESM2, Output
from tests.models import cases

LEVELS = (3, 4)
SCHEMA = cases.schema(LEVELS, parents=(-1, 0, -1))
CONFIG = AESM2Config(
    embedding_dim=3,
    context_dim=2,
    scenario=ExpertGroup(layers=2, experts=5, specific=2, shared=1, width=6),
    task=ExpertGroup(layers=2, experts=4, specific=1, shared=1, width=5),
    tower=(4,),
    noise_scale=0.05,
)
CONFIGS = {
    "aesm2": CONFIG,
    "aesm2, gates with their own context": CONFIG.model_copy(update={"scenario_context": "gate"}),
}
all_models = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
both_contexts = pytest.mark.parametrize("context", ["record", "gate"])
both_computes = pytest.mark.parametrize("how", ["dense", "sparse"])


def aesm2(context: str = "record", seed: int = 0, **changes: object) -> AESM2:
    config = CONFIG.model_copy(update={"scenario_context": context, **changes})
    return cases.spread(AESM2(config, SCHEMA), seed).double()


def assert_same(actual: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(actual, wanted, rtol=0, atol=1e-11)


def permute_experts(layer: torch.nn.Module, order: list[int]) -> None:
    """Reorder the experts of a scenario or task layer together with their gate weights."""
    experts, gates = layer.shape
    with torch.no_grad():
        for p in layer.experts.parameters():
            p.copy_(p[order].clone())
        if layer.gate_context is not None:
            weight = layer.gate_context.weight
            weight.copy_(weight.view(experts, gates, -1)[order].flatten(0, 1))
        if layer.gate_own is not None:
            layer.gate_own.copy_(layer.gate_own[order].clone())
        if isinstance(layer.gate, torch.nn.Linear):
            weight = layer.gate.weight
            weight.copy_(weight.view(experts, gates, -1)[order].flatten(0, 1))
        else:
            layer.gate.copy_(layer.gate[:, order].clone())


def permute_gates(model: AESM2, level: int, order: list[int]) -> None:
    """Reorder the scenarios of one level: their embeddings and the gates of the level's layers."""
    with torch.no_grad():
        embedding = model.scenario_embedding[level].weight
        embedding.copy_(embedding[order].clone())
        for of, layer in zip(model.layer_level, model.scenario_layers, strict=True):
            if of != level:
                continue
            experts, gates = layer.shape
            for linear in (layer.gate, layer.gate_context):
                if linear is not None:
                    ordered = linear.weight.view(experts, gates, -1)[:, order]
                    linear.weight.copy_(ordered.flatten(0, 1))
            if layer.gate_own is not None:
                layer.gate_own.copy_(layer.gate_own[:, order].clone())


@both_contexts
def test_shapes_of_routings(context: str) -> None:
    rows = 7
    routings = aesm2(context)(cases.batch(SCHEMA, rows)).routings
    assert len(routings) == 2 * len(LEVELS) + 2
    for routing, gates in zip(routings, [3, 3, 4, 4], strict=False):
        assert routing.gate_logits.shape == (rows, 5, gates)
        assert routing.target.shape == (rows,)
        assert routing.output.shape == (rows, 6)
        for part in routing.selection:
            assert part.shape == (rows, 5)
    for routing in routings[4:]:
        assert routing.gate_logits.shape == (rows, 4, 3)
        assert routing.target.tolist() == [0, 1, 2]
        assert routing.output.shape == (3, rows, 5)
        chosen = routing.selection
        for part in (chosen.kl_specific, chosen.specific, chosen.mixing_weights):
            assert part.shape == (3, rows, 4)
        assert chosen.kl_shared.shape == chosen.shared.shape == (rows, 4)


def test_the_target_of_a_scenario_layer_is_the_rows_scenario_at_its_level() -> None:
    rows = cases.batch(SCHEMA, 20)
    routings = aesm2()(rows).routings
    for layer, level in enumerate([0, 0, 1, 1]):
        assert torch.equal(routings[layer].target, rows.scenarios[:, level])


@both_contexts
@pytest.mark.parametrize("layer", range(6))
def test_permuting_experts_permutes_the_routing_and_nothing_else(layer: int, context: str) -> None:
    rows, model = cases.batch(SCHEMA, 20), aesm2(context)
    before = model(rows)
    order = [2, 0, 3, 1] if layer >= 4 else [4, 2, 0, 3, 1]
    permute_experts([*model.scenario_layers, *model.task_layers][layer], order)
    after = model(rows)
    assert_same(after.logits, before.logits)
    for number, (new, old) in enumerate(zip(after.routings, before.routings, strict=True)):
        moved = order if number == layer else list(range(len(old.gate_logits[0])))
        assert_same(new.gate_logits, old.gate_logits[:, moved])
        for name, part in old.selection._asdict().items():
            assert_same(getattr(new.selection, name).double(), part[..., moved].double())


@both_contexts
@pytest.mark.parametrize("level", [0, 1])
def test_renaming_scenarios_permutes_the_gates_and_nothing_else(level: int, context: str) -> None:
    rows, model = cases.batch(SCHEMA, 20), aesm2(context)
    before = model(rows)
    order = [2, 0, 1] if level == 0 else [3, 1, 0, 2]
    permute_gates(model, level, order)
    scenarios = rows.scenarios.clone()
    scenarios[:, level] = torch.tensor(order).argsort()[scenarios[:, level]]
    after = model(cases.Batch(rows.fields, scenarios))
    assert_same(after.logits, before.logits)
    for number, (new, old) in enumerate(zip(after.routings, before.routings, strict=True)):
        moved = order if number // 2 == level else list(range(old.gate_logits.shape[-1]))
        assert_same(new.gate_logits, old.gate_logits[..., moved])
        assert torch.equal(new.selection.specific, old.selection.specific)
        assert torch.equal(new.selection.shared, old.selection.shared)


@both_contexts
def test_dense_and_sparse_predict_and_learn_the_same(context: str) -> None:
    rows, results = cases.batch(SCHEMA, 40), []
    for how in ("dense", "sparse"):
        model = aesm2(context)
        cases.compute(model, how)
        output = model(rows)
        loss_terms(output, rows.labels.double()).total(torch.ones(3), 0.1, 0.1).backward()
        results.append((output.logits.detach(), *(p.grad for p in model.parameters())))
    for dense, sparse in zip(*results, strict=True):
        assert_same(dense, sparse)


@both_computes
@pytest.mark.parametrize("level", ["first", "last"])
def test_gradients_reach_only_the_chosen_experts(how: str, level: str) -> None:
    model = aesm2()
    cases.compute(model, how)
    with torch.no_grad():
        for layer in (*model.scenario_layers, *model.task_layers):
            layer.experts.linear.bias.fill_(9.0)  # keeps every relu open
    layer = 0 if level == "first" else -1
    layers = [*model.scenario_layers, *model.task_layers]
    for seed in range(5):
        model.zero_grad()
        rows = cases.batch(SCHEMA, 1, seed)
        output = model(rows)
        chosen = output.routings[layer].selection
        loss_terms(output, rows.labels.double()).tasks.sum().backward()
        used = (chosen.specific | chosen.shared).view(-1, layers[layer].shape[0]).any(0)
        reached = layers[layer].experts.linear.weight.grad.abs().sum((1, 2)) > 0
        assert torch.equal(reached, used)


def gate_gradients(
    model: AESM2, objective: Callable[[Output], Tensor], rows: object
) -> list[Tensor]:
    model.zero_grad()
    objective(model(rows)).backward()
    return [layer.gate.weight.grad.clone() for layer in model.scenario_layers]


def test_lambda_zero_leaves_exactly_the_task_gradient() -> None:
    model, rows = aesm2(), cases.batch(SCHEMA, 30)
    labels, ones = rows.labels.double(), torch.ones(3)

    def total(specific: float, shared: float) -> list[Tensor]:
        return gate_gradients(
            model, lambda output: loss_terms(output, labels).total(ones, specific, shared), rows
        )

    of_tasks = gate_gradients(model, lambda output: loss_terms(output, labels).tasks.sum(), rows)
    for with_zero, alone in zip(total(0.0, 0.0), of_tasks, strict=True):
        assert torch.equal(with_zero, alone)
    for lambdas in ((0.1, 0.0), (0.0, 0.1)):
        for with_lambda, alone in zip(total(*lambdas), of_tasks, strict=True):
            assert not torch.allclose(with_lambda, alone)


@both_computes
def test_only_the_auxiliary_loss_teaches_a_gate_whose_two_picks_coincide(how: str) -> None:
    shape = cases.schema((2,), (-1,))
    group = ExpertGroup(layers=1, experts=3, specific=1, shared=1, width=4)
    config = CONFIG.model_copy(update={"scenario": group, "task": group})
    model = cases.spread(AESM2(config, shape)).double()
    cases.compute(model, how)
    rows = cases.batch(shape, 60)
    chosen = model(rows).routings[0].selection
    alone = rows[(chosen.specific & chosen.shared).any(-1)]
    assert len(alone) > 0
    weights = model(alone).routings[0].selection.mixing_weights
    assert torch.equal(weights.sort(-1).values, torch.tensor([[0.0, 0, 1]] * len(alone)).double())
    labels, one = alone.labels.double(), torch.ones(1)
    for specific, shared, learns in ((0, 0, False), (0.1, 0, True), (0, 0.1, True)):
        (gradient,) = gate_gradients(
            model,
            lambda output, a=specific, b=shared: loss_terms(output, labels).total(one, a, b),
            alone,
        )
        assert gradient.isfinite().all()
        assert bool(gradient.any()) == learns


def test_one_gate_everywhere_works() -> None:
    shape = cases.schema((1, 1), (-1,))
    model = cases.spread(AESM2(CONFIG, shape)).train()
    rows = cases.batch(shape, 12)
    output = model(rows, torch.Generator().manual_seed(0))
    terms = loss_terms(output, rows.labels)
    assert not terms.specific.any()
    assert not terms.shared.any()
    terms.total(torch.ones(1), 1.0, 1.0).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert model.towers[0].weight.grad.any()


def test_noise_is_only_in_training_and_repeats_from_a_seed() -> None:
    model, rows = aesm2(), cases.batch(SCHEMA, 15)

    def logits(seed: int) -> Tensor:
        return model(rows, torch.Generator().manual_seed(seed)).logits

    quiet = model(rows).logits
    assert torch.equal(logits(0), quiet)
    model.train()
    assert torch.equal(logits(0), logits(0))
    assert not torch.equal(logits(0), logits(1))
    assert not torch.equal(logits(0), quiet)


def test_noise_leaves_the_global_generator_alone() -> None:
    model, rows = aesm2().train(), cases.batch(SCHEMA, 5)
    before = torch.get_rng_state()
    model(rows, torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_drives_the_selection_and_the_mixing_of_every_layer() -> None:
    model, rows = aesm2(noise_scale=1.0), cases.batch(SCHEMA, 40)
    quiet = model(rows).routings
    noisy = model.train()(rows, torch.Generator().manual_seed(0)).routings
    for number, routing in enumerate(noisy):
        chosen = routing.selection
        assert not torch.equal(chosen.specific, quiet[number].selection.specific)
        assert not torch.equal(chosen.shared, quiet[number].selection.shared)
        own = (
            routing.gate_logits.permute(2, 0, 1)
            if number >= 4
            else routing.gate_logits[torch.arange(40), :, routing.target]
        )
        masked = own.masked_fill(~(chosen.specific | chosen.shared), -torch.inf)
        assert_same(chosen.mixing_weights, masked.softmax(-1))


@pytest.mark.parametrize(("scale", "experts"), [(0.01, 10), (0.1, 3)])
def test_noise_has_standard_deviation_scale_times_experts(scale: float, experts: int) -> None:
    noise = GateNoise(scale, torch.Generator().manual_seed(0))
    drawn = noise.added_to(torch.zeros(4000, experts, 4))
    assert drawn.std().item() == pytest.approx(scale * experts, rel=0.03)
    assert abs(drawn.mean().item()) < 0.03 * scale * experts
    shifted = GateNoise(scale, torch.Generator().manual_seed(0)).added_to(
        torch.ones(4000, experts, 4)
    )
    torch.testing.assert_close(shifted, drawn + 1)


def test_the_models_noise_has_that_standard_deviation_too() -> None:
    model, rows = aesm2(noise_scale=0.1), cases.batch(SCHEMA, 500)
    quiet = model(rows).routings[0].gate_logits
    noisy = model.train()(rows, torch.Generator().manual_seed(0)).routings[0].gate_logits
    assert (noisy - quiet).std().item() == pytest.approx(0.1 * 5, rel=0.05)


def test_training_with_noise_asks_for_a_generator() -> None:
    rows = cases.batch(SCHEMA, 3)
    with pytest.raises(ValueError, match=r"needs a torch\.Generator"):
        aesm2().train()(rows)
    quiet = aesm2(noise_scale=0.0)
    assert torch.equal(quiet.train()(rows).logits, quiet.eval()(rows).logits)


def test_bfloat16_experts_leave_gates_in_float32_and_predictions_close() -> None:
    model, rows = cases.spread(AESM2(CONFIG, SCHEMA)), cases.batch(SCHEMA, 100)
    full = model(rows)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(rows)
    for routing in half.routings:
        assert routing.gate_logits.dtype == torch.float32
        assert routing.selection.mixing_weights.dtype == torch.float32
    assert torch.equal(half.routings[0].gate_logits, full.routings[0].gate_logits)
    assert torch.equal(half.routings[0].selection.specific, full.routings[0].selection.specific)
    assert half.logits.dtype == torch.float32
    assert not torch.equal(half.logits, full.logits)
    difference = (half.log_probability.exp() - full.log_probability.exp()).abs()
    same = torch.ones(100, dtype=torch.bool)  # rows whose later choices rounding did not flip
    for a, b in zip(half.routings, full.routings, strict=True):
        for x, y in zip(a.selection[2:4], b.selection[2:4], strict=True):
            same &= (x == y).view(-1, 100, x.shape[-1]).all(-1).all(0)
    assert same.float().mean() > 0.8
    assert difference[same].max() < 2e-2
