"""What the fuzzing found, one test each: none of it comes back."""

import contextlib
import functools
import hashlib
import io
import json
import multiprocessing
import os
import select
import shutil
import signal
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from aesm2.checkpoint import load
from aesm2.config import parse, read_config
from aesm2.config.models import MLPConfig
from aesm2.data import room
from aesm2.data.dataset import Dataset
from aesm2.data.tables import read_table
from aesm2.errors import LONGEST, InputError, nearest
from aesm2.evidence import cells
from aesm2.evidence.folder import read_evidence
from aesm2.evidence.regimes import read_map
from aesm2.files import read_json, read_lines
from aesm2.lab.archive import pack, place_in, unpack
from aesm2.lab.queue import Lab
from aesm2.models import TooLarge, build
from aesm2.packing import pack as packed
from aesm2.report import read_report
from aesm2.routing.grouped import GROUPS, grouped_utilisation
from aesm2.routing.saturation import saturation
from aesm2.selfcheck import selfcheck
from aesm2.simulation.planted import read_structure, read_world
from aesm2.streaming import engines, summary_file
from aesm2.streaming.files import of_files
from aesm2.streaming.summary_file import RoutingFile
from aesm2.training.run import Run
from aesm2.workers import end_with_parent
from app.people import login, who
from app.people.settings import Role
from app.rows import upload
from tests import small
from tests.cli.conftest import Run as Command
from tests.fuzz import guard
from tests.fuzz.targets.models import forge
from tests.fuzz.targets.tables import rows
from tests.models import cases

EVIDENCE = Path(__file__).parents[2] / "checkpoints" / "evidence"
Refused = Callable[..., str]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return small.copy_checkpoint(tmp_path / "checkpoint")


