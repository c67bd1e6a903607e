"""`python -m tests.fuzz --cases 10000 --seed 1`: hostile input by the thousand.

Cases are spread evenly over the targets; case N of a target is the same on any machine. A line a
target says what became of them; failures are printed whole, with the command that runs them again.
"""

import argparse
import collections
import sys
import tempfile
import time
from pathlib import Path

import torch

from tests.fuzz import guard, run, targets


def main() -> int:
    """Run what the arguments ask for; 1 where a case went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000, help="in all, spread over the targets")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help=f"comma-separated: {', '.join(targets.ALL)}")
    parser.add_argument("--first", type=int, default=0, help="number of the first case of a target")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=guard.SECONDS, help="a case may take")
    parser.add_argument("--case", default="", help="one case again, in full: TARGET:NUMBER")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.case:
        target, number = given.case.rsplit(":", 1)
        return _show(target, int(number), given.seed)
    names = [name for name in given.only.split(",") if name] or list(targets.ALL)
    unknown = sorted(set(names) - set(targets.ALL))
    if unknown:
        parser.error(f"no target {unknown[0]!r}; there are {', '.join(targets.ALL)}")
    each = -(-given.cases // len(names))
    parts = [run.Part(name, given.first, each, given.seed, given.seconds) for name in names]
    started, bad = time.monotonic(), 0
    print(f"{'target':<14} {'cases':>6} {'accepted':>9} {'refused':>8} {'failed':>7} {'s':>7}")
    for name, results in run.everything(parts, given.jobs):
        bad += _told(name, results, given.seed)
    print(f"{each * len(names):,} cases, seed {given.seed}, {time.monotonic() - started:.0f} s: "
          f"{bad} failed")  # fmt: skip
    return int(bad > 0)


def _told(name: str, results: list[guard.Result], seed: int) -> int:
    counts = collections.Counter(result.outcome for result in results)
    bad = [result for result in results if not result.good]
    seconds = sum(result.seconds for result in results)
    print(
        f"{name:<14} {len(results):>6} {counts['accepted']:>9} {counts['refused']:>8}"
        f" {len(bad):>7} {seconds:>7.1f}"
    )
    alike: collections.Counter[str] = collections.Counter()
    for result in bad:
        last = (result.said.strip().splitlines() or [""])[-1][:60]
        alike[last] += 1
        if alike[last] > 2:
            continue
        print(f"  {result.outcome}: python -m tests.fuzz --seed {seed} --case"
              f" {name}:{result.number}")  # fmt: skip
        print("    " + "; ".join(result.notes)[:300])
        print("    " + "\n    ".join(line[:300] for line in result.said.strip().splitlines()[-8:]))
    for last, count in alike.items():
        if count > 2:
            print(f"  and {count - 2} more that end so: {last}")
    sys.stdout.flush()
    return len(bad)


def _show(target: str, number: int, seed: int) -> int:
    case = targets.ALL[target]()
    with tempfile.TemporaryDirectory(prefix="aesm2-fuzz-") as folder:
        (result,) = guard.run(target, case, [number], seed, Path(folder))
    print(f"{target}:{number}, seed {seed}: {result.outcome}, {result.seconds} s")
    print("\n".join(f"- {note}" for note in result.notes))
    print(result.said)
    return int(not result.good)


if __name__ == "__main__":
    sys.exit(main())
