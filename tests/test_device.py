"""Which device is computed on, and what is said where it is not there."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from aesm2 import cli
from aesm2.device import (
    device_label,
    flush_subnormals,
    flushes_subnormals,
    resolve_device,
)
from aesm2.errors import InputError


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    """A machine with that many CUDA devices."""
    count = int(getattr(request, "param", 0))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Card {device.index or 0}")
    return count


def refused(name: str) -> str:
    with pytest.raises(InputError) as caught:
        resolve_device(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("cards", "expected"), [(0, "cpu"), (1, "cuda")], indirect=["cards"])
def test_auto_takes_a_card_where_there_is_one(cards: int, expected: str) -> None:
    assert resolve_device("auto") == torch.device(expected)


@pytest.mark.parametrize("cards", [0, 2], indirect=True)
def test_the_cpu_is_always_there(cards: int) -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert device_label(torch.device("cpu")) == "CPU"


@pytest.mark.parametrize("cards", [2], indirect=True)
def test_a_card_is_taken_by_number_and_named(cards: int) -> None:
    assert resolve_device("cuda") == torch.device("cuda")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    assert device_label(torch.device("cuda:1")) == "Card 1"


@pytest.mark.parametrize(
    ("cards", "name"), [(0, "cuda"), (0, "cuda:0"), (1, "cuda:1")], indirect=["cards"]
)
def test_a_card_that_is_not_there_is_refused(cards: int, name: str) -> None:
    assert refused(name) == (
        f"device '{name}' is not there: {cards} CUDA devices found; use --device cpu"
    )


@pytest.mark.parametrize("cards", [1], indirect=True)
@pytest.mark.parametrize("name", ["gpu", "", "CUDA", "cuda:", "cuda:x", "cuda:-1", "mps", "meta"])
def test_any_other_name_is_refused(cards: int, name: str) -> None:
    assert refused(name) == f"device '{name}' is none of auto, cpu, cuda, cuda:N"


def test_the_smallest_numbers_are_flushed_in_a_thread_and_those_it_starts() -> None:
    tiny = torch.full((3,), torch.finfo(torch.float32).tiny)

    def halves() -> tuple[bool, float]:
        return flushes_subnormals(), float((tiny / 2).sum() * 2**20)

    def flushed() -> tuple[tuple[bool, float], tuple[bool, float]]:
        flush_subnormals()
        with ThreadPoolExecutor(1) as inner:
            return halves(), inner.submit(halves).result()

    assert halves()[0] is False
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(flushed).result() == ((True, 0.0), (True, 0.0))
        threads.submit(flush_subnormals, False).result()
        assert threads.submit(halves).result() == (False, pytest.approx(1.5 * 2**20 * tiny[0]))
    assert halves() == (False, pytest.approx(1.5 * 2**20 * tiny[0]))


def test_a_command_flushes_them_and_puts_things_back(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(cli, "app", lambda *_, **__: seen.append(flushes_subnormals()))
    with pytest.raises(SystemExit):
        cli.main()
    assert seen == [True]
    assert not flushes_subnormals()
