"""The checkpoint folder: what is saved is what is opened, and nothing else is accepted."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch

import aesm2
from aesm2 import checkpoint as checkpoint_module
from aesm2 import files as files_module
from aesm2.checkpoint import COUNT, NUMBER, TEXT, Checkpoint, frame_to_json, save
from aesm2.data.dataset import Dataset, rows_of
from aesm2.data.statistics import scenario_statistics
from aesm2.errors import InputError
from aesm2.inference import probabilities
from aesm2.training.loop import build_seeded
from tests import small

FILES = [
    "README.md",
    "checkpoint.json",
    "dataset.toml",
    "encoder.json",
    "evaluation.jsonl",
    "history.jsonl",
    "model.safetensors",
    "reference.safetensors",
    "statistics.jsonl",
    "utilisation.jsonl",
]
HASHED = [name for name in FILES if name not in ("README.md", "checkpoint.json")]


@pytest.fixture(scope="module")
def opened() -> Checkpoint:
    return aesm2.load(small.run() / "checkpoint", "cpu")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return Dataset.open(small.dataset()).frame()


@pytest.fixture(scope="module")
def rows(frame: pd.DataFrame) -> pd.DataFrame:
    return rows_of(frame, "test")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return small.copy_checkpoint(tmp_path / "copy")


def error(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def refused(path: Path) -> str:
    return error(lambda: aesm2.load(path, "cpu"))


def manifest(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((path / "checkpoint.json").read_text(encoding="utf-8"))
    return values


def sign(path: Path, **changes: Any) -> None:
    """Rewrite the manifest so that every hash fits: what a forger, or another version, would."""
    values = manifest(path) | changes
    for name in values["files"]:
        values["files"][name] = hashlib.sha256((path / name).read_bytes()).hexdigest()
    del values["hash"]
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    (path / "checkpoint.json").write_text(json.dumps(values | {"hash": digest}), encoding="utf-8")


# ---- the contract -----------------------------------------------------------------------------


def test_it_says_what_it_is(opened: Checkpoint) -> None:
    assert opened.name == "run"
    assert opened.config == small.config()
    assert opened.description == Dataset.open(small.dataset()).description
    assert opened.device == torch.device("cpu")
    auto = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    assert aesm2.load(opened.path).device == auto
    assert not opened.model.training
    assert opened.hash == manifest(opened.path)["hash"]
    assert [layer.name for layer in opened.layers] == ["country.1", "page.1", "task.1"]
    assert [layer.kind for layer in opened.layers] == ["scenario", "scenario", "task"]
    assert opened.layers[0].gates == ("fr", "it", "elsewhere")
    assert opened.layers[2].gates == ("ctr", "ctcvr")


def test_predictions_are_one_probability_a_task_on_the_frame_s_index(
    opened: Checkpoint, rows: pd.DataFrame
) -> None:
    predicted = opened.predict(rows)
    assert list(predicted.columns) == ["ctr", "ctcvr"]
    assert predicted.index.equals(rows.index)
    assert not predicted.index.equals(pd.RangeIndex(len(rows)))  # or the line above shows nothing
    assert predicted.to_numpy().min() >= 0
    assert predicted.to_numpy().max() <= 1
    assert (predicted["ctcvr"] <= predicted["ctr"]).all()
    assert predicted["ctr"].std() > 0.01
    named = rows.set_index(pd.Index([f"row {i}" for i in range(len(rows))], name="who"))
    pd.testing.assert_index_equal(opened.predict(named).index, named.index)
    np.testing.assert_array_equal(opened.predict(named), predicted)


def test_a_row_s_prediction_does_not_depend_on_the_others(
    opened: Checkpoint, rows: pd.DataFrame
) -> None:
    predicted = opened.predict(rows)
    pd.testing.assert_frame_equal(opened.predict(rows.iloc[::-1]), predicted.iloc[::-1], rtol=1e-5)
    pd.testing.assert_frame_equal(opened.predict(rows.iloc[3:4]), predicted.iloc[3:4], rtol=1e-5)


def test_no_rows_have_no_predictions(opened: Checkpoint, rows: pd.DataFrame) -> None:
    predicted = opened.predict(rows.iloc[:0])
    assert predicted.shape == (0, 2)
    assert list(predicted.columns) == ["ctr", "ctcvr"]


def test_extra_columns_and_unknown_values_are_fine(opened: Checkpoint, rows: pd.DataFrame) -> None:
    needed = rows[list(opened.description.input_columns)]
    np.testing.assert_array_equal(opened.predict(needed), opened.predict(rows))
    strange = needed.assign(user="nobody", age=np.nan, brand=None, country="never seen")
    assert np.isfinite(opened.predict(strange).to_numpy()).all()


def test_missing_columns_are_all_named(opened: Checkpoint, rows: pd.DataFrame) -> None:
    needed = rows[["user", "user_past_count", "user_past_click", "brand", "country"]]
    without = needed.drop(columns="user_past_click").assign(prize=1.0)
    for call in (opened.read, opened.predict, opened.trace, opened.utilisation):
        message = error(lambda c=call: c(without))
        assert message == (
            "the table lacks the columns 'age', 'user_past_click' (did you mean"
            " 'user_past_count'?), 'price' (did you mean 'prize'?), 'page'"
        )


@pytest.mark.parametrize("suffix", ["parquet", "csv", "tsv"])
def test_read_takes_a_table_or_a_frame(
    tmp_path: Path, opened: Checkpoint, rows: pd.DataFrame, suffix: str
) -> None:
    file = tmp_path / f"rows.{suffix}"
    plain = rows.drop(columns="split").reset_index(drop=True)
    if suffix == "parquet":
        plain.to_parquet(file)
    else:
        plain.to_csv(file, index=False, sep="\t" if suffix == "tsv" else ",")
    read = opened.read(file)
    pd.testing.assert_frame_equal(read, plain, check_dtype=False)
    np.testing.assert_array_equal(opened.predict(read), opened.predict(plain))
    assert opened.read(str(file)).equals(read)
    assert opened.read(plain) is plain


def test_the_history_is_what_was_recorded(opened: Checkpoint) -> None:
    text = (small.run() / "history.jsonl").read_text(encoding="utf-8")
    assert opened.history() == [json.loads(line) for line in text.splitlines()]
    assert [line["step"] for line in opened.history()] == sorted(
        line["step"] for line in opened.history()
    )


def test_the_stored_evaluation_and_statistics_are_those_of_its_weights(
    opened: Checkpoint, frame: pd.DataFrame
) -> None:
    parts = [
        opened.evaluate(rows_of(frame, split)).assign(split=split)
        for split in ("validation", "test")
    ]
    fresh = pd.concat(parts, ignore_index=True)
    pd.testing.assert_frame_equal(opened.evaluation, fresh, rtol=1e-9)
    batches = {
        split: opened.encode(rows_of(frame, split), labels=True)
        for split in ("train", "validation", "test")
    }
    counted = scenario_statistics(batches, opened.encoder.schema)
    pd.testing.assert_frame_equal(
        opened.statistics, counted, check_dtype=False, check_categorical=False
    )


def test_evaluation_needs_labels(opened: Checkpoint, rows: pd.DataFrame) -> None:
    message = error(lambda: opened.evaluate(rows.drop(columns="buy")))
    assert message == "the table lacks the column 'buy'"


# ---- saving and opening -----------------------------------------------------------------------


def files_of(path: Path) -> dict[str, bytes]:
    """The files that `save` is handed, from a checkpoint that is there."""
    made_by_save = ("checkpoint.json", "model.safetensors", "encoder.json")
    return {name: (path / name).read_bytes() for name in FILES if name not in made_by_save}


def save_as(path: Path, opened: Checkpoint, name: str = "run", **changes: bytes) -> None:
    save(
        path, name, opened.config, opened.model, opened.encoder, opened.steps,
        files_of(opened.path) | changes,
    )  # fmt: skip


def test_save_and_load_are_the_identity(
    tmp_path: Path, opened: Checkpoint, rows: pd.DataFrame
) -> None:
    save_as(tmp_path / "again", opened)
    again = aesm2.load(tmp_path / "again")
    assert again.hash == opened.hash
    assert again.encoder == opened.encoder
    assert again.config == opened.config
    for key, value in opened.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[key], value)
        assert again.model.state_dict()[key].dtype == value.dtype
    np.testing.assert_array_equal(again.predict(rows), opened.predict(rows))
    for a, b in zip(again.trace(rows).layers, opened.trace(rows).layers, strict=True):
        assert torch.equal(a.gate_logits, b.gate_logits)
        assert torch.equal(a.mixing_weights, b.mixing_weights)
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (opened.path / name).read_bytes()


def test_it_predicts_what_the_model_in_memory_did(tmp_path: Path, frame: pd.DataFrame) -> None:
    base = aesm2.load(small.run() / "checkpoint", "cpu")
    model = build_seeded(small.config(seed=9), base.encoder.schema)
    files = files_of(base.path)
    save(tmp_path / "fresh", "fresh", base.config, model, base.encoder, 0, files)
    expected = probabilities(model, base.encode(frame))
    np.testing.assert_array_equal(aesm2.load(tmp_path / "fresh", "cpu").predict(frame), expected)


def test_the_hash_tells_contents_apart(tmp_path: Path, opened: Checkpoint) -> None:
    save_as(tmp_path / "same", opened)
    save_as(tmp_path / "named", opened, name="other")
    save_as(tmp_path / "other", opened, **{"history.jsonl": b'{"step": 1}\n'})
    save_as(tmp_path / "card", opened, **{"README.md": b"# Another card\n"})
    found = {path.name: aesm2.load(path).hash for path in tmp_path.iterdir()}
    assert found["same"] == found["card"] == opened.hash
    assert len({*found.values()}) == 3


def test_a_folder_holds_these_files_and_nothing_else(opened: Checkpoint) -> None:
    assert sorted(path.name for path in opened.path.iterdir()) == FILES
    assert sorted(manifest(opened.path)["files"]) == HASHED
    for path in opened.path.iterdir():
        content = path.read_bytes()
        if path.suffix == ".safetensors":
            header = int.from_bytes(content[:8], "little")
            json.loads(content[8 : 8 + header])
        else:
            assert path.suffix in (".json", ".jsonl", ".toml", ".md")
            content.decode("utf-8")
            assert not content.startswith(b"\x80")  # a pickle's first byte


def test_nothing_is_ever_unpickled(
    opened: Checkpoint, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("unpickled")

    for name in ("pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load"):
        monkeypatch.setattr(name, forbidden)
    again = aesm2.load(opened.path)
    again.predict(rows)
    again.history()
    again.utilisation_history()


def test_files_are_as_readable_as_any_other(opened: Checkpoint) -> None:
    modes = {path.stat().st_mode for path in opened.path.iterdir()}
    assert len(modes) == 1


def test_a_file_for_people_may_be_edited_or_added(copy: Path, opened: Checkpoint) -> None:
    (copy / "README.md").write_text("# Mine\n", encoding="utf-8")
    (copy / "notes.txt").write_text("…", encoding="utf-8")
    assert aesm2.load(copy).hash == opened.hash
    (copy / "README.md").unlink()
    assert aesm2.load(copy).hash == opened.hash


def test_a_frame_is_read_back_as_written(tmp_path: Path) -> None:
    """Names and values that look like dates or numbers stay text; an undefined AUC stays NaN."""
    frame = pd.DataFrame(
        {
            "date": ["20220503", "2022-05-04"],
            "day_time": ["0", "01"],
            "n": [1, 2],
            "auc": [1 / 3, np.nan],
            "none": [np.nan, np.nan],
        }
    )
    (tmp_path / "frame.jsonl").write_bytes(frame_to_json(frame))
    kinds = {"date": TEXT, "day_time": TEXT, "n": COUNT, "auc": NUMBER, "none": NUMBER}
    read = checkpoint_module._read_frame(tmp_path / "frame.jsonl", kinds)
    pd.testing.assert_frame_equal(read, frame, check_dtype=False, rtol=1e-11)


# ---- replacing --------------------------------------------------------------------------------


class Crash(BaseException):
    pass


def failing(function: Callable[..., Any], at: int) -> Callable[..., Any]:
    """The function, whose call number `at` is the end of the process."""
    calls = 0

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise Crash
        return function(*arguments, **options)

    return call


@pytest.mark.parametrize(
    ("module", "function", "calls"),
    [
        (safetensors.torch, "save", 1),  # the weights
        (Path, "write_bytes", 4),  # the third text
        (checkpoint_module, "sha256", 3),
        (checkpoint_module, "write_atomically", 1),  # the manifest
        (files_module, "exchange", 1),  # with the older one
    ],
)
def test_an_older_checkpoint_is_replaced_whole_or_not_at_all(
    copy: Path,
    opened: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    function: str,
    calls: int,
) -> None:
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(module, function, failing(getattr(module, function), calls))
        save_as(copy, opened, name="new")
    assert aesm2.load(copy).name == "run"
    assert sorted(path.name for path in copy.iterdir()) == FILES
    save_as(copy, opened, name="new")  # what the crash left behind is no hindrance
    assert aesm2.load(copy).name == "new"
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_where_the_system_cannot_exchange_folders_a_crash_between_two_renames_is_mended(
    copy: Path, opened: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_module.ctypes, "CDLL", lambda *_, **__: object())
    save_as(copy, opened, name="first")
    assert aesm2.load(copy).name == "first"
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(Path, "rename", failing(Path.rename, 2))
        save_as(copy, opened, name="new")
    (aside,) = copy.parent.iterdir()
    assert (aside.name, aesm2.load(aside).name) == (".copy.aside", "first")
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(safetensors.torch, "save", failing(safetensors.torch.save, 1))
        save_as(copy, opened, name="new")
    assert aesm2.load(copy).name == "first"  # back in its place
    save_as(copy, opened, name="newer")
    assert aesm2.load(copy).name == "newer"
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_files_of_an_older_checkpoint_do_not_stay(copy: Path, opened: Checkpoint) -> None:
    (copy / "stale.txt").write_text("", encoding="utf-8")
    save_as(copy, opened)
    assert sorted(path.name for path in copy.iterdir()) == FILES


# ---- refused ----------------------------------------------------------------------------------


def test_a_folder_without_a_manifest_is_no_checkpoint(copy: Path, tmp_path: Path) -> None:
    (copy / "checkpoint.json").unlink()
    (tmp_path / "file").write_text("", encoding="utf-8")
    for path in (copy, tmp_path / "nowhere", tmp_path / "file"):
        assert refused(path) == f"{path}: no checkpoint here: checkpoint.json is missing"


@pytest.mark.parametrize("name", HASHED)
@pytest.mark.parametrize("how", ["truncated", "emptied", "altered", "longer", "missing"])
def test_every_file_is_verified(copy: Path, name: str, how: str) -> None:
    file = copy / name
    content = file.read_bytes()
    if how == "missing":
        file.unlink()
        assert refused(copy) == f"{file}: missing from the checkpoint"
        return
    middle = len(content) // 2
    changed = {
        "truncated": content[:-1],
        "emptied": b"",
        "altered": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "longer": content + b"\n",
    }[how]
    file.write_bytes(changed)
    assert refused(copy) == (
        f"{file}: truncated or altered: its content is not what checkpoint.json records"
    )


@pytest.mark.parametrize("name", HASHED)
def test_a_file_that_the_manifest_does_not_list_is_refused(copy: Path, name: str) -> None:
    values = manifest(copy)
    del values["files"][name]
    sign(copy, files=values["files"])
    assert refused(copy).startswith(f"{copy / name}: ")


@pytest.mark.parametrize("found", [0, 2, "1", None])
def test_another_format_version_is_refused(copy: Path, found: Any) -> None:
    sign(copy, format=found)
    assert refused(copy) == (
        f"{copy / 'checkpoint.json'}: format is {found!r}, this version reads 1; train the"
        " checkpoint again or use the version that wrote it"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"steps": 99},
        {"config": small.config(seed=3).model_dump(mode="json")},
        {"hash": "0" * 64},
        {"hash": None},
        {"extra": 1},
        {"versions": {}},
    ],
    ids=str,
)
def test_an_altered_manifest_is_refused(copy: Path, change: dict[str, Any]) -> None:
    file = copy / "checkpoint.json"
    file.write_text(json.dumps(manifest(copy) | change), encoding="utf-8")
    assert refused(copy) == f"{file}: altered since it was written: its hash does not match"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}"])
def test_a_manifest_that_is_no_manifest_is_refused(copy: Path, content: bytes) -> None:
    file = copy / "checkpoint.json"
    file.write_bytes(content)
    assert refused(copy).startswith(f"{file}: ")


def test_a_truncated_manifest_is_refused_at_any_length(copy: Path) -> None:
    file = copy / "checkpoint.json"
    content = file.read_bytes().rstrip()
    for length in range(0, len(content), 97):
        file.write_bytes(content[:length])
        assert refused(copy).startswith(f"{file}: ")


def test_a_key_that_this_version_does_not_know_is_named(copy: Path) -> None:
    sign(copy, stepps=3)
    assert refused(copy) == (
        f"{copy / 'checkpoint.json'}: stepps: unknown key (did you mean 'steps'?)"
    )
    sign(small.copy_checkpoint(copy.with_name("two")), steps="many")
    assert refused(copy.with_name("two")).startswith(
        f"{copy.with_name('two') / 'checkpoint.json'}: steps: "
    )


def forge(copy: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    file = copy / "model.safetensors"
    weights = safetensors.torch.load_file(file)
    change(weights)
    file.write_bytes(safetensors.torch.save(weights))
    sign(copy)
    return file


def test_weights_of_another_shape_are_refused_with_both_shapes(copy: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        weights["embedding.weight"] = torch.zeros(7, 4)

    rows = safetensors.torch.load_file(copy / "model.safetensors")["embedding.weight"].shape[0]
    file = forge(copy, change)
    assert refused(copy) == (
        f"{file}: 'embedding.weight' has shape (7, 4), the configuration needs ({rows}, 4)"
    )


def test_weights_that_are_missing_are_named(copy: Path) -> None:
    file = forge(copy, lambda weights: weights.__delitem__("task_embedding"))
    assert refused(copy) == f"{file}: 'task_embedding' is missing"


def test_weights_that_are_too_many_are_named(copy: Path) -> None:
    file = forge(copy, lambda weights: weights.update(extra=torch.zeros(1)))
    assert refused(copy) == f"{file}: 'extra' is not part of the configured model"


def test_another_configuration_does_not_fit_the_weights(copy: Path) -> None:
    model = {**small.CONFIG["model"], "embedding_dim": 6}
    sign(copy, config=small.config(model=model).model_dump(mode="json"))
    assert "'embedding.weight' has shape" in refused(copy)
    assert "the configuration needs" in refused(copy)


def test_weights_that_are_no_safetensors_are_refused(copy: Path) -> None:
    file = copy / "model.safetensors"
    file.write_bytes(b"\x80\x04]")  # the start of a pickle
    sign(copy)
    assert refused(copy).startswith(f"{file}: not a valid safetensors file: ")


def test_a_device_that_is_not_there_is_refused(opened: Checkpoint) -> None:
    message = error(lambda: aesm2.load(opened.path, "cuda:9"))
    assert message.startswith("device 'cuda:9' is not there")


def test_a_moved_checkpoint_still_opens(tmp_path: Path, opened: Checkpoint) -> None:
    shutil.copytree(opened.path, tmp_path / "elsewhere")
    moved = aesm2.load(str(tmp_path / "elsewhere"), device="cpu")
    assert moved.hash == opened.hash
    assert moved.name == "run"
    assert moved.path == tmp_path / "elsewhere"