def denied(function: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(InputError) as caught:
        function(*arguments)
    return str(caught.value)


def rewritten(folder: Path, **files: bytes) -> Path:
    """Replace files of a checkpoint and make its hashes say that all is well."""
    made = {name.replace("__", "."): content for name, content in files.items()}
    for name, content in made.items():
        (folder / name).write_bytes(content)
    manifest = json.loads((folder / "checkpoint.json").read_text())
    forge(folder, manifest, made)
    (folder / "checkpoint.json").write_text(json.dumps(manifest))
    return folder


# ---- what is said -----------------------------------------------------------------------------


def test_a_refusal_is_one_printable_line_whatever_it_quotes() -> None:
    said = str(InputError("a\nb\x1b[2J\u202e" + "x" * 5000 + " end"))
    assert said.startswith("a b\\x1b[2J\\u202exxx")
    assert said.endswith("xxx end")
    assert len(said) <= LONGEST
    assert said.isprintable()
    assert len(str(InputError("\x00" * 900))) <= LONGEST
    assert str(InputError("γ: “so”")) == "γ: “so”"


def test_long_words_are_not_compared_with_others() -> None:
    """Likeness takes the square of their lengths."""
    assert nearest("x" * 100_000, ["y" * 100_000]) == ""
    assert nearest("cuontry", ["country", "x" * 1000]) == " (did you mean 'country'?)"


@pytest.mark.parametrize("content", ["[" * 100_000, "9" * 5000, '{"a":' * 5000])
def test_deep_or_endless_json_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    assert "not valid JSON: " in denied(read_json, tmp_path / "a.json")
    (tmp_path / "a.json").write_text(content + "\n")
    assert "not valid JSON lines: " in denied(read_lines, tmp_path / "a.json")


@pytest.mark.parametrize("content", ["a = " + "9" * 5000, "a = " + "[" * 5000])
def test_deep_or_endless_toml_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.toml").write_text(content)
    assert "not valid TOML: " in denied(read_config, tmp_path / "a.toml")


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A pipe would wait for ever, a device never end."""
    os.mkfifo(tmp_path / "pipe.csv")
    os.mkfifo(tmp_path / "pipe.json")
    assert "no file" in denied(read_json, tmp_path / "pipe.json")
    assert "not a file" in denied(read_table, tmp_path / "pipe.csv")
    (tmp_path / "lines").mkdir()
    assert "no file" in denied(read_lines, tmp_path / "lines")
    assert "File name too long" in denied(read_table, tmp_path / ("x" * 300 + ".csv"))
    assert "File name too long" in denied(Dataset.open, tmp_path / ("x" * 300))


def test_a_delay_is_one_that_can_be_counted(tmp_path: Path) -> None:
    text = small.DESCRIPTION.replace("delay = 2\n", f"delay = {2**63}\n")
    assert text != small.DESCRIPTION
    (tmp_path / "dataset.toml").write_text(text)
    assert "history.0.delay" in denied(Dataset.open, tmp_path)


# ---- tables -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2,3\n4,5,6\n", "more values than the header"),  # 1 and 4 would name the rows
        ("\n\na;b\n0;2;3\n1;5;6\n", "more values than the header"),
        ("a,b,a\n1,2,3\n", "'a' is there twice"),  # pandas would call the last one a.1
        ("a,b\n1,\x002\n", "zero bytes"),
        (",".join(f"c{i}" for i in range(10_001)) + "\n", "10,001 columns"),
    ],
)
def test_a_csv_that_pandas_reads_otherwise_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert said in denied(read_table, tmp_path / "a.csv")


def test_a_parquet_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    pq.write_table(table, tmp_path / "a.parquet")
    assert "duplicate" in denied(read_table, tmp_path / "a.parquet")


def test_a_small_file_that_holds_a_huge_table_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, numbers = tmp_path / "texts.parquet", tmp_path / "numbers.parquet"
    pq.write_table(pa.table({"a": ["z" * 5_000] * 2_000}), texts)
    pq.write_table(pa.table({"a": np.zeros(1_000_000)}), numbers)
    assert texts.stat().st_size + numbers.stat().st_size < 200_000
    monkeypatch.setattr(room, "memory", lambda: 20_000_000)
    for file in (texts, numbers):
        assert "unpacks to 0.0 GB" in denied(read_table, file)
    monkeypatch.undo()
    assert read_table(texts)["a"].str.len().eq(5_000).all()


def test_a_damaged_footer_does_not_end_the_process(tmp_path: Path) -> None:
    """Asked for the metadata of such a column, pyarrow aborts: the whole server would end."""
    out = io.BytesIO()
    pq.write_table(pa.table({"user": [[1]] * 3}), out, store_schema=False)
    content = out.getvalue().replace(b"\x3c\x29\x26", b"\x3c\x29=")  # a histogram of 3, not of 2
    assert content != out.getvalue()

    def opened(_: Any, place: Path) -> None:
        (place / "a.parquet").write_bytes(content)
        read_table(place / "a.parquet")

    def uploaded(_: Any, __: Path) -> None:
        upload.read_rows("a.parquet", content)

    for case in (opened, uploaded):
        (found,) = guard.run("it", case, [0], 1, tmp_path)
        assert (found.outcome, "histogram" in found.said) == ("refused", True)


def test_texts_are_read_as_without_the_detour(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": ["x", None, "y", "x"], "b": [1, 2, 3, 4], "c": ["", "é", "x", None]})
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=2)
    pd.testing.assert_frame_equal(read_table(tmp_path / "a.parquet"), frame)


# ---- checkpoints ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/b", "", "README.md"])
def test_a_manifest_names_no_file_elsewhere(copy: Path, name: str) -> None:
    manifest = json.loads((copy / "checkpoint.json").read_text())
    (copy.parent / "outside").write_text("x")
    manifest["files"][name] = hashlib.sha256(b"x").hexdigest()
    forge(copy, manifest, {})
    (copy / "checkpoint.json").write_text(json.dumps(manifest))
    assert f"'{name}' is no name of a file" in denied(load, copy)


def edges(values: dict[str, Any]) -> None:
    values["edges"]["price"] = [3.0, 1.0, 2.0]


def twice(values: dict[str, Any]) -> None:
    values["categories"]["brand"] = ["0", "1", "1", "3"]


def beyond(values: dict[str, Any]) -> None:
    values["edges"]["price"] = [1, 10**400]


def kinds(values: dict[str, Any]) -> None:
    values["edges"]["price"] = ["1", "2"]


def fields(values: dict[str, Any]) -> None:
    values["categories"]["other"] = values["categories"].pop("brand")


@pytest.mark.parametrize("change", [edges, twice, beyond, kinds, fields])
def test_an_encoder_that_would_encode_wrongly_is_refused(
    copy: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    values = json.loads((copy / "encoder.json").read_text())
    change(values)
    rewritten(copy, encoder__json=json.dumps(values).encode())
    assert denied(load, copy).startswith(f"{copy / 'encoder.json'}: ")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(copy: Path, value: float) -> None:
    tensors = safetensors.torch.load((copy / small.WEIGHTS).read_bytes())
    tensors["embedding.weight"][3, 1] = value
    rewritten(copy, model__safetensors=safetensors.torch.save(tensors))
    assert "not finite" in denied(load, copy)


def test_weights_of_another_type_are_refused(copy: Path) -> None:
    tensors = safetensors.torch.load((copy / small.WEIGHTS).read_bytes())
    tensors["embedding.weight"] = tensors["embedding.weight"].to(torch.int64)
    rewritten(copy, model__safetensors=safetensors.torch.save(tensors))
    assert "torch.int64, not torch.float32" in denied(load, copy)


def test_a_model_that_would_not_fit_is_refused_before_it_is_made(copy: Path) -> None:
    manifest = json.loads((copy / "checkpoint.json").read_text())
    manifest["config"]["model"]["tower"] = [10**12]
    forge(copy, manifest, {})
    (copy / "checkpoint.json").write_text(json.dumps(manifest))
    assert "fewer weights than the configured model" in denied(load, copy)
    huge = parse(MLPConfig, {"hidden": [10**6, 10**6]}, "x")
    with pytest.raises(TooLarge, match="too many weights"):
        build(huge, cases.schema())


@pytest.mark.parametrize("name", ["evaluation.jsonl", "statistics.jsonl"])
@pytest.mark.parametrize("change", ["scenario", "n", "impressions", "country", "ctr"])
def test_tables_of_a_checkpoint_have_their_columns(copy: Path, name: str, change: str) -> None:
    lines = [json.loads(line) for line in (copy / name).read_text().splitlines()]
    if change not in lines[0]:
        return
    for other in ([], ...):
        lines[0][change] = other
        if other is ...:
            del lines[0][change]
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        rewritten(copy, **{name.replace(".", "__"): content})
        assert f"{name}: line 1: {change} is " in denied(load, copy)


def test_histories_that_do_not_fit_are_refused_when_read(copy: Path) -> None:
    line = json.loads((copy / "utilisation.jsonl").read_text().splitlines()[0])
    for changed in ({**line, "step": "1"}, {**line, "rows": "x"}, {**line, "layers": []}, {}):
        rewritten(copy, utilisation__jsonl=json.dumps(changed).encode() + b"\n")
        assert "utilisation.jsonl: line 1" in denied(load(copy).utilisation_history)
    rewritten(copy, history__jsonl=b"[1]\n")
    assert "every line must be an object" in denied(load(copy).history)


def test_reference_rows_that_do_not_fit_are_refused(copy: Path) -> None:
    whole = safetensors.torch.load((copy / "reference.safetensors").read_bytes())
    for key, value in (
        ("fields", whole["fields"] + 10_000),
        ("fields", whole["fields"][:, :2].contiguous()),
        ("scenarios", whole["scenarios"].float()),
        ("probability", whole["probability"][:1]),
        ("scenarios", whole["scenarios"][:1]),
    ):
        tensors = {**whole, key: value}
        rewritten(copy, reference__safetensors=safetensors.torch.save(tensors))
        assert "reference.safetensors: " in denied(selfcheck, load(copy))


def test_a_header_that_lies_is_refused(copy: Path) -> None:
    content = (copy / small.WEIGHTS).read_bytes()
    for size in (0, 2**31, 2**64 - 1):
        rewritten(copy, model__safetensors=struct.pack("<Q", size) + content[8:])
        assert "not a valid safetensors file" in denied(load, copy)


# ---- archives and reports ---------------------------------------------------------------------


def test_a_zip_whose_directory_points_before_its_begin_is_refused(tmp_path: Path) -> None:
    content = pack(small.run() / "checkpoint")
    made = content[:100] + content[2_000:]
    assert "damaged" in denied(unpack, made, tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []  # nor is the folder around it left
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        archive.writestr("report.json", b"{}")
        archive.writestr("other", bytes(4_000))
    damaged = into.getvalue()
    assert "ZIP" in denied(read_report, damaged[:200] + damaged[4_000:], "x.zip")


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "/etc/x", "..", "", ".x", "a\n"])
def test_a_name_that_somebody_types_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    assert "is no name for a checkpoint" in denied(place_in, tmp_path, name)
    assert place_in(tmp_path, "mine") == tmp_path / "mine"


# ---- runs -------------------------------------------------------------------------------------


def test_a_state_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    folder = small.copy_run(tmp_path / "run")
    tensors = safetensors.torch.load((folder / "state.safetensors").read_bytes())
    position = vars(Run(folder).position())
    key = next(key for key in tensors if key.endswith("exp_avg"))
    made = [
        ({**tensors, key: tensors[key][:1].clone()}, position, "does not fit"),
        ({**tensors, "optimizer.999.step": torch.zeros(())}, position, "of no weight"),
        ({**tensors, "meter.rows": torch.zeros(3)}, position, "does not fit"),
        (tensors, {**position, "step": "1"}, "which cannot be"),
        (tensors, {**position, "step": -1}, "before the beginning"),
        (tensors, {}, "not of this version"),
    ]
    for stored, where, said in made:
        content = safetensors.torch.save(stored, {"position": json.dumps(where)})
        (folder / "state.safetensors").write_bytes(content)
        assert said in denied(lambda: small.fit(folder, None, resume=True))


def test_best_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = small.copy_run(tmp_path / "run")
    whole = safetensors.torch.load((folder / "best.safetensors").read_bytes())
    name = next(iter(whole))
    for stored in ({name: whole[name]}, {**whole, name: whole[name] * float("nan")}):
        (folder / "best.safetensors").write_bytes(safetensors.torch.save(stored))
        assert "best.safetensors" in denied(lambda: small.fit(folder, None, resume=True))


def test_other_files_of_a_run_may_be_broken(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    job = lab.submit("one", small.dataset(), small.config(), "cpu")
    (job.folder / "outcome.json").write_text('{"code": "x", "said": []}')
    assert "not what a worker noted" in denied(job.outcome)
    (job.folder / "state.safetensors").mkdir()
    assert "not a state" in denied(job.position)
    assert saturation([{"step": "null"}, {}], ()).empty
    (job.folder / "history.jsonl").write_text('{"step": "x"}\n')
    assert "has no step" in denied(job.run.cut, 0)


def test_a_run_in_the_making_is_no_job(tmp_path: Path) -> None:
    """A worker would take it: its files are not all there."""
    lab = Lab(tmp_path)
    job = lab.submit("one", small.dataset(), small.config(), "cpu")
    shutil.copytree(job.folder, tmp_path / ".two.part")
    assert [own.name for own in lab.jobs()] == ["one"]


# ---- being stopped ----------------------------------------------------------------------------


def _works(told: int) -> None:
    end_with_parent()
    os.write(told, b"here")
    time.sleep(60)


def test_a_worker_ends_with_whoever_started_it() -> None:
    """Those of a pool would wait for work for ever."""
    reading, writing = os.pipe()
    leader = os.fork()
    if leader == 0:
        worker = multiprocessing.get_context("fork").Process(target=_works, args=(writing,))
        worker.start()
        worker.join()
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 4) == b"here"
    os.kill(leader, signal.SIGKILL)
    os.waitpid(leader, 0)
    assert select.select([reading], [], [], 20)[0], "the worker is still there"
    assert os.read(reading, 4) == b""  # its end is closed
    os.close(reading)


@pytest.mark.parametrize("settle", [engines._settle, cells._settle])
def test_processes_of_a_pool_end_with_it(
    settle: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, threads, asked = sys.modules[settle.__module__], torch.get_num_threads(), []
    monkeypatch.setattr(module, "end_with_parent", lambda: asked.append(1))
    monkeypatch.setattr(engines, "_WORK", [])
    before = signal.getsignal(signal.SIGINT)
    try:
        settle(*[None] * (settle is engines._settle), False)
    finally:
        signal.signal(signal.SIGINT, before)
        torch.set_num_threads(threads)
    assert asked == [1]


# ---- logs that are read part by part ----------------------------------------------------------

USER = ("user",)


def part_of(folder: Path, table: pa.Table, name: str = "a.parquet") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / name, store_schema=False)
    return str(folder)


def test_a_part_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([pa.array([1])] * 3, ["user", "x", "x"])
    assert "the column 'x' is there twice" in denied(of_files, part_of(tmp_path / "a", twice), USER)
    folder = part_of(tmp_path / "b" / "x=1" / "x=2", pa.table({"user": [1]}))
    assert "the column 'x' is there twice" in denied(of_files, folder + "/../..", USER)


def test_a_broken_note_of_pandas_is_passed_over(tmp_path: Path) -> None:
    table = pa.table({"user": [1, 2]}).replace_schema_metadata({b"pandas": b'{"\x1b'})
    pq.write_table(table, tmp_path / "a.parquet")
    (part,) = of_files(str(tmp_path), USER).parts
    assert [chunk["user"].tolist() for chunk in part.chunks(USER)] == [[1, 2]]
    assert read_table(tmp_path / "a.parquet")["user"].tolist() == [1, 2]


def test_what_is_no_file_is_no_part(tmp_path: Path) -> None:
    """A pipe would wait for ever."""
    folder = part_of(tmp_path / "log", pa.table({"user": [1]}))
    os.mkfifo(tmp_path / "log" / "b.parquet")
    assert "b.parquet: not a file, but a device" in denied(of_files, folder, USER)
    (tmp_path / "log" / "b.parquet").unlink()
    (tmp_path / "log" / "b.parquet").symlink_to(".")
    assert "b.parquet: not a file, but a folder" in denied(of_files, folder, USER)


def test_a_part_of_long_texts_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = part_of(tmp_path, pa.table({"user": ["z" * 5_000] * 2_000}))
    monkeypatch.setattr(room, "memory", lambda: 20_000_000)
    for most in (10_000, 1_500):
        (part,) = of_files(folder, USER, most).parts
        assert "a.parquet, row group 0: the table unpacks" in denied(list, part.chunks(USER))
    monkeypatch.undo()
    (chunk,) = of_files(folder, USER).parts[0].chunks(USER)
    assert chunk["user"].tolist() == ["z" * 5_000] * 2_000


@pytest.mark.parametrize("name", ["user", "country"])
@pytest.mark.parametrize("value", [[1], {"a": 1}])
def test_a_column_of_lists_is_refused(name: str, value: object) -> None:
    opened, frame = load(small.run() / "checkpoint", "cpu"), rows().head(3)
    frame = frame.assign(**{name: pd.Series([value] * 3, dtype=object)})
    said = denied(lambda: opened.encode(frame, labels=True))
    assert f"'{name}' holds lists or the like" in said


# ---- routing summaries ------------------------------------------------------------------------


@functools.cache
def counted() -> RoutingFile:
    opened = load(small.run() / "checkpoint", "cpu")
    frame = Dataset.open(small.dataset()).split("test")
    groups = np.arange(len(frame)) % GROUPS
    summary = grouped_utilisation(opened.model, opened.encode(frame), groups)
    return summary_file.of(opened, summary, "Monday", "shop", None, 1)


def sealed(change: Callable[[dict[str, Any], dict[str, np.ndarray]], Any]) -> bytes:
    """A summary with its head or arrays changed, and a hash that says that all is well."""
    arrays = {name: values.copy() for name, values in counted().summary.arrays().items()}
    told = {"kind": summary_file.KIND, "format": 1, **vars(counted().about)}
    change(told, arrays)
    told["digest"] = summary_file._digest(told, arrays)
    return packed(arrays, {"aesm2": json.dumps(told)})


def not_a_summary(content: bytes) -> str:
    return denied(summary_file.parse, content, load(small.run() / "checkpoint", "cpu"), "x")


def test_a_head_says_what_a_summary_is_of() -> None:
    for change in (
        lambda told, _: told.pop("rows"),
        lambda told, _: told.update(hash=1),
        lambda told, _: told.update(rows=True),
        lambda told, _: told.update(rows=40.0),
        lambda told, _: told.update(block="[x]"),
        lambda told, _: told.update(block=-1),
        lambda told, _: told.update(cluster=[1]),
        lambda told, _: told.update(more=[[[[]]]]),
    ):
        assert "does not say what a summary is of" in not_a_summary(sealed(change))
    assert "contradict" in not_a_summary(sealed(lambda told, _: told.update(rows=10**400)))
    long = not_a_summary(sealed(lambda told, _: told.update(source="x" * 2**21)))
    assert "no routing summary" in long
    content = sealed(lambda told, _: told.update(source="a\x1b[2J\n" + "x" * 5_000))
    read = summary_file.parse(content, load(small.run() / "checkpoint", "cpu"), "x")
    assert read.about.source.isprintable() and len(read.about.source) <= LONGEST


def test_a_deep_head_is_no_summary(tmp_path: Path) -> None:
    """The Atlas looks at the head of every file in a folder."""
    for told in ("[" * 100_000, '{"kind": ' * 5_000):
        (tmp_path / "x.routing").write_bytes(packed({"x": np.zeros(1)}, {"aesm2": told}))
        assert summary_file.about(tmp_path / "x.routing") is None
        assert "no routing summary" in not_a_summary((tmp_path / "x.routing").read_bytes())
    os.mkfifo(tmp_path / "pipe.routing")
    assert summary_file.about(tmp_path / "pipe.routing") is None
    opened = load(small.run() / "checkpoint", "cpu")
    assert "no file" in denied(summary_file.read, tmp_path / "pipe.routing", opened)
    (tmp_path / "zero.routing").symlink_to("/dev/zero")
    assert "no file" in denied(summary_file.read, tmp_path / "zero.routing", opened)


def test_counts_are_whole_numbers_that_could_be_some() -> None:
    for kind in (np.float64, np.float32, np.uint64, np.int16):
        changed = sealed(lambda _, a, kind=kind: a.update(rows=a["rows"].astype(kind)))
        assert "no whole numbers" in not_a_summary(changed)

    def moved(_: Any, arrays: dict[str, np.ndarray]) -> None:
        one = arrays["specific.0"][arrays["rows"][:, None] > 0][0]  # of experts: more than rows
        one[:] = [2 * one.sum(), -one.sum(), 0, 0, 0]
        arrays["specific.0"][arrays["rows"][:, None] > 0] = one

    for change in (
        moved,
        lambda _, a: a["weight.0"].__imul__(2),  # weights that add up to 2
        lambda _, a: a["weight.0"].__imul__(0),
    ):
        assert "contradict each other" in not_a_summary(sealed(change))


def test_sums_of_counts_do_not_wrap() -> None:
    """Four times 2⁶² is 0 in 64 bits."""

    def wrapped(_: Any, arrays: dict[str, np.ndarray]) -> None:
        arrays["rows"].reshape(-1)[: 4 * arrays["rows"].shape[1]] += 2**62

    assert "too many rows" in not_a_summary(sealed(wrapped))
    own = counted().summary
    layers = tuple(replace(layer, weight=layer.weight + 2**58) for layer in own.layers)
    assert "too many rows" in denied(replace(own, layers=layers).total)


# ---- evidence and simulations -----------------------------------------------------------------


@pytest.mark.parametrize("path", ["rows", "study.seeds", "tables.runs.commit", "dataset.title"])
def test_a_manifest_of_evidence_has_what_is_read(tmp_path: Path, path: str) -> None:
    shutil.copytree(EVIDENCE / "kuairand", tmp_path / "e")
    values = json.loads((tmp_path / "e" / "evidence.json").read_text())
    *parents, last = path.split(".")
    holder = values
    for key in parents:
        holder = holder[key]
    holder[last] = [None]
    (tmp_path / "e" / "evidence.json").write_text(json.dumps(values))
    assert f"evidence.json: {path}" in denied(read_evidence, tmp_path / "e")


def test_tables_of_evidence_have_their_columns(tmp_path: Path) -> None:
    for name, table, read in (
        ("kuairand", "runs", read_evidence),
        ("regimes", "regimes", read_map),
    ):
        folder = shutil.copytree(EVIDENCE / name, tmp_path / name)
        frame = pd.read_parquet(folder / f"{table}.parquet")
        frame.drop(columns="variant").to_parquet(folder / f"{table}.parquet")
        assert "lacks the column 'variant'" in denied(read, folder)
        frame.assign(truth_auc="x").to_parquet(folder / f"{table}.parquet")
        assert "'truth_auc' holds" in denied(read, folder)


def test_a_truth_that_is_none_is_refused(tmp_path: Path) -> None:
    for value in ([], {}, {"preset": {}, "seed": -1, "distance": [], "paths": []}):
        (tmp_path / "truth.json").write_text(json.dumps(value))
        assert "truth.json: " in denied(read_structure, tmp_path)
    value = {"preset": {"x": 1}, "seed": 1, "distance": [[0.0]], "paths": [["a"]]}
    (tmp_path / "truth.json").write_text(json.dumps(value))
    assert "preset: " in denied(read_world, tmp_path)
    (tmp_path / "truth.json").write_text(json.dumps(value | {"paths": []}))
    assert "distance" in denied(read_structure, tmp_path)


# ---- people -----------------------------------------------------------------------------------

ANN = {"is_logged_in": True, "iss": "https://id", "sub": "1", "email": "ann@shop.example"}


@pytest.fixture
def coming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., who.Person]:
    """Come to the app: coming(sub="2"); None takes a claim away."""
    file = tmp_path / "serving.toml"
    file.write_text('[people]\nanalysts = ["*@shop.example", "k@*"]\nviewers = []\n')
    monkeypatch.setenv("AESM2_SERVING", str(file))

    def come(**changes: Any) -> who.Person:
        claims = {name: own for name, own in (ANN | changes).items() if own is not None}
        monkeypatch.setattr(who, "_claims", lambda: claims)
        return who.person()

    return come


@pytest.mark.parametrize(
    "changes",
    [
        {"email_verified": "false"},
        {"email_verified": 0},
        {"email_verified": []},
        {"email": "eve@evil.example\n@shop.example"},
        {"email": "eve@evil.example,ann@shop.example"},
        {"email": "x" * 100_000 + "@shop.example"},
        {"email": "\u212a@evil.example"},  # the Kelvin sign, of which k is the lower case
        {"sub": None},
        {"sub": ""},
        {"sub": 1},
        {"iss": None},
        {"iss": "https://id|1"},  # with sub 1 the same as "https://id" with "1|1"
    ],
)
def test_an_odd_claim_gives_nobody_a_role(
    coming: Callable[..., who.Person], changes: dict[str, Any]
) -> None:
    assert coming().role is Role.ANALYST
    assert coming(email_verified="True").role is Role.ANALYST
    assert coming(**changes).role is None


def test_whoever_a_provider_names_is_one_person_of_few_words(
    coming: Callable[..., who.Person],
) -> None:
    subjects = ("1", "2", "1|1", "../x", "\ud800", "\udfff", "x" * 1_000_000)
    people = [coming(sub=subject) for subject in subjects]
    assert len({own.id for own in people}) == len(subjects)
    assert all(len(own.id) == 16 and own.id.isalnum() for own in people)
    assert coming(name="a\x1b[2J\n").name == "a\\x1b[2J"
    assert coming(name="x" * 10_000).name == "x" * 79 + "…"
    assert coming(name=["x"]).name == "ann@shop.example"


def test_a_name_is_no_markdown(
    coming: Callable[..., who.Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    for part in ("caption", "button"):
        monkeypatch.setattr(login.st, part, lambda *_, **__: None)
    monkeypatch.setattr(
        login.st, "popover", lambda name, **_: shown.append(name) or contextlib.nullcontext()
    )
    coming(name="![x](//evil)")
    login.badge()
    assert shown == [r"!\[x\](//evil)"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * 5_000, "nested too deeply"),
        ("[quotas]\nruns = " + "9" * 5_000, "not valid TOML"),
        ("[quotas]\nruns = true", "quotas.runs: input should be a valid integer"),
        ('[quotas]\nminutes = "5"', "quotas.minutes: input should be a valid number"),
        ('[people]\nanalysts = [""]', "people.analysts.0"),  # it would fit who has no address
        ("#" * (17 << 20), "larger than"),
    ],
)
def test_settings_that_are_none_let_nobody_in(
    coming: Callable[..., who.Person], tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "serving.toml").write_text(text)
    assert said in denied(coming)


def test_settings_are_a_file(coming: Callable[..., who.Person], tmp_path: Path) -> None:
    for make in (Path.mkdir, os.mkfifo):
        (tmp_path / "serving.toml").unlink(missing_ok=True)
        make(tmp_path / "serving.toml")
        assert "it is no file" in denied(coming)
        (tmp_path / "serving.toml").rename(tmp_path / f"was-{make.__name__}")


# ---- the command line -------------------------------------------------------------------------


def test_a_name_that_is_no_utf8_is_written_or_refused_in_one_line(
    aesm2_command: Command, tmp_path: Path
) -> None:
    rows = Dataset.open(small.dataset()).split("test").head(5)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    out = tmp_path / os.fsdecode(b"caf\xe9.parquet")
    found = aesm2_command(
        "trace", small.run() / "checkpoint", tmp_path / "rows.csv", "--out", out, "--device", "cpu"
    )
    assert found.status == 0
    with out.open("rb") as file:
        assert pq.read_table(file).num_rows > 0
    told = aesm2_command("evaluate", small.run() / "checkpoint", out, "--device", "cpu")
    assert (told.status, told.err.count("\n")) == (2, 1)


def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    refused: Refused, tmp_path: Path
) -> None:
    for out, said in ((tmp_path, "is a folder"), (tmp_path / "no" / "x", "there is no folder")):
        assert said in refused("export", small.run() / "checkpoint", out)


@pytest.mark.parametrize("command", ["utilisation", "knockout", "drift"])
def test_nor_is_a_log_worked_through_for_such_a_file(
    refused: Refused, tmp_path: Path, command: str
) -> None:
    rows = ["no such log"] * (2 if command == "drift" else 1)
    for out, said in ((tmp_path, "is a folder"), (tmp_path / "no" / "x", "there is no folder")):
        assert said in refused(command, small.run() / "checkpoint", *rows, "--out", out)


def test_drift_that_cannot_be_written_says_that_alone(
    aesm2_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("aesm2.cli.streaming.write_atomically", full)
    rows = f"{small.dataset()}:test"
    told = aesm2_command("drift", small.run() / "checkpoint", rows, rows, "--replicates", "100",
                         "--out", tmp_path / "x", "--device", "cpu")  # fmt: skip
    *_progress, said = told.err.split("\r")
    assert (told.status, said.count("\n")) == (2, 1)
    assert "cannot be written: No space left" in said
    assert told.out.startswith("layer,")  # what was found is not lost


def test_a_folder_whose_plan_was_cut_off_by_a_kill_is_begun_anew(
    aesm2_command: Command, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "._plan.json.999999999.part").write_text('{"for')
    command = ("predict", small.run() / "checkpoint", small.dataset(), "--out", out)
    assert aesm2_command(*command, "--device", "cpu").status == 0
    names = sorted(own.name for own in out.iterdir())
    assert names == ["_done.json", "_plan.json", "part-000000.parquet"]


def test_an_output_that_lost_a_part_is_not_complete(
    aesm2_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    command = ("predict", small.run() / "checkpoint", small.dataset(), "--out", out)
    assert aesm2_command(*command, "--device", "cpu").status == 0
    (out / "part-000000.parquet").unlink()

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("aesm2.streaming.outputs.probabilities", stopped)
        assert aesm2_command(*command, "--device", "cpu", "--resume").status == 130
    assert [own.name for own in out.iterdir()] == ["_plan.json"]
    assert aesm2_command(*command, "--device", "cpu", "--resume").status == 0


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: …")]
)
def test_a_full_memory_is_one_line(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("aesm2.cli.models.load", fails)
    assert "out of memory" in refused("info", small.run() / "checkpoint")
