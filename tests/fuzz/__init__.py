"""Hostile input by the thousand: seeded mutations of valid files, names and texts.

`python -m tests.fuzz --cases 10000 --seed 1` runs them, `--case checkpoints:4711` one again, and
`python -m tests.fuzz.kills` kills every command that writes. docs/reliability.md tells the rest.
"""
