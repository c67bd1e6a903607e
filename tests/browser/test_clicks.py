"""Clicks on charts do what they promise."""

import re

from playwright.sync_api import expect

from aesm2.checkpoint import load
from aesm2.routing.shares import layer_shares
from tests.browser.conftest import ROOT, Visit


def favourite(role: str, scenario: int) -> int:
    """The expert that most rows of a tab take, by the counts that the checkpoint holds."""
    _, used = load(ROOT / "checkpoints" / "kuairand", "cpu").utilisation_history()[-1]
    shares = layer_shares(used, "tab.1", "tab")
    return int((shares.specific if role == "specific" else shares.shared)[0, scenario].argmax())


def test_a_cell_of_the_atlas_opens_its_rows_in_the_lens(visit: Visit) -> None:
    visitor = visit().open("atlas")
    cell, expert = visitor.keyed("atlas-cell"), favourite("shared", scenario=3)
    told = rf"Expert {expert} as shared in tab\.1, tab 4: [1-9][\d,]* of [\d,]+ rows"
    visitor.click_until(
        "atlas-own",
        ["tab.1", "shared", 0, "tab", 3, expert],
        lambda ms: expect(cell).to_contain_text(re.compile(told), timeout=ms),
    )
    expect(visitor.page.get_by_text("rows take it: see below the chart")).to_be_visible()
    cell.get_by_role("button", name="Open the first in the Lens").click()
    visitor.shows(layer="tab.1", expert=str(expert), s__tab="4", rows="test")
    expect(visitor.page.get_by_role("heading", name="Instance Lens")).to_be_visible()
    visitor.ready()
    assert visitor.path == "/lens"
    row = visitor.view["row"]
    expect(visitor.page.get_by_role("heading", name=f"Row {row}")).to_be_visible()
    expect(visitor.chosen("expert")).to_have_value(re.compile(f"[●◆] expert {expert}"))


CORNER = """([u, v]) => {
  const g = document.querySelector('[class*="st-key-chart-atlas-own"] .js-plotly-plot');
  const x = g._fullLayout.xaxis, y = g._fullLayout.yaxis;
  const down = y._offset + y.l2p(0.5 + v);
  const main = document.querySelector('[data-testid="stMain"]');
  main.scrollTop += g.getBoundingClientRect().top + down - window.innerHeight / 2;
  const box = g.getBoundingClientRect();
  return [box.left + x._offset + x.l2p(1.5 + u), box.top + down];
}"""  # where on the screen a share of the width and height of a cell is


def test_the_whole_cell_answers_not_only_its_middle(visit: Visit) -> None:
    visitor = visit().open("atlas", layers="one")
    cell, told = visitor.keyed("atlas-cell"), "Expert 2 as specific in tab.1, tab 1:"

    def click() -> None:
        visitor.ready()
        x, y = visitor.page.evaluate(CORNER, [0.96, 0.9])
        visitor.page.mouse.move(x - 2, y)
        visitor.page.mouse.move(x, y)
        expect(visitor.page.locator(".hoverlayer .hovertext").first).to_be_visible()
        visitor.page.mouse.down()
        visitor.page.mouse.up()

    visitor.repeat(click, lambda ms: expect(cell).to_contain_text(told, timeout=ms))


def test_a_cell_of_the_gate_matrix_is_explained(visit: Visit) -> None:
    visitor = visit().open("lens", layer="tab.1", expert="0")
    for expert in (3, 5):
        visitor.click_until(
            "lens-gates", expert, lambda ms, k=expert: visitor.shows(ms, expert=str(k))
        )
        expect(visitor.chosen("expert")).to_have_value(re.compile(f"expert {expert}$"))
        sentence = visitor.page.get_by_text(re.compile(rf"[Ee]xpert {expert}\b")).last
        expect(sentence).to_be_visible()
        visitor.ready()


def test_a_layer_of_the_architecture_becomes_the_current_one(visit: Visit) -> None:
    visitor = visit().open()
    expect(visitor.chosen("layer")).to_have_value("tab.1")
    visitor.click_until(
        "home-architecture", ["task.1"], lambda ms: visitor.shows(ms, layer="task.1")
    )
    expect(visitor.chosen("layer")).to_have_value("task.1")
