"""Whose a run or checkpoint is, how long a run may train, and what the worker writes down."""

import json
from pathlib import Path

import pytest

from aesm2.checkpoint import load
from aesm2.files import from_trash, read_lines, to_trash
from aesm2.lab import archive, worker
from aesm2.lab.job import Job, Wish
from aesm2.lab.queue import Lab
from aesm2.owner import OWNER, give, owner_of
from tests import small


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "lab")


def submitted(lab: Lab, **more: object) -> Job:
    return lab.submit("run", small.dataset(), small.config(), "cpu", **more)  # type: ignore[arg-type]


def test_a_run_keeps_its_owner_and_a_second_one_of_it_too(lab: Lab) -> None:
    job = submitted(lab, owner="ann", minutes=30)
    assert (job.order().owner, job.order().minutes) == ("ann", 30)
    lab.wish(job, Wish.PAUSE)
    assert job.order().owner == "ann"
    assert lab.retry(job, small.config()).order().owner == "ann"
    assert lab.retry(job, small.config(), owner="bob").order().owner == "bob"
    assert Lab(lab.root).restore(lab.discard(job)).order().owner == "ann"


def test_a_run_of_before_there_were_owners_is_everybodys(lab: Lab) -> None:
    job = submitted(lab)
    values = json.loads((job.folder / "job.json").read_text(encoding="utf-8"))
    old = {name: value for name, value in values.items() if name not in ("owner", "minutes")}
    (job.folder / "job.json").write_text(json.dumps(old), encoding="utf-8")
    assert job.order().owner == ""
    assert job.order().minutes is None


def test_a_run_is_stopped_at_its_minutes_and_that_is_written_down(lab: Lab) -> None:
    job = submitted(lab, minutes=2)
    worker.limit(lab, job, 119)
    assert job.order().wish is Wish.RUN
    worker.limit(lab, job, 121)
    assert job.order().wish is Wish.STOP
    worker.limit(lab, job, 200)  # once
    (line,) = read_lines(lab.root / worker.DIARY)
    assert (line["event"], line["run"], line["minutes"]) == ("run stopped at its limit", "run", 2)
    free = lab.submit("free", small.dataset(), small.config(), "cpu")
    worker.limit(lab, free, 1e9)
    assert free.order().wish is Wish.RUN


def test_the_diary_does_not_grow_without_end(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LARGEST", 200)
    lab.root.mkdir()
    for number in range(20):
        worker.note(lab, "event", number=number)
    sizes = [path.stat().st_size for path in sorted(lab.root.glob("worker.log*"))]
    assert len(sizes) == 2
    assert max(sizes) < 300
    assert read_lines(lab.root / worker.DIARY)[-1]["number"] == 19


def test_a_checkpoint_is_its_owners_from_the_moment_it_is_there(tmp_path: Path) -> None:
    checkpoint = small.run() / "checkpoint"
    archive.promote(checkpoint, tmp_path / "hers", "words", "ann")
    archive.unpack(archive.pack(checkpoint), tmp_path / "his", "bob")
    archive.promote(tmp_path / "hers", tmp_path / "ours")  # a copy of hers for everybody
    assert [owner_of(tmp_path / name) for name in ("hers", "his", "ours")] == ["ann", "bob", ""]
    assert load(tmp_path / "hers", "cpu").hash == load(checkpoint, "cpu").hash
    assert b"ann" not in archive.pack(tmp_path / "hers")  # it does not travel with the zip


def test_an_owner_survives_the_trash_and_can_be_taken_off(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert owner_of(folder) == ""
    give(folder, "ann")
    assert owner_of(from_trash(to_trash(folder))) == "ann"
    give(folder, "")
    assert owner_of(folder) == ""
    assert not (folder / OWNER).exists()
