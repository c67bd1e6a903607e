"""Addresses: every page with parameters that mean nothing here."""

import functools
from pathlib import Path

from tests.fuzz import mutate
from tests.fuzz.dice import Dice, Wrong
from tests.fuzz.guard import Case

ROOT = Path(__file__).parents[3]
NAMES = ("layer", "task", "rows", "row", "q", "slice", "expert", "measure", "grouping",
         "checkpoint", "device",
         "page", "s-country", "s-page", "do", "other", "run", "study", "metric", "drift",
         "rows-page", "story",
         "step", "target", "method", "baseline", "reference", "variant", "scenario")  # fmt: skip
VALUES = ("-1", "0", "99999999999999999999", "task.1", "country.1", "nope", "upload:x", "test",
          "none", "cpu",
          "cuda:9", "plain", "shop", "runs/x", "../shop", "out:country.1.0", "noise:1e300.1",
          "age >= 1",
          "age missing & country = fr", "1,2,3", "all", "test#x", "#", "ctr")  # fmt: skip


def pages() -> Case:
    """A page opened at an address somebody wrote: messages at most, never an exception."""
    root, found = _root(), sorted(own.name for own in (ROOT / "app" / "views").glob("[a-z]*.py"))

    def case(dice: Dice, place: Path) -> None:
        from streamlit.testing.v1 import AppTest

        from app import locations

        locations.ROOT = root
        page = dice.one(found)
        view = {"checkpoint": dice.one(("shop", "shop", "plain"))}
        for _ in range(dice.some(5)):
            value = dice.one(VALUES) if dice.random() < 0.7 else dice.one(mutate.TEXTS)
            view[dice.one(_names())] = value.encode("utf-8", "replace").decode()
        dice.note(f"{page} {view!r:.400}")
        at = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60)
        for name, value in view.items():
            at.query_params[name] = value
        at.switch_page(f"views/{page}").run()
        if at.exception:
            raise Wrong(
                "\n".join(f"{own.message}\n{''.join(own.stack_trace[-6:])}" for own in at.exception)
            )
        told = [str(own.value) for own in (*at.error, *at.warning, *at.info)]
        if any("Traceback" in words for words in told):
            raise Wrong(f"a traceback on the page: {told}")
        if not (at.header or at.title or at.subheader or told):
            raise Wrong("an empty page")

    return case


@functools.cache
def _names() -> tuple[str, ...]:
    """Every name the pages ask the view for, and some nobody asks for."""
    import re

    asked = set()
    for file in sorted((ROOT / "app").rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        asked |= set(re.findall(r'state\.(?:get|bind|choice)\(\s*"([a-z-]+)"', text))
        asked |= set(re.findall(r'pick\(\s*"[^"]*",\s*"([a-z-]+)"', text))
    return tuple(sorted(asked | set(NAMES)))


@functools.cache
def _root() -> Path:
    from tests import small
    from tests.app.conftest import first_small_root

    return first_small_root(small.folder() / "app-root")
