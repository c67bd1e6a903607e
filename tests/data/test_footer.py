"""What a footer says, beside what pyarrow reads of it; and damaged ones."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aesm2.data import footer
from aesm2.data.footer import values_of
from aesm2.data.room import stored_values
from aesm2.errors import InputError


def written(rows: int = 50, **options: object) -> bytes:
    lists = [list(range(i % 5)) if i % 7 else None for i in range(rows)]
    table = pa.table({
        "a": np.arange(rows), "lists": lists, "text": [f"é{i}" for i in range(rows)],
        "deep": [[{"x": [own] * 2}] if own else [] for own in range(rows)],
        "gone": pa.nulls(rows, pa.float64()), "sure": [i % 2 == 0 for i in range(rows)],
    })  # fmt: skip
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


@pytest.mark.parametrize("options", [{}, {"row_group_size": 7}, {"write_page_index": True},
                                     {"write_statistics": False, "version": "1.0"}])  # fmt: skip
def test_values_are_as_many_as_pyarrow_says(options: dict[str, object]) -> None:
    content = written(**options)
    about = pq.ParquetFile(io.BytesIO(content)).metadata
    for place in range(about.num_columns):
        groups = (about.row_group(i) for i in range(about.num_row_groups))
        expected = sum(group.column(place).num_values for group in groups)
        assert values_of(io.BytesIO(content), {place}) == expected
    assert values_of(io.BytesIO(content), set()) == 0
    numbers = [values_of(io.BytesIO(content), {place}) for place in range(about.num_columns)]
    assert stored_values(about, io.BytesIO(content)) == 8 * sum(numbers)


def test_a_damaged_footer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = written()
    for made in (b"", b"PAR1", content[:-4] + b"PARE", content[:-40] + content[-8:]):
        with pytest.raises(InputError):
            values_of(io.BytesIO(made), {1})
    with pytest.raises(InputError, match="damaged: IndexError"):
        values_of(io.BytesIO(content), {99})
    monkeypatch.setattr(footer, "MOST_BYTES", 100)
    with pytest.raises(InputError, match="a footer larger than 100 bytes"):
        values_of(io.BytesIO(content), {1})
