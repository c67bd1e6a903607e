"""Where a number was measured."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

PACKAGES = ("torch", "numpy", "pandas")


def place() -> dict[str, str]:
    """Name the processor, the versions and the commit, so that a number can be placed."""
    return {
        "machine": f"{_processor()}, {torch.get_num_threads()} torch thread(s)",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "commit": commit(),
    }


def commit() -> str:
    """Short hash of this code's commit, with "+" where tracked files differ from it."""
    try:
        short = _git("rev-parse", "--short", "HEAD")
        return short + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    root = Path(__file__).resolve().parent.parent
    return subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()
