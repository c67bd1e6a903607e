"""Saved slices: whole or not at all, names and sizes held, broken files told."""

import threading
from pathlib import Path

import pytest

from aesm2.errors import InputError
from aesm2.slices import saved


def test_save_read_delete_and_back(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet"
    assert saved.saved(folder, "shop") == {}
    saved.save(folder, "shop", " Dear ones ", "price >= 3")
    saved.save(folder, "shop", "é/..\\", 'brand = "a b"')
    assert saved.saved(folder, "shop") == {"Dear ones": "price >= 3", "é/..\\": 'brand = "a b"'}
    assert saved.saved(folder, "other") == {}
    text = saved.delete(folder, "shop", "Dear ones")
    assert list(saved.saved(folder, "shop")) == ["é/..\\"]
    saved.save(folder, "shop", "Dear ones", text)
    assert saved.saved(folder, "shop")["Dear ones"] == "price >= 3"
    assert sorted(file.name for file in folder.iterdir()) == ["shop.json", "shop.lock"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("", "a = 1", "1 to 60 printable"),
        ("x" * 61, "a = 1", "1 to 60 printable"),
        ("a\nb", "a = 1", "1 to 60 printable"),
        ("a", "a =", "a value was expected"),
        ("a", "", "no condition to save"),
        ("taken", "a = 2", "a slice 'taken' already"),
    ],
)
def test_what_is_refused_changes_nothing(tmp_path: Path, name: str, text: str, says: str) -> None:
    saved.save(tmp_path, "shop", "taken", "a = 1")
    before = (tmp_path / "shop.json").read_bytes()
    with pytest.raises(InputError, match=says):
        saved.save(tmp_path, "shop", name, text)
    assert (tmp_path / "shop.json").read_bytes() == before
    saved.save(tmp_path, "shop", "taken", "a = 2", replace=True)
    assert saved.saved(tmp_path, "shop") == {"taken": "a = 2"}


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "MOST", 2)
    saved.save(tmp_path, "shop", "a", "a = 1")
    saved.save(tmp_path, "shop", "b", "a = 1")
    with pytest.raises(InputError, match="2 saved slices already"):
        saved.save(tmp_path, "shop", "c", "a = 1")
    monkeypatch.setattr(saved, "LARGEST", 10)
    with pytest.raises(InputError, match="larger than"):
        saved.saved(tmp_path, "shop")


@pytest.mark.parametrize("content", ["{", "[]", '{"slices": 3}', '{"slices": {"a": 1}}', "\xff"])
def test_broken_files_are_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "shop.json").write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"shop\.json"):
        saved.saved(tmp_path, "shop")
    with pytest.raises(InputError, match="no saved slice"):
        (tmp_path / "shop.json").unlink()
        saved.delete(tmp_path, "shop", "a")


def test_many_at_once_lose_none(tmp_path: Path) -> None:
    names = [f"n{i}" for i in range(12)]
    writers = [
        threading.Thread(target=saved.save, args=(tmp_path, "shop", name, "a = 1"))
        for name in names
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(saved.saved(tmp_path, "shop")) == sorted(names)
