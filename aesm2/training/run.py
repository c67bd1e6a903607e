"""The run folder: everything a training run writes, and everything it needs to go on.

    config.json         the configuration
    dataset.toml        the dataset description, as it was
    history.jsonl       records: {"kind": "train" | "validation", "step": …, …}
    utilisation.jsonl   counts of choices on the validation rows
    choices.jsonl       the chosen sets of a few validation rows
    state.safetensors   weights, optimizer and position: where `--resume` goes on
    best.safetensors    weights with the best validation score so far
    checkpoint/         the result
    halt                while it is there, training stops after the step in hand, as after Ctrl-C
    launch              which launch of several processes is at work here, or was
    .lock               held by the process that trains here

The state file is replaced atomically, and the append-only files are cut back to its step on
resuming, so that a run may be killed at any moment.
"""

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from aesm2.config import Config, parse
from aesm2.data.description import DESCRIPTION
from aesm2.errors import InputError
from aesm2.files import (
    NOT_PARSED,
    append_line,
    read_json,
    read_lines,
    read_text,
    write_atomically,
    write_lines,
)
from aesm2.lock import holding
from aesm2.training.history import facts

PRODUCTS = (
    "history.jsonl", "utilisation.jsonl", "choices.jsonl", "state.safetensors", "best.safetensors",
    "checkpoint",
)  # fmt: skip
RECORDS = ("history.jsonl", "utilisation.jsonl", "choices.jsonl")
KINDS: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,)}
HALT, LOCK, LAUNCH = "halt", ".lock", "launch"
STATE = "state.safetensors"


@dataclass
class Position:
    """Where a run stands. score is the best validation score, reached at best_step."""

    step: int = 0
    seconds: float = 0.0
    score: float = float("-inf")
    best_step: int = 0
    evaluations_since_best: int = 0
    finished: bool = False


