"""Whether the app is ready: `python -m app.health [URL] [--no-checkpoint]`.

Asks the server whether it runs, and opens every shipped checkpoint, which verifies its files. Exit
status 0 if all is well, else 1 with a line for each thing that is not. For a check every few
seconds ask URL/_stcore/health alone; this one loads the library.
"""

import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECONDS = 5


def server_problem(url: str) -> str:
    """Return what is wrong with the server, "" if it answers."""
    health = f"{url.rstrip('/')}/_stcore/health"
    try:
        with urllib.request.urlopen(health, timeout=SECONDS) as answer:
            said = answer.read(64)
    except (urllib.error.URLError, OSError, ValueError) as error:
        return f"{health}: {getattr(error, 'reason', error)}"
    return "" if said == b"ok" else f"{health}: answered {said!r}, not ok"


def checkpoint_problems(root: Path = ROOT) -> list[str]:
    """Open every checkpoint of a folder; return what is wrong."""
    import aesm2
    from aesm2.errors import InputError

    folders = sorted(file.parent for file in root.glob("checkpoints/*/checkpoint.json"))
    problems = [] if folders else [f"{root / 'checkpoints'}: no checkpoint"]
    for folder in folders:
        try:
            aesm2.load(folder, "cpu")
        except (InputError, OSError) as error:
            problems.append(str(error))
    return problems


def main(arguments: Sequence[str]) -> int:
    """Check, tell what is wrong, and return the exit status."""
    urls = [own for own in arguments if not own.startswith("-")] or ["http://127.0.0.1:8501"]
    problems = [problem for url in urls if (problem := server_problem(url))]
    if "--no-checkpoint" not in arguments:
        problems += checkpoint_problems()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
