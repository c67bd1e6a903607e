"""A few of the strikes of `python -m tests.fuzz.kills`, and that a careless writer is noticed."""

import functools
from pathlib import Path

import pytest

from aesm2.files import replaced, write_atomically
from tests.fuzz import kills
from tests.fuzz.disturb import Disturbance, disturbed
from tests.fuzz.writers import ALL, Writer

QUICK = ("export", "branch", "save slice", "resume predict")
SEED = 1


@functools.cache
def course(name: str, root: Path) -> kills.Course:
    return kills.undisturbed(ALL[name], root)


@pytest.mark.parametrize("name", QUICK)
def test_whoever_is_killed_leaves_the_old_or_the_new_and_ends_the_same(
    name: str, tmp_path: Path
) -> None:
    writer = ALL[name]
    whole = kills.undisturbed(writer, tmp_path)
    struck = [
        kills.strike(writer, whole, what, tmp_path) for what in kills.kills(writer, whole, 2, SEED)
    ]
    struck += [kills.starve(writer, whole, Disturbance("full", whole.changes // 2), tmp_path)]
    struck += [kills.starve(writer, whole, Disturbance("readonly"), tmp_path)]
    assert [own for own in struck if not own.good] == []
    assert "old" in {own.outcome for own in struck}


def careless(folder: Path) -> None:
    (folder / "a").write_text("new")
    (folder / "b").write_text("new")


def careful(folder: Path) -> None:
    with replaced(folder / "both") as part:
        write_atomically(part / "a", "new")
        write_atomically(part / "b", "new")


def look(folder: Path) -> dict[str, str]:
    return {own.name: own.read_text() for own in sorted(folder.rglob("[ab]"))}


def old(folder: Path) -> None:
    for place in (folder, folder / "both"):
        place.mkdir(exist_ok=True)
        for name in "ab":
            (place / name).write_text("old")


def every_kill(run: Writer, root: Path) -> list[kills.Found]:
    whole = kills.undisturbed(run, root)
    assert whole.changes > 1
    return [kills.strike(run, whole, Disturbance("kill", at), root) for at in range(whole.changes)]


def test_a_careless_writer_is_caught_and_a_careful_one_is_not(tmp_path: Path) -> None:
    told = lambda folder: look(folder / "both") if (folder / "both").exists() else look(folder)  # noqa: E731
    bad = every_kill(
        Writer("x", old, careless, lambda f: {n: (f / n).read_text() for n in "ab"}), tmp_path
    )
    assert [own.outcome[:12] for own in bad if not own.good] == ["half-written"]
    assert all(own.good for own in every_kill(Writer("x", old, careful, told), tmp_path))


@pytest.mark.parametrize(
    ("what", "status"),
    [
        (Disturbance("count"), 0),
        (Disturbance("kill", 1), -9),
        (Disturbance("cut", 2), -25),
        (Disturbance("time", 0), -9),
        (Disturbance("full", 1), 70),
        (Disturbance("small", 2), 70),
        (Disturbance("readonly"), 70),
    ],
)
def test_a_disturbance_does_what_it_says(what: Disturbance, status: int, tmp_path: Path) -> None:
    old(tmp_path / "it") if (tmp_path / "it").mkdir() is None else None
    found, said, _ = disturbed(lambda: careless(tmp_path / "it"), tmp_path / "it", what)
    assert found in (status, 0) if what.kind == "time" else found == status
    expected = {"full": "No space left", "small": "File too large", "readonly": "Read-only file"}
    assert expected.get(what.kind, "") in said
    if what.kind in ("cut", "small"):
        assert (tmp_path / "it" / "a").read_text() == "ne"


def test_an_error_leaves_nothing_beside_and_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    (tmp_path / ".file.999999999.part").write_text("half")  # of a process killed long ago
    (tmp_path / ".file.x.part").write_text("mine")
    status, said, _ = disturbed(
        lambda: write_atomically(file, "newer"), tmp_path, Disturbance("small", 3)
    )
    assert (status, file.read_text()) == (70, "old")
    assert said.strip() == f"escaped OSError: [Errno 27] File too large: '{file}'"
    assert sorted(own.name for own in tmp_path.iterdir()) == [".file.x.part", "file"]
