"""The benchmarks of speed run at a tiny size, with or without the peers, and print their tables."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import auc, contenders, floor, gpu, harness, numbers, peers, roofline, scaling
from benchmarks.floor import Speeds, Work

TINY = ["--width", "8", "--rows", "160", "--fields", "5", "--dim", "2", "--seconds", "0"]


def test_peers_describes_times_and_compares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contenders, "PEERS", {"no-such-library": contenders.rechub})
    out = tmp_path / "peers.md"
    peers.main([*TINY, "--epoch-rows", "320", "--rounds", "1", "--numeric", "2", "--out", str(out)])
    printed = capsys.readouterr().out
    assert printed == out.read_text(encoding="utf-8")
    assert "left out: no-such-library" in printed
    assert "3 embedded fields, 2 numbers straight into the first layer" in printed
    assert "| our MMoE, fp32 | 1." in printed or "| our MMoE, fp32 | 0." in printed
    assert printed.count("| target | ≥ ") == 2


def test_operations_are_those_of_the_matrix_products() -> None:
    sizes = peers.Sizes(width=4, rows=150, fields=3, dim=2, vocabulary=30)
    batch = peers.random_batch(sizes)
    everybody = contenders.ours(contenders.Task(sizes, sizes.schema, batch, batch))
    mmoe = next(one for one in everybody if one.name.startswith("our MMoE"))
    gates, experts = (6 + 4) * 10, (6 + 4) * 10 * 4  # two layers: 6 inputs, then 4
    mixing = 2 * 10 * 4
    tasks = (4 * 3 + 2 * 3) * 2 + (4 * 3 * 2 + 2 * 2 * 3 * 2) + 2 * 2 * 3 * 2
    towers = 2 * (2 * 32 + 32)
    assert mmoe.flops(150) == 2 * (gates + experts + mixing + tasks + towers)


def test_auc_is_that_of_scikit_learn(capsys: pytest.CaptureFixture[str]) -> None:
    auc.main(["--rows", "500", "2000", "--rounds", "1", "--seconds", "0"])
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if "auc" in line]
    assert [line[0] for line in lines[:4]] == ["| 500", "| 500", "| 2,000", "| 2,000"]
    assert all(float(line[-1].strip(" |")) < 1e-12 for line in lines[:4])


def test_a_floor_is_products_and_then_memory() -> None:
    own = Speeds({False: 100.0, True: 400.0}, 10.0)
    assert Work(200, 40).floor(own, False) == 6
    assert Work(200, 40).floor(own, True) == 4.5


def test_work_counts_a_product_and_what_moves() -> None:
    model = torch.nn.Module()
    model.embedding = torch.nn.Embedding(7, 3)
    model.linear = torch.nn.Linear(3, 5, bias=False)
    with torch.no_grad():
        found = floor.work(lambda: model.linear(torch.ones(2, 3)), model, x=6, trains=False)
    assert found == Work(2 * 2 * 3 * 5, 4 * (3 * 6 + 15))
    trained = floor.work(lambda: None, model, x=6, trains=True)
    assert trained == Work(0, 4 * (3 * 6 + 15 + 4 * 6 + 7 * 36))


def test_gpu_and_roofline_run_on_the_processor(capsys: pytest.CaptureFixture[str]) -> None:
    roofline.main(["--rows", "140", "--width", "8", "--rounds", "1", "--size", "64"])
    printed = capsys.readouterr().out
    assert printed.count("| predict | ") == 4
    assert printed.count("| train | ") == 2
    assert printed.count(": as on the CPU: ") == 2 and "NOT" not in printed


def test_a_device_that_computes_otherwise_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = gpu.Sizes(8, 40)
    moved = gpu.AESM2.to

    def wrong(model: gpu.AESM2, *arguments: object) -> gpu.AESM2:
        with torch.no_grad():
            model.towers[-1].bias += 0.01
        return moved(model, *arguments)

    monkeypatch.setattr(gpu.AESM2, "to", wrong)
    lines = list(gpu.correct(sizes, gpu.random_batch(sizes), "cpu"))
    assert all("NOT as on the CPU" in line for line in lines)


def test_scaling_prints_a_slope_for_each_size(capsys: pytest.CaptureFixture[str]) -> None:
    scaling.main(["--rounds", "1", "--share", "0.1", "--rows", "130", "--width", "8"])
    lines = capsys.readouterr().out.splitlines()[4:]
    assert [line.split(" | ")[0][2:] for line in lines] == [a for a in scaling.AXES for _ in "pt"]


def test_a_slope_is_that_of_a_power() -> None:
    sizes = (2, 4, 8)
    assert scaling.slope(sizes, [3.0 * size**1.5 for size in sizes]) == pytest.approx(1.5)


def test_numbers_are_scaled_in_a_copy_of_the_description(tmp_path: Path) -> None:
    data = harness.ROOT / "data_samples/kuairand_pure"
    made = numbers.described(data, tmp_path / "standard", "standard")
    text = (made / "dataset.toml").read_text(encoding="utf-8")
    assert text.count('scale = "standard"') == text.count('kind = "numeric"') > 20
    same = numbers.described(data, tmp_path / "buckets", "buckets")
    assert (same / "dataset.toml").read_bytes() == (data / "dataset.toml").read_bytes()
    assert np.isnan(float(numbers.spread([1.0]).split(" ± ")[1]))
