"""What the catalogue says of an equation, and of a table or figure."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["table", "figure"]
Status = Literal["reproduced", "other data", "drawing", "quoted"]
STATUSES: dict[Status, str] = {
    "reproduced": "a command here makes it",
    "other data": "a command here makes the same from other data",
    "drawing": "explains, and holds no result; what it draws is built here",
    "quoted": "cannot be made again; the paper's own figures are shown",
}


@dataclass(frozen=True)
class Equation:
    """An equation of the paper.

    latex: ours, in the paper's symbols. sentence: what it says. code: what implements it, as
    "module:name". tests: files that hold it. departure: what differs here, "" for nothing.
    """

    number: int
    section: str
    title: str
    latex: str
    sentence: str
    code: tuple[str, ...]
    tests: tuple[str, ...]
    departure: str = ""

    @property
    def name(self) -> str:
        """Return what it is called, e.g. "Eq. 11"."""
        return f"Eq. {self.number}"


@dataclass(frozen=True)
class Exhibit:
    """A table or figure of the paper.

    shows: what the paper shows. here: what there is of it here, and why not more. commands: make
    it, one after the other. page: file of the app's page that shows it, and its title.
    code: what computes or draws it, as "module:name".
    """

    kind: Kind
    number: int
    section: str
    title: str
    shows: str
    status: Status
    here: str
    commands: tuple[str, ...]
    page: tuple[str, str]
    code: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return what it is called, e.g. "Table 3"."""
        return f"{self.kind.capitalize()} {self.number}"
