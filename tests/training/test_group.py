"""Sharing the rows of a step: what can be told without starting processes."""

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from aesm2.config import ModelConfig, STARConfig
from aesm2.data.dataset import Dataset
from aesm2.data.encoder import Encoder, Seen
from aesm2.data.pieces import Pieces, in_pieces
from aesm2.errors import InputError
from aesm2.layers.moe import Draw, standard_normal
from aesm2.losses import loss_terms
from aesm2.models import build
from aesm2.training import engines, launch
from aesm2.training.group import ALONE, Group, own_device
from aesm2.training.launch import Outcome, Work, outcome
from aesm2.training.meter import Meter
from aesm2.training.ray_engine import absolute
from aesm2.training.rows import Share, read_rows
from aesm2.training.run import Run
from aesm2.training.train import Interrupted, _check_rows_apart
from tests import small
from tests.models import cases
from tests.models.test_properties import CONFIGS, SCHEMA
from tests.training.test_together import without_history

ROWS = 40


def shares(rows: int, seed: int = 0) -> list[torch.Tensor]:
    """A batch's rows spread over three processes, of which one has none."""
    owner = torch.randint(0, 2, (rows,), generator=torch.Generator().manual_seed(seed))
    return [(owner == process).nonzero().squeeze(1) for process in range(3)]


