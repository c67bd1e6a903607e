"""A first draft of `dataset.toml` for a table nobody has described yet.

`draft` looks at a table and gives every column a role; `to_toml` writes the description that
follows, every guess with its reason. A draft is a value: change its roles, and write it again.
"""

import re
from dataclasses import replace
from pathlib import Path

from aesm2.data.draft.profile import look
from aesm2.data.draft.roles import columns_of, value_column
from aesm2.data.draft.sample import Sample, read_sample, sample_of
from aesm2.data.draft.split import key_column
from aesm2.data.draft.toml import Parts, parts, to_toml
from aesm2.data.draft.value import ROLES, Column, Draft, Role
from aesm2.errors import InputError

__all__ = [
    "ROLES", "Column", "Draft", "Parts", "Role", "Sample", "draft", "draft_description",
    "draft_of", "parts", "read_sample", "sample_of", "to_toml",
]  # fmt: skip


def draft(path: Path) -> Draft:
    """Look at a table (CSV, parquet, a folder of parquet) and draft its description.

    At most about 100,000 rows are read, spread over all of a larger table. Raises InputError where
    it is no table, or no column could be a label.
    """
    return replace(draft_of(read_sample(path)), table=path.name or ".")


def draft_of(sample: Sample) -> Draft:
    """Draft the description of a table of which some rows have been read."""
    looked = look(sample)
    if not looked.flags:
        raise InputError(
            f"{sample.table}: no column could be a label (click, purchase, …): none holds just 0"
            " and 1, yes and no, or true and false"
        )
    columns = columns_of(looked)
    title = Path(sample.table).stem or "dataset"
    return Draft(
        name=re.sub(r"[^A-Za-z0-9_-]", "_", title).lstrip("_-") or "dataset",
        title=title,
        licence="unknown",
        provenance="private",
        table=sample.table,
        columns=columns,
        key=key_column(looked),
        value=value_column(columns),
        looked=looked,
    )


def draft_description(path: Path) -> str:
    """Read a table and write a description of it: guesses, each with a comment saying why."""
    return to_toml(draft(path))
