"""Measurements: each script prints its table, with the machine and the commit. See README.md."""
