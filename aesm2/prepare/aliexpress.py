"""AliExpress search logs (Tianchi data set 74690) → a described dataset with one level, country."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from aesm2.errors import InputError
from aesm2.prepare.columns import FEATURES, USER_FEATURES
from aesm2.prepare.csvfile import Progress
from aesm2.prepare.discover import Piece, find_pieces
from aesm2.prepare.log import impressions, write_log
from aesm2.prepare.rows import read_rows
from aesm2.prepare.unfinished import Unfinished

DESCRIPTION = """\
name = "aliexpress"
title = "AliExpress search, {countries}"
provenance = "public"
licence = "Tianchi data set 74690, under that site's terms; not to be passed on: no licence text we know permits it"
citation = "Li et al., Improving Multi-Scenario Learning to Rank in E-commerce by Exploiting Task Relationships in the Label Space, CIKM 2020, doi 10.1145/3340531.3412713"
notes = [
{notes}
]

[source]
table = "log"

[split]
column = "part"
train = {{ first = "train", last = "train" }}
validation = {{ first = "validation", last = "validation" }}
test = {{ first = "test", last = "test" }}

[[level]]
name = "country"
title = "Country"
column = "country"
values = [{values}]

[[task]]
name = "ctr"
title = "Click"
label = "click"

[[task]]
name = "ctcvr"
title = "Click and purchase"
label = "conversion"
follows = "ctr"
conditional = "cvr"

[features.user]
{user}

[features.item]
{item}
"""  # noqa: E501


def prepare(
    folder: Path,
    out: Path,
    countries: Sequence[str] | None = None,
    fraction: float = 1.0,
    progress: bool = True,
) -> Path:
    """Write the dataset folder `out` from a user's copy of the data, and return it.

    folder: holds for each country, as a folder of its own or not, the raw files
    (`nl_user_train.zip`, …, or unpacked as .csv) or the processed `train.csv` and `test.csv`;
    the raw form is taken where both are there. countries: some of NL, FR, ES, US, RU; by default
    those of the paper (all but RU) that are there. fraction: share of the result pages to keep.
    progress: show a bar; remarks go to stderr in any case.

    Validation is half of the original test split (§4.1), drawn by the result page where pages have
    an id. The paper only says "50 % of the original testing data"; were rows drawn singly, nearly
    every page would stand in both halves, with the same user and query, and early stopping on one
    half would look at the other. `fraction` keeps whole pages likewise, and does not change which
    of the pages kept are for validation.

    A call that was interrupted is gone on with by repeating it. Raises InputError for files that
    are not what they should be, with file and line, and where `out` holds something else.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"fraction is {fraction}, expected more than 0 and at most 1")
    pieces, left_out = find_pieces(folder, countries)
    if left_out:
        _say(f"not prepared, since not asked for: {', '.join(left_out)}")
    work = Unfinished(out, pieces, fraction)
    total = sum(piece.size for piece in pieces)
    with tqdm(total=total, unit="B", unit_scale=True, disable=not progress, file=sys.stderr) as bar:
        for piece in pieces:
            if piece.name in work.finished:
                bar.update(piece.size)
                continue
            work.start(piece)
            work.finish(piece, _write(piece, fraction, work, bar))
    if not any(piece["counts"]["rows"] for piece in work.finished.values()):
        work.discard()
        raise InputError(f"{folder}: fraction {fraction} leaves no rows; take a larger one")
    remarks = _remarks(work.finished)
    for remark in remarks:
        _say(remark)
    work.publish(_describe(pieces, fraction, remarks))
    return out


def _write(piece: Piece, fraction: float, work: Unfinished, bar: Progress) -> dict[str, int]:
    """Write one piece of the log and count its rows."""
    counts: Counter[str] = Counter()
    parts = read_rows(piece, fraction, work.buckets, counts, bar)
    tables = (impressions(piece, pages, table) for pages, table in parts)
    rows = write_log(work.log, piece.name, tables)
    return {"rows": rows, **counts}


def _remarks(finished: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[str]:
    """What a user of the dataset should know of its pieces, one line each."""
    remarks = []
    for name, piece in finished.items():
        counts = Counter(piece["counts"])
        if counts["without_page"]:
            remarks.append(f"{name}: {counts['without_page']:,} items of no result page left out")
        if counts["without_id"]:
            remarks.append(f"{name}: no search ids in this copy, so rows were drawn singly")
    return remarks


def _describe(pieces: Sequence[Piece], fraction: float, remarks: Sequence[str]) -> str:
    """Return the text of dataset.toml."""
    countries = list(dict.fromkeys(piece.country for piece in pieces))
    user = [feature for feature in FEATURES if feature in USER_FEATURES.values()]
    item = [feature for feature in FEATURES if feature not in user]
    notes = ["Validation is half of the original test split, drawn by result page."]
    if fraction < 1:
        notes.append(f"A sample: {fraction:g} of the result pages.")
    return DESCRIPTION.format(
        countries=", ".join(countries),
        notes="\n".join(f'  "{note}",' for note in [*notes, *remarks]),
        values=", ".join(f'"{country}"' for country in countries),
        user="\n".join(map(_feature, user)),
        item="\n".join(map(_feature, item)),
    )


def _feature(name: str) -> str:
    if name.startswith("categorical"):
        return f'{name} = {{ kind = "categorical", min_count = 10 }}'
    return f'{name} = {{ kind = "numeric" }}'


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)
