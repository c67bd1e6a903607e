"""What stands in deploy/: the container's steps hold together, headers, licences, health."""

import base64
import configparser
import fnmatch
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path

import pytest
import streamlit

from app import health
from benchmarks.client import Visitor
from benchmarks.served import served
from deploy import check, dependencies
from deploy.dependencies import Verdict

ROOT = Path(__file__).parents[2]
NGINX = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
UID = 10001


def steps() -> list[tuple[str, str]]:
    """The instructions of the Containerfile: word and rest, continued lines joined."""
    text = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def environment() -> dict[str, str]:
    parts = [part for word, rest in steps() if word == "ENV" for part in shlex.split(rest)]
    return dict(part.split("=", 1) for part in parts)


def copied() -> list[str]:
    return [source for word, rest in steps() if word == "COPY" for source in rest.split()[:-1]]


def ignored(path: str) -> bool:
    """Whether .dockerignore leaves a path of the top level out: the last line that fits decides."""
    out = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.strip().removeprefix("!")
        if pattern and not line.startswith("#"):
            below = path.startswith(f"{pattern}/")
            if below or fnmatch.fnmatchcase(path, pattern.removeprefix("**/")):
                out = not line.startswith("!")
    return out


def test_the_container_copies_what_is_there_and_not_left_out() -> None:
    assert {"aesm2", "app", "checkpoints", "requirements.txt"} <= set(copied())
    for source in copied():
        assert (ROOT / source).exists(), source
        assert not ignored(source), source
    for secret in (".streamlit/secrets.toml", ".git", "tests", "runs", "data"):
        assert ignored(secret), secret


