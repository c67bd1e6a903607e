"""Every page on datasets at the edges of what a description allows."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests import degenerate

Start = Callable[..., AppTest]
PAGES = {name: f"views/{name}.py" for name in ("home", "data", "lens", "atlas", "curves")}


def sound(at: AppTest) -> AppTest:
    assert not at.exception
    assert [error.value for error in at.error] == []
    return at


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", degenerate.NAMES)
def test_every_page_stands(start: Start, name: str, page: str) -> None:
    sound(start(PAGES[page], root=degenerate.root(), checkpoint=name))
