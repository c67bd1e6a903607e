"""What is random in a case, and what was done to its input, in words."""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Wrong(Exception):
    """A case that was accepted or refused, but not as it should be."""


class Dice(random.Random):
    """A generator that notes what it was used for."""

    def __init__(self, seed: int, target: str, number: int) -> None:
        super().__init__(f"{seed}:{target}:{number}")  # text is hashed: the same on any machine
        self.notes: list[str] = []

    def note(self, what: str) -> None:
        """Remember a mutation, for whoever reads of a failure."""
        self.notes.append(what)

    def one(self, options: Sequence[T]) -> T:
        """Draw one of some options."""
        return options[self.randrange(len(options))]

    def some(self, most: int) -> int:
        """Draw how often: 1 mostly, seldom up to `most`."""
        return min(most, 1 + int(self.expovariate(1)))