def test_the_container_starts_as_nobody_in_particular_and_in_demo_mode() -> None:
    found = dict(steps())
    assert found["USER"] == f"{UID}:{UID}"
    assert f"--uid {UID}" in next(rest for word, rest in steps() if "useradd" in rest)
    assert "/_stcore/health" in found["HEALTHCHECK"]
    own = environment()
    assert own["AESM2_DEMO"] == "1"
    written = [own[name] for name in ("HOME", "AESM2_LAB", "AESM2_DATA", "AESM2_CHECKPOINTS")]
    assert all(path == "/data" or path.startswith("/data/") for path in written)
    last_copy = max(i for i, (word, _) in enumerate(steps()) if word == "COPY")
    user = next(i for i, (word, _) in enumerate(steps()) if word == "USER")
    assert user > last_copy, "the source must not belong to whoever runs it"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that another user can read; those of pytest are closed."""
    with tempfile.TemporaryDirectory(prefix="aesm2-container-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        if os.geteuid() != 0:  # root removes what is read-only as well
            subprocess.run(["chmod", "-R", "u+w", folder], check=True)


@pytest.mark.long
def test_its_steps_serve_the_demo_from_a_source_that_nobody_may_write(place: Path) -> None:
    """The COPY, ENV, USER and CMD of the container, in a folder instead of an image."""
    source, data = place / "source", place / "data"
    data.mkdir()
    if os.geteuid() == 0:
        shutil.chown(data, UID, UID)
    for name in copied():
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    subprocess.run(["chmod", "-R", "a=rX", str(source)], check=True)
    own = {name: value.replace("/data", str(data)) for name, value in environment().items()}
    own |= {"PYTHONPATH": str(source), "STREAMLIT_SERVER_ADDRESS": "127.0.0.1"}
    own.pop("STREAMLIT_SERVER_PORT")
    become = ("setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups")
    user = become if os.geteuid() == 0 else ()  # only root can become another user
    with served(more=own, where=source, before=user) as server, Visitor(server.url) as visitor:
        uid = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
        assert re.search(rf"Uid:\s+{UID if user else os.geteuid()}\s", uid)
        visitor.open("")
        assert len(visitor.shown.charts) >= 2
        assert visitor.shown.errors == []
        visitor.open("lab")
        assert "As a viewer you may not train" in visitor.shown.said[0]
        assert health.main([server.url]) == 0


def test_the_policy_allows_the_inline_script_of_this_streamlit_by_its_hash() -> None:
    page = Path(streamlit.__file__).parent / "static" / "index.html"
    inline = re.findall(r"<script(?![^>]*\ssrc)[^>]*>(.*?)</script>", page.read_text("utf-8"), re.S)
    assert inline
    for script in inline:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in NGINX
    assert "unsafe-eval'" not in NGINX.replace("'wasm-unsafe-eval'", "")


def test_the_proxy_takes_what_the_app_takes_and_no_more() -> None:
    settings = (ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8")
    largest = int(re.search(r"maxUploadSize = (\d+)", settings).group(1))
    assert f"client_max_body_size {largest + 1}m" in NGINX
    assert f"at most {largest} MB" in NGINX
    for closed in ("/_stcore/metrics", "/_stcore/agent/"):
        assert re.search(rf"location =? ?{re.escape(closed)}\s+{{ return 404; }}", NGINX)


def test_the_check_of_the_proxy_opens_every_page() -> None:
    views = {file.stem for file in (ROOT / "app" / "views").glob("*.py")} - {"__init__", "home"}
    assert sorted(check.PAGES) == sorted({"", *views})


def test_every_address_of_the_app_goes_to_the_process_that_holds_the_session() -> None:
    assert set(re.findall(r"proxy_pass\s+(\S+);", NGINX)) == {"http://aesm2"}
    assert "hash $aesm2_visitor consistent;" in NGINX
    locations = re.findall(r"location [^{]+\{[^}]*\}", NGINX)
    assert not [own for own in locations if "add_header" in own], "it would drop all the others"


def test_the_service_starts_the_app_where_it_may_write() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(ROOT / "deploy" / "aesm2@.service", encoding="utf-8")
    own = unit["Service"]
    *_, script, flag, port = own["ExecStart"].split()
    assert (ROOT / script).is_file()
    assert (flag, port) == ("--server.port", "%i")
    text = (ROOT / "deploy" / "aesm2@.service").read_text(encoding="utf-8")
    written = re.findall(r"^Environment=AESM2_(?:LAB|DATA|CHECKPOINTS)=(\S+)$", text, re.M)
    assert len(written) == 3
    assert all(path.startswith(f"{own['ReadWritePaths']}/") for path in written)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_app_works_behind_the_proxy() -> None:
    if shutil.which("nginx") is None:
        pytest.fail("this test needs nginx: apt-get install nginx-light")
    done = subprocess.run(
        [sys.executable, "-m", "deploy.check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("licence", "verdict"),
    [
        ("MIT", Verdict.FREE),
        ("BSD-3-Clause AND 0BSD AND Zlib AND CC0-1.0", Verdict.FREE),
        ("Apache-2.0 WITH LLVM-exception", Verdict.FREE),
        ("MPL-2.0 AND MIT", Verdict.WEAK),
        ("GNU Lesser General Public License v3 (LGPLv3)", Verdict.WEAK),
        ("GPL-3.0-only", Verdict.STRONG),
        ("AGPL-3.0-or-later", Verdict.STRONG),
        ("GPL-2.0-only OR MIT", Verdict.FREE),
        ("MIT AND GPL-2.0-only", Verdict.STRONG),
        ("LicenseRef-NVIDIA-Proprietary", Verdict.VENDOR),
        ("Own words", Verdict.UNKNOWN),
        ("", Verdict.UNKNOWN),
    ],
)
def test_a_licence_is_judged(licence: str, verdict: Verdict) -> None:
    assert dependencies.judged(licence) is verdict


def test_every_package_that_the_app_installs_is_listed_and_allowed() -> None:
    found = {own.name.lower(): own for own in dependencies.packages(ROOT / "requirements.txt")}
    assert {"streamlit", "torch", "starlette", "numpy", "tqdm"} <= set(found)
    assert found["numpy"].version == distribution("numpy").version
    assert [own for own in found.values() if not own.verdict.allowed] == []


def test_a_package_that_is_missing_fails_the_check(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("# words\n-e .\nno-such-package==1.0\n", encoding="utf-8")
    (own,) = dependencies.packages(file)
    assert own.version == "not installed"
    assert not own.verdict.allowed


@pytest.fixture
def answering() -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers whatever stands in the list."""
    said = [b"ok"]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(said[0])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", said
    server.shutdown()
    server.server_close()
    thread.join()


def test_health_asks_the_server(
    answering: tuple[str, list[bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    url, said = answering
    assert health.main([url, "--no-checkpoint"]) == 0
    said[0] = b"<html>"
    assert health.main([url, "--no-checkpoint"]) == 1
    assert "not ok" in capsys.readouterr().err
    assert health.main(["http://127.0.0.1:9", "--no-checkpoint"]) == 1


def test_health_opens_the_checkpoints(small_checkpoints: Path) -> None:
    assert health.checkpoint_problems(small_checkpoints) == []
    weights = small_checkpoints / "checkpoints" / "shop" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    (problem,) = health.checkpoint_problems(small_checkpoints)
    assert "model.safetensors" in problem
    assert "no checkpoint" in health.checkpoint_problems(small_checkpoints / "none")[0]


@pytest.fixture
def small_checkpoints(tmp_path: Path) -> Path:
    from tests import small

    shutil.copytree(small.run() / "checkpoint", tmp_path / "checkpoints" / "shop")
    return tmp_path
