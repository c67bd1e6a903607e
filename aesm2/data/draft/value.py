"""A description in the making: what was seen in a table, and a role for each of its columns."""

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
import pandas as pd

from aesm2.data.draft.profile import Looked, Profile
from aesm2.errors import InputError

Role = Literal["feature", "label", "level", "split", "ignored"]
Kind = Literal["categorical", "numeric"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Column:
    """A column, and what it is to be.

    kind, group: as a feature. reason: why this role; "" where it goes without saying. after: seems
    known only after the impression, so that while it is ignored no feature may read it.
    """

    name: str
    profile: Profile
    role: Role
    kind: Kind
    group: str
    reason: str = ""
    after: bool = False


@dataclass(frozen=True)
class Draft:
    """A description in the making; `dataclasses.replace` changes it.

    The scenarios of a level, what a task follows and the bounds of the split are not held here:
    they follow from the roles and the rows. table: where the rows are, relative to the description.
    key: the column whose rows stay together where the split is random. value: the column with what
    a positive of the last task is worth. provenance: "public", "simulated" or "private".
    """

    name: str
    title: str
    licence: str
    provenance: str
    table: str
    columns: tuple[Column, ...]
    key: str | None
    value: str | None
    looked: Looked = field(compare=False, repr=False)

    @property
    def frame(self) -> pd.DataFrame:
        """The rows looked at, cleaned."""
        return self.looked.frame

    def of(self, role: Role) -> tuple[Column, ...]:
        """Return the columns of a role, in the order of the table."""
        return tuple(column for column in self.columns if column.role == role)

    def flag(self, column: Column) -> np.ndarray:
        """0, 1 or NaN for each row of a label, (rows,); InputError where it is none."""
        if column.name not in self.looked.flags:
            raise InputError(
                f"'{column.name}' cannot be a label: it has {column.profile.distinct:,} values, not"
                " a yes and a no; give it another role"
            )
        return self.looked.flags[column.name]

    def with_roles(self, **roles: Role) -> "Draft":
        """Return a draft in which some columns have other roles, by name."""
        return replace(self, columns=tuple(_with_role(c, roles) for c in self.columns))


def _with_role(column: Column, roles: dict[str, Role]) -> Column:
    role = roles.get(column.name, column.role)
    return column if role == column.role else replace(column, role=role, reason="")
