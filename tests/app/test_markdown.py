"""Names that come from data are shown as they are, not read as Markdown."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.markdown import escaped, plain
from tests import small
from tests.app.test_data import sound

ODD = "$5*x*$9"  # two prices would be a formula, two stars italics
DESCRIPTION = (
    small.DESCRIPTION.replace('"fr"', f'"{ODD}"')
    .replace('title = "A small shop"', f'title = "Shop {ODD}"')
    .replace('column = "country"', f'column = "country"\ntitle = "Land {ODD}"')
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("odd") / "repository"
    rows = small.rows().replace({"country": {"fr": ODD}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small, "rows", lambda: rows)
        dataset = small.write_dataset(made / "data_samples" / "shop", DESCRIPTION)
    small.fit(made.parent / "run", small.config(epochs=1), dataset=dataset)
    shutil.copytree(made.parent / "run" / "checkpoint", made / "checkpoints" / "shop")
    return made


@pytest.mark.parametrize("page", ["home", "data", "lens", "atlas", "geometry"])
def test_names_are_shown_as_they_are(start: Callable[..., AppTest], root: Path, page: str) -> None:
    at = sound(start(f"views/{page}.py", root=root, s__country=ODD))
    card = (root / "checkpoints" / "shop" / "README.md").read_text(encoding="utf-8")
    said = [text for text in texts(at) if text.strip() not in card]
    assert not [text for text in said if ODD in text]
    assert any(escaped(ODD) in text for text in said), "nothing on this page names a scenario"
    assert ODD in plain(escaped(ODD))


def texts(at: AppTest) -> Iterator[str]:
    """What Streamlit reads as Markdown: texts, headings, labels and help."""
    for kind in ("markdown", "caption", "subheader", "info", "warning", "error", "success"):
        yield from (element.value for element in at.get(kind))
    for kind in ("selectbox", "metric", "button", "expander", "download_button", "markdown"):
        for element in at.get(kind):
            yield from (getattr(element.proto, name, "") for name in ("label", "help"))
