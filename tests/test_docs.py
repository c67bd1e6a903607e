"""The code in the documentation runs as it stands there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("page", ["docs/inspection.md", "README.md"])
def test_every_block_runs_after_those_before_it(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On fewer rows, so that it does not take long."""
    monkeypatch.chdir(ROOT)
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = [block.replace('.split("test")', '.split("test").head(1500)')
              for block in BLOCK.findall(text)]  # fmt: skip
    assert blocks
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{page}, block {number + 1}", "exec"), names)
    if page == "docs/inspection.md":
        assert names["found"] is not None
