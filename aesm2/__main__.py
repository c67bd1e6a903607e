"""`python -m aesm2`, which is what `torchrun -m -- aesm2` starts."""

from aesm2.cli import main

if __name__ == "__main__":
    main()
