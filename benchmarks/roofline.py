"""The share of this processor's own floor that training and prediction reach.

python -m benchmarks.roofline [--rows 4096] [--rounds 9]

The floor is what `benchmarks.floor` says, from matrix products and copies measured just before.
"""

import sys

from benchmarks import gpu


def main(arguments: list[str] | None = None) -> None:
    given = sys.argv[1:] if arguments is None else arguments
    gpu.main(["--device", "cpu", "--rows", "4096", "--threads", "1", *given])


if __name__ == "__main__":
    main()
