"""One step of training: the loss of Eq. 22, its gradients, Adam.

On a GPU a step is hundreds of small kernels, and Python takes longer to start them than the GPU to
run them. Where nothing in a model depends on the data but the numbers, the step is recorded once,
as a CUDA graph, and played again with other rows: the same kernels, one start.
"""

import torch
from torch import Tensor, nn

from aesm2.config import TrainingConfig
from aesm2.data.batch import Batch, mapped
from aesm2.errors import InputError
from aesm2.layers.moe import Draw
from aesm2.losses import LossTerms, loss_terms
from aesm2.models import AESM2, AITM, ESMM, MLP, CrossStitch, Model, PEPNet
from aesm2.training.group import Group

RECORDED = (AESM2, AITM, CrossStitch, ESMM, MLP, PEPNet)
"""The others sort rows by scenario, and the CPU waits for how many there are of each."""

WARM = 3  # losses and gradients computed before one is recorded: libraries take memory at first


class Objective(nn.Module):
    """The training loss of a model: one module, so that gradients are of the loss alone."""

    def __init__(self, model: Model, config: TrainingConfig) -> None:
        super().__init__()
        self.model, self.config = model, config
        weights = torch.tensor(task_weights(config, model))
        self.task_weights = weights.to(next(model.parameters()).device)

    def forward(
        self, batch: Batch, noise: torch.Generator | Draw, rows: int
    ) -> tuple[Tensor, LossTerms]:
        """Return what a batch, a share of `rows` rows, adds to the loss, and its terms."""
        device = batch.fields.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.config.precision == "bf16"):
            output = self.model(batch, noise)
        if batch.labels is None:
            raise ValueError("training needs labels")
        terms = loss_terms(output, batch.labels, rows)
        config = self.config
        loss = terms.total(self.task_weights, config.lambda_specific, config.lambda_shared)
        return loss, LossTerms(*(term.detach() for term in terms))


class Steps:
    """Takes the steps of a run."""

    def __init__(
        self, model: Model, config: TrainingConfig, optimizer: torch.optim.Optimizer, group: Group
    ) -> None:
        self.optimizer, self.processes = optimizer, group.size
        self.objective = group.wrapped(Objective(model, config))

    def take(self, batch: Batch, noise: torch.Generator | Draw, rows: int) -> LossTerms:
        """Take one step of Adam on the loss of `rows` rows, of which each process has some.

        The gradients of the processes are averaged, but their losses add up: hence the factor.
        The terms hold until the next step.
        """
        loss, terms = self.objective(batch, noise, rows)
        self.optimizer.zero_grad(set_to_none=True)
        (loss * self.processes if self.processes > 1 else loss).backward()
        self.optimizer.step()
        return terms  # type: ignore[no-any-return]


class RecordedSteps:
    """Steps that a GPU plays from a record, of one process and of batches of `size` rows.

    A batch of another size, such as the last of an epoch, is taken as it is. All others are played,
    the first of a run that goes on as well: it then ends in the weights of an undisturbed one.
    """

    def __init__(self, steps: Steps, size: int) -> None:
        self.steps, self.size = steps, size
        self.graph: torch.cuda.CUDAGraph | None = None

    def take(self, batch: Batch, noise: torch.Generator | Draw, rows: int) -> LossTerms:
        """See `Steps.take`."""
        if len(batch) != self.size or not isinstance(noise, torch.Generator):
            return self.steps.take(batch, noise, rows)
        if self.graph is None:
            self.graph = self._record(batch)
        for name, tensor in batch.tensors().items():
            self.batch.tensors()[name].copy_(tensor)
        self.noise.manual_seed(noise.initial_seed())
        self.graph.replay()
        return self.terms

    def _record(self, batch: Batch) -> torch.cuda.CUDAGraph:
        """Record a step; weights and means are as before."""
        device = batch.fields.device
        self.batch, self.noise = mapped(torch.clone, batch), torch.Generator(device)
        objective, optimizer = self.steps.objective, self.steps.optimizer
        _prepare(optimizer)
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM):
                objective(self.batch, self.noise, self.size)[0].backward()
                optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.noise)
        # Other threads of this process may go on with their own work on the GPU meanwhile.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            self.terms = self.steps.take(self.batch, self.noise, self.size)
        return graph


def _prepare(optimizer: torch.optim.Optimizer) -> None:
    """Let Adam have what it would make, and load, in its first step, and let it be recorded."""
    for group in optimizer.param_groups:
        group["capturable"] = True
        for own in group["params"]:
            state = optimizer.state[own]
            if not state:
                state["step"] = torch.zeros((), dtype=torch.float32, device=own.device)
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(own), torch.zeros_like(own)
            other = nn.Parameter(torch.zeros(1, device=own.device, dtype=own.dtype))
    other.grad = torch.zeros_like(other)
    torch.optim.Adam([other], fused=True).step()


def steps(
    model: Model, config: TrainingConfig, optimizer: torch.optim.Optimizer, group: Group
) -> Steps | RecordedSteps:
    """Return what takes the steps of a run: recorded ones where that is possible."""
    taken = Steps(model, config, optimizer, group)
    on_gpu = next(model.parameters()).is_cuda
    recorded = on_gpu and group.size == 1 and isinstance(model, RECORDED)
    return RecordedSteps(taken, config.batch_size) if recorded else taken


def task_weights(config: TrainingConfig, model: Model) -> list[float]:
    """Return λ_k of each task; InputError for a task that the model does not have."""
    unknown = set(config.task_weights) - set(model.schema.tasks)
    if unknown:
        raise InputError(
            f"training.task_weights: '{min(unknown)}' is no task"
            f" (tasks: {', '.join(model.schema.tasks)})"
        )
    return [config.task_weights.get(task, 1.0) for task in model.schema.tasks]