@dataclass(frozen=True)
class Run:
    """A run folder. listener: told every record of the history, such as `events.Events`."""

    folder: Path
    listener: Callable[[dict[str, Any]], None] | None = None

    @property
    def checkpoint(self) -> Path:
        """Folder of the checkpoint that the run leaves."""
        return self.folder / "checkpoint"

    @property
    def exists(self) -> bool:
        """Whether a run was started here."""
        return (self.folder / "config.json").exists()

    def start(self, config: Config, description: str, launch: str = "") -> None:
        """Make the folder for a new run; InputError where it already holds one, or part of one.

        launch: see `mark`.
        """
        if self.exists:
            raise InputError(
                f"{self.folder}: holds a run already; add --resume to go on, or name another folder"
            )
        for name in PRODUCTS:
            if (self.folder / name).exists():
                raise InputError(f"{self.folder}: holds a '{name}' already; name another folder")
        self._make()
        self.mark(launch)
        write_atomically(self.folder / DESCRIPTION, description)
        write_atomically(self.folder / "config.json", config.model_dump_json(indent=2))

    def mark(self, launch: str) -> None:
        """Note which launch is at work here, so that it goes on here when it is started again."""
        if launch:
            write_atomically(self.folder / LAUNCH, launch)

    def marked(self, launch: str) -> bool:
        """Whether this launch has begun or gone on with the run here."""
        file = self.folder / LAUNCH
        return bool(launch) and self.exists and file.exists() and file.read_text() == launch

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from training here; InputError where one does already."""
        self._make()
        with holding(self.folder / LOCK) as ours:
            if not ours:
                raise InputError(
                    f"{self.folder}: another process is training here; wait for it, or name"
                    " another folder"
                )
            yield

    def _make(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be made: {error.strerror}") from None

    def ask_to_halt(self, launch: str = "") -> None:
        """Ask whoever trains here to stop after the step in hand; a launch before it begins."""
        (self.folder / HALT).write_text(launch)

    def halt_asked(self) -> bool:
        """Whether training was asked to stop."""
        return (self.folder / HALT).exists()

    def go_on(self, launch: str = "") -> None:
        """Take back what `ask_to_halt` asked, unless it was asked of this launch."""
        file = self.folder / HALT
        if not (launch and file.exists() and file.read_text() == launch):
            file.unlink(missing_ok=True)

    def extend(self, config: Config) -> None:
        """Let a run go on under another configuration of the same model, even if it had ended.

        Early stopping starts to count anew.
        """
        state = self.load_state()
        if state is not None:
            tensors, position = state
            position.finished, position.evaluations_since_best = False, 0
            self.save_state(tensors, position)
        write_atomically(self.folder / "config.json", config.model_dump_json(indent=2))

    def rewind(self) -> None:
        """Go back to the weights of the best measurement, with a fresh optimizer.

        InputError where nothing was measured yet.
        """
        state, best = self.load_state(), self.folder / "best.safetensors"
        if state is None or not best.exists():
            raise InputError(f"{self.folder}: nothing was measured yet")
        tensors, position = state
        self.cut(position.best_step)
        kept = {key: value for key, value in tensors.items() if key.startswith("model.")}
        weights = read_tensors(best)
        kept = {key: weights[key.removeprefix("model.")] for key in kept}
        known = facts(read_lines(self.folder / "history.jsonl")).seconds
        position.step = position.best_step
        position.seconds = known if math.isfinite(known) else 0.0
        position.finished, position.evaluations_since_best = False, 0
        self.save_state(kept, position)

    def config(self) -> Config:
        """Read the configuration the run was started with."""
        if not self.exists:
            raise InputError(f"{self.folder}: no run to resume here")
        file = self.folder / "config.json"
        return parse(Config, read_json(file), str(file))

    def record(self, kind: str, step: int, **values: Any) -> None:
        """Append one record to the history."""
        line = {"kind": kind, "step": step} | values
        append_line(self.folder / "history.jsonl", line)
        if self.listener is not None:
            self.listener(line)

    def record_utilisation(self, step: int, counts: dict[str, Any]) -> None:
        """Append one snapshot of utilisation."""
        append_line(self.folder / "utilisation.jsonl", {"step": step} | counts)

    def record_choices(self, step: int, choices: dict[str, Any]) -> None:
        """Append one snapshot of the chosen sets."""
        append_line(self.folder / "choices.jsonl", {"step": step} | choices)

    def check_same_data(self, description: str) -> None:
        """Raise InputError where the dataset description is not the one the run started with."""
        if read_text(self.folder / DESCRIPTION, "text") != description:
            raise InputError(
                f"{self.folder}: was started with another {DESCRIPTION}; train into a new folder"
            )

    def save_state(self, tensors: dict[str, Tensor], position: Position) -> None:
        """Write all that is needed to go on from here, as one file."""
        stored = {key: value.cpu().contiguous() for key, value in tensors.items()}
        metadata = {"position": json.dumps(vars(position))}
        content = safetensors.torch.save(stored, metadata)
        write_atomically(self.folder / STATE, content)

    def load_state(self) -> tuple[dict[str, Tensor], Position] | None:
        """Read what `save_state` wrote, None where nothing was, and cut the records to its step."""
        file = self.folder / STATE
        state, position = None, self.position()
        if position is not None:
            state = read_tensors(file), position
        self.cut(state[1].step if state else 0)
        return state

    def cut(self, step: int) -> None:
        """Drop the records after a step; InputError where one tells none."""
        for name in RECORDS:
            lines = read_lines(self.folder / name)
            if not all(isinstance(line.get("step"), int) for line in lines):
                raise InputError(
                    f"{self.folder / name}: a line has no step; train into a new folder"
                )
            write_lines(self.folder / name, (line for line in lines if line["step"] <= step))

    def position(self) -> Position | None:
        """Return where the saved state stands, without its tensors; None where there is none."""
        file = self.folder / STATE
        try:
            with safe_open(file, framework="pt") as opened:
                return _position(json.loads((opened.metadata() or {})["position"]))
        except FileNotFoundError:
            return None
        except InputError as error:
            raise InputError(f"{file}: {error}") from None
        except (SafetensorError, KeyError, OSError, *NOT_PARSED) as error:
            raise InputError(f"{file}: not a state of this version: {error}") from None

    def save_best(self, model: nn.Module) -> None:
        """Keep the present weights as the best ones."""
        weights = {key: value.cpu().contiguous() for key, value in model.state_dict().items()}
        write_atomically(self.folder / "best.safetensors", safetensors.torch.save(weights))

    def load_best(self, model: nn.Module) -> None:
        """Put the best weights into the model; where there are none yet, leave it as it is."""
        file = self.folder / "best.safetensors"
        if file.exists():
            load_weights(model, read_tensors(file), file)


def _position(values: Any) -> Position:
    """Read where a run stands; InputError where it stands nowhere."""
    kinds = {own.name: KINDS[str(getattr(own.type, "__name__", own.type))]
             for own in fields(Position)}  # fmt: skip
    if not isinstance(values, dict) or values.keys() != kinds.keys():
        raise InputError("its position is not of this version")
    for name, kind in kinds.items():
        own = values[name]
        if not isinstance(own, kind) or isinstance(own, bool) != (kind == (bool,)) or own != own:
            raise InputError(f"its position says {name} = {own!r}, which cannot be")
    if min(values["step"], values["best_step"], values["evaluations_since_best"]) < 0:
        raise InputError("its position is before the beginning")
    return Position(**values)


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], file: Path) -> None:
    """Put weights into a model; InputError where they are not its own, or not finite."""
    shapes = {key: (tuple(own.shape), own.dtype) for key, own in model.state_dict().items()}
    found = {key: (tuple(own.shape), own.dtype) for key, own in weights.items()}
    odd = next(
        (key for key in sorted({*shapes, *found}) if shapes.get(key) != found.get(key)), None
    )
    if odd is not None:
        raise InputError(f"{file}: '{odd}' does not fit the configured model")
    if not all(own.isfinite().all() for own in weights.values()):
        raise InputError(f"{file}: holds weights that are not finite")
    model.load_state_dict(dict(weights))


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read a safetensors file; InputError where it is none."""
    try:
        return safetensors.torch.load_file(file)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: not a valid safetensors file: {error}") from None