@pytest.mark.parametrize("config", [c for c in CONFIGS if c.name != "star"], ids=lambda c: c.name)
def test_what_shares_of_a_batch_add_up_to_is_the_batch(config: ModelConfig) -> None:
    """Loss terms and the gradient of every parameter; that of a share without rows is zero."""
    model, batch = cases.spread(build(config, SCHEMA)).double().train(), cases.batch(SCHEMA, ROWS)
    weights = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)

    def gradients(rows: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        model.zero_grad(set_to_none=True)
        part, source = batch[rows], torch.Generator().manual_seed(3)
        output = model(part, Draw(source, ROWS, rows))
        terms = loss_terms(output, part.labels.double(), ROWS)
        terms.total(weights, 0.1, 0.2).backward()
        assert all(p.grad is not None for p in model.parameters())
        return torch.cat(terms).detach(), [p.grad.clone() for p in model.parameters()]

    terms, whole = gradients(torch.arange(ROWS))
    parts = [gradients(rows) for rows in shares(ROWS)]
    torch.testing.assert_close(sum(part[0] for part in parts), terms)
    for number, expected in enumerate(whole):
        torch.testing.assert_close(sum(part[1][number] for part in parts), expected)
        assert (parts[2][1][number] == 0).all()


@pytest.mark.parametrize("rows", [1, 2, 3, 17, 130])
@pytest.mark.parametrize(("experts", "gates"), [(5, 3), (1, 3), (4, 1), (1, 1)])
@pytest.mark.parametrize("task_layer", [False, True])
def test_a_share_gets_the_noise_of_its_places_bit_for_bit(
    rows: int, experts: int, gates: int, task_layer: bool
) -> None:
    """Whatever the layout: a task layer's logits lie gates first."""

    def logits(count: int) -> torch.Tensor:
        if task_layer:
            return torch.zeros(gates, count, experts).permute(1, 2, 0)
        return torch.zeros(count, experts, gates)

    whole = standard_normal(logits(rows), torch.Generator().manual_seed(5))
    for places in (*shares(rows), torch.tensor([rows - 1])):
        source = Draw(torch.Generator().manual_seed(5), rows, places)
        assert torch.equal(standard_normal(logits(len(places)), source), whole[places])


def test_a_share_finds_its_rows_of_a_batch_and_their_places() -> None:
    batch, total = cases.batch(SCHEMA, 50), 50
    order = torch.randperm(total, generator=torch.Generator().manual_seed(1))[:20]
    places_of_all = []
    for numbers in (torch.arange(3, total, 2), torch.arange(0, total, 2), torch.tensor([1])):
        rows, places = Share(batch[numbers], total, numbers).of(order)
        assert torch.equal(rows.fields, batch[order[places]].fields)
        assert set(order[places].tolist()) == set(order.tolist()) & set(numbers.tolist())
        places_of_all += places.tolist()
    assert sorted(places_of_all) == list(range(20))
    nothing, places = Share(batch[:0], total, torch.empty(0, dtype=torch.int64)).of(order)
    assert len(nothing) == len(places) == 0
    everything, places = Share.whole(batch).of(order)
    assert places is None
    assert torch.equal(everything.labels, batch.labels[order])


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A folder of two files of several row groups, without history."""
    folder = small.write_dataset(tmp_path_factory.mktemp("log") / "shop", without_history())
    table = pq.read_table(folder / "log.parquet")
    (folder / "log.parquet").unlink()
    (folder / "log.parquet").mkdir()
    for number, (start, stop, group) in enumerate(((0, 400, 300), (400, 640, 70))):
        file = folder / "log.parquet" / f"part-{number}.parquet"
        pq.write_table(table.slice(start, stop - start), file, row_group_size=group)
    return Dataset.open(folder)


@pytest.mark.parametrize("size", [37, 1000])
def test_pieces_put_together_are_the_log(log: Dataset, size: int) -> None:
    assert in_pieces(log)
    pieces = cut(Pieces.of(log, 2), size)
    assert sum(piece.rows for piece in pieces.all) == small.ROWS
    read = [dict(pieces.frames(pieces.of_reader(reader, 3))) for reader in range(3)]
    together = {number: frame for part in read for number, frame in part.items()}
    assert sorted(together) == list(range(len(pieces.all)))
    frame = pd.concat([together[number] for number in sorted(together)])
    pd.testing.assert_frame_equal(frame, log.frame(), check_dtype=False)


def cut(pieces: Pieces, size: int) -> Pieces:
    """The same log in pieces of another size."""
    made = []
    for piece in pieces.all:
        for start in range(0, piece.rows, size):
            rows = min(size, piece.rows - start)
            made.append(
                dataclasses.replace(
                    piece, start=piece.start + start, rows=rows, first=piece.first + start
                )
            )
    return dataclasses.replace(pieces, all=tuple(made), size=size)


def test_history_and_csv_are_read_by_the_leader_alone(log: Dataset, tmp_path: Path) -> None:
    assert not in_pieces(Dataset.open(small.dataset()))
    text = log.text.replace("log.parquet", "log.csv")
    (tmp_path / "dataset.toml").write_text(text, encoding="utf-8")
    (tmp_path / "log.csv").write_text("day\n1\n", encoding="utf-8")
    assert not in_pieces(Dataset.open(tmp_path))


def test_a_bad_row_of_a_piece_is_named_by_the_rows_it_is_among(
    log: Dataset, tmp_path: Path
) -> None:
    pieces = cut(Pieces.of(log, 1), 100)
    with pytest.raises(InputError) as caught, pieces.about(2):
        raise InputError("row 3: label 'click' is 7, not 0 or 1")
    assert (
        str(caught.value) == "log.parquet, rows 200 to 255: row 3: label 'click' is 7, not 0 or 1"
    )


def test_an_encoder_learns_the_same_from_parts() -> None:
    dataset = Dataset.open(small.dataset())
    frame = dataset.frame().query("split == 'train'")
    parts = [Seen.in_rows(dataset.description, frame.iloc[a : a + 100]) for a in (0, 100, 200, 300)]
    counts = {
        name: pd.concat([part.counts[name] for part in parts]).groupby(level=0).sum()
        for name in parts[0].counts
    }
    numbers = {
        name: np.concatenate([part.numbers[name] for part in parts]) for name in parts[0].numbers
    }
    learnt = Encoder.learnt(dataset.description, Seen(counts, numbers))
    assert learnt.to_json() == Encoder.fit(dataset.description, frame).to_json()


def test_one_process_is_a_group_that_does_everything_itself() -> None:
    values = torch.tensor([1.5])
    assert ALONE.leader
    assert ALONE.sum(values) is values
    assert ALONE.any(True)
    assert not ALONE.any(False)
    assert ALONE.lead(lambda: 3) == ALONE.each(lambda: 3) == 3
    assert ALONE.gather(values) == [values]
    assert ALONE.deal(values) is values
    assert ALONE.told("x") == ["x"]
    with pytest.raises(OSError, match="full"):
        ALONE.lead(lambda: (_ for _ in ()).throw(OSError("full")))
    rows = read_rows(Dataset.open(small.dataset()), ALONE)
    assert rows.share.numbers is None
    assert len(rows.share.rows) == rows.share.total == rows.counts["train"].impressions.sum() == 384


def test_sums_that_were_stored_are_those_of_all_processes() -> None:
    model = build(small.config().model, SCHEMA)
    stored = Meter(model, ALONE).state() | {"0": torch.ones(3), "rows": torch.tensor(7)}
    leader, other = Meter(model, Group(0, 2)), Meter(model, Group(1, 2))
    leader.load(dict(stored))
    other.load(dict(stored))
    assert leader._sums[0].tolist() == [1, 1, 1]
    assert other._sums[0].tolist() == [0, 0, 0]


def test_what_normalises_over_a_batch_is_refused_in_several_processes() -> None:
    model = build(STARConfig(), SCHEMA)
    _check_rows_apart(model, ALONE)
    with pytest.raises(
        InputError, match=r"model\.name: 'star' normalises over all rows of a batch"
    ):
        _check_rows_apart(model, Group(0, 2))
    _check_rows_apart(build(STARConfig(partitioned_norm=False), SCHEMA), Group(0, 2))


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_device("cpu", 3, 4) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert own_device("auto", 1, 2) == torch.device("cuda", 1)
    with pytest.raises(InputError, match="3 processes need a GPU each, there are 2; start fewer"):
        own_device("auto", 0, 3)
    with pytest.raises(InputError, match="'cuda:1' is one GPU"):
        own_device("cuda:1", 0, 2)


def test_a_launch_knows_the_run_it_began_and_no_other(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    assert not run.marked("a")
    run.start(small.config(), "", "a")
    assert run.marked("a")
    assert not run.marked("b")
    assert not run.marked("")
    plain = Run(tmp_path / "plain")
    plain.start(small.config(), "")
    assert not plain.marked("")
    names = [engines.launch_name({"TORCHELASTIC_RUN_ID": name}) for name in ("x", "x", "y")]
    assert names[0] == names[1] != names[2]


def test_a_launch_that_is_started_again_goes_on_with_its_run(tmp_path: Path) -> None:
    """And leaves what was asked of it: it halts at once where that was asked before."""
    opened, run = Dataset.open(small.dataset()), Run(tmp_path / "run")
    options = {"device": "cpu", "progress": False, "launch": "a"}
    run.folder.mkdir()
    run.ask_to_halt()
    for _ in range(2):
        with pytest.raises(Interrupted):
            engines.train(opened, small.config(), run.folder, **options)
    run.go_on()
    engines.train(opened, small.config(), run.folder, **options)
    assert small.result(run.folder) == small.result(small.run())


def test_what_a_launch_was_asked_before_it_began_holds(tmp_path: Path) -> None:
    """Ctrl-C while its processes still start; what another was asked before does not."""
    run = Run(tmp_path)
    for asked, goes_on in (("a", "b"), ("", "b"), ("a", "")):
        run.ask_to_halt(asked)
        run.go_on(goes_on)
        assert not run.halt_asked()
    run.ask_to_halt("a")
    run.go_on("a")
    assert run.halt_asked()


def test_the_state_is_saved_between_measurements_too(tmp_path: Path) -> None:
    saved: list[int] = []

    class Watched(Run):
        def save_state(self, tensors: object, position: object) -> None:
            saved.append(position.step)

    from aesm2.training import train

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(train, "Run", Watched)
        small.fit(tmp_path / "run", small.config(epochs=1), save_every=2)
    assert saved == [2, 4, 5, 6]


def test_an_outcome_is_what_training_raised(tmp_path: Path) -> None:
    work = Work(str(small.dataset()), str(tmp_path / "run"), device="cpu", progress=False)
    ended = outcome(dataclasses.replace(work, resume=True), ALONE)
    assert ended == Outcome(f"{tmp_path / 'run'}: no run to resume here")
    with pytest.raises(InputError, match="no run to resume"):
        ended.checkpoint(tmp_path)
    with pytest.raises(Interrupted):
        Outcome(interrupted=True).checkpoint(tmp_path)
    assert Outcome().checkpoint(tmp_path) == tmp_path / "checkpoint"


def test_without_ray_its_engine_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    work = Work(str(small.dataset()), str(tmp_path / "run"))
    with pytest.raises(InputError, match=r"--engine ray needs Ray: pip install 'aesm2\[ray\]'"):
        engines.train_by(engines.Engine.RAY, 2, 0, work)
    monkeypatch.chdir(small.dataset())
    there = absolute(Work(".", "run"))
    assert there.dataset == str(small.dataset().resolve())
    assert Path(there.folder).is_absolute()


def test_under_torchrun_the_command_starts_no_processes_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from aesm2 import cli

    monkeypatch.setenv("WORLD_SIZE", "2")
    arguments = ["train", str(small.dataset()), "--run", str(tmp_path / "r"), "--processes", "2"]
    monkeypatch.setattr("sys.argv", ["aesm2", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "torchrun has started the processes" in capsys.readouterr().err


def test_a_launcher_prepares_its_environment_and_takes_it_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import os

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert launch._environment(3)["OMP_NUM_THREADS"] == "2"
    assert launch._environment(16)["OMP_NUM_THREADS"] == "1"
    before = dict(os.environ)
    with launch._launching():
        assert os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] == "1"
    assert dict(os.environ) == before
