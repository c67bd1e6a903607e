"""Routing summaries as files: the same counts back, and nothing else for one."""

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aesm2.errors import InputError
from aesm2.packing import pack
from aesm2.streaming import summary_file
from aesm2.streaming.engines import merged
from aesm2.streaming.parts import of_frame
from aesm2.streaming.summary_file import RoutingFile
from aesm2.streaming.works import Counting
from tests.streaming import made


def counted(rows: slice = slice(None), cluster: str | None = "user") -> RoutingFile:
    checkpoint = made.checkpoint()
    log = of_frame(made.frame()[rows], "rows", 400)
    summary = merged(log, Counting(checkpoint.path, cluster=cluster, block=4))
    return summary_file.of(checkpoint, summary, "Monday", "shop", cluster, 0 if cluster else 4)


def same(a: RoutingFile, b: RoutingFile) -> bool:
    pairs = zip(a.summary.arrays().values(), b.summary.arrays().values(), strict=True)
    return all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in pairs)


def test_a_file_gives_back_what_was_counted(tmp_path: Path) -> None:
    file, own = tmp_path / "monday.routing", counted()
    summary_file.write(file, own)
    read = summary_file.read(file, made.checkpoint())
    assert read.about == own.about and same(read, own)
    assert summary_file.about(file) == own.about
    assert own.about.grouping == "rows of one user stay together"
    assert counted(cluster=None).about.grouping == "blocks of 4 consecutive rows stay together"
    assert file.stat().st_size < 200_000


def test_files_add_up_to_both_logs() -> None:
    whole = counted()
    parts = counted(slice(0, 250)) + counted(slice(250, None))
    assert parts.about.rows == 600
    weights = {name for name in whole.summary.arrays() if "weight" in name}
    for name, values in whole.summary.arrays().items():
        gap = abs(parts.summary.arrays()[name] - values).max()
        assert gap <= (1000 if name in weights else 0)
    with pytest.raises(InputError, match="grouped in two ways"):
        counted() + counted(cluster=None)


def refused(content: bytes) -> str:
    with pytest.raises(InputError) as error:
        summary_file.parse(content, made.checkpoint(), "x.routing")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64, pack({"x": np.zeros(3)})])
def test_what_is_no_summary_is_refused(content: bytes, tmp_path: Path) -> None:
    assert "no routing summary" in refused(content)
    (tmp_path / "x").write_bytes(content)
    assert summary_file.about(tmp_path / "x") is None
    with pytest.raises(InputError, match="no such file"):
        summary_file.read(tmp_path / "no", made.checkpoint())


def test_a_summary_that_was_cut_off_or_altered_is_refused() -> None:
    content = counted().to_bytes()
    assert "cannot be read" in refused(content[:-10])
    assert "its hash does not match" in refused(content[:-1] + bytes([content[-1] ^ 1]))
    (size,) = struct.unpack("<Q", content[:8])
    assert "its hash does not match" in refused(content.replace(b"Monday", b"Sunday"))
    assert size < len(content)
    older = content.replace(b'\\"format\\": 1', b'\\"format\\": 9')
    assert "format is 9, this version reads 1" in refused(older)


def resealed(own: RoutingFile, change: Callable[[dict[str, np.ndarray]], object]) -> bytes:
    """A file whose hash is right, but whose arrays are changed."""
    arrays = {name: values.copy() for name, values in own.summary.arrays().items()}
    change(arrays)
    told = json.loads(json.dumps({"kind": summary_file.KIND, "format": 1, **vars(own.about)}))
    told["digest"] = summary_file._digest(told, arrays)
    return pack(arrays, {"aesm2": json.dumps(told)})


def test_counts_that_cannot_be_are_refused() -> None:
    own = counted()
    assert "do not fit the checkpoint" in refused(resealed(own, lambda a: a.pop("shared.1")))
    for change in (
        lambda a: a["rows"].__iadd__(1),
        lambda a: a["specific.0"].__iadd__(1),
        lambda a: a["weight.0"].__isub__(2**40),
    ):
        assert "contradict each other" in refused(resealed(own, change))


def test_a_summary_of_another_checkpoint_is_refused() -> None:
    own = counted()
    other = replace(own, about=replace(own.about, hash="0" * 64, checkpoint="old"))
    assert "counted with the checkpoint old 000000000000, not with run" in refused(other.to_bytes())
