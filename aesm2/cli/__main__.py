"""`python -m aesm2.cli`."""

from aesm2.cli import main

main()
