"""A server for benchmarks, in a process of its own, and what that process uses."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import ROOT

TICKS = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """What a process uses at a moment. cpu: seconds so far. memory: resident MB."""

    cpu: float
    memory: float
    threads: int
    handles: int


class Served(NamedTuple):
    """A server that runs. log: what it writes, for as long as it runs."""

    url: str
    pid: int
    log: Path | None = None

    def usage(self) -> Usage:
        """Read what the process uses; Linux only."""
        place = Path(f"/proc/{self.pid}")
        fields = (place / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / TICKS
        pages = int((place / "statm").read_text(encoding="ascii").split()[1])
        memory = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        return Usage(cpu, memory, int(fields[17]), len(list((place / "fd").iterdir())))

    def problems(self) -> list[str]:
        """Lines of the app's log about errors that nobody expected, oldest first."""
        lines = (
            self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log else []
        )
        return [line for line in lines if " ERROR " in line]


@contextlib.contextmanager
def served(
    *options: str,
    script: str = "app/main.py",
    more: Mapping[str, str] | None = None,
    where: Path = ROOT,
    before: Sequence[str] = (),
) -> Iterator[Served]:
    """Serve a Streamlit script, by default the app with a lab of its own, until the block ends.

    options: of Streamlit. more: of its environment. where: the folder it starts in. before: a
    command that starts what it is given, as somebody else for one.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *before,
        sys.executable,
        "-m",
        "streamlit",
        "run",
        script,
        "--server.port",
        str(port),
    ]
    with tempfile.TemporaryDirectory(prefix="aesm2-served-") as home:
        own = {"AESM2_LAB": f"{home}/lab", "AESM2_DATA": f"{home}/data"}
        log = Path(home) / "server.log"
        with log.open("wb") as written, subprocess.Popen(
            [*command, *options], cwd=where, env=os.environ | own | dict(more or {}),
            stdout=written, stderr=written,
        ) as server:  # fmt: skip
            try:
                url = f"http://127.0.0.1:{port}"
                _wait(url, server)
                yield Served(url, server.pid, log)
            finally:
                server.terminate()


def _wait(url: str, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=1).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError("the server did not start")
