"""Expert cards and Compare checkpoints: what clicks do in a real browser."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit


def test_a_bar_opens_a_card_and_a_mark_its_feature(visit: Visit) -> None:
    visitor = visit().open("experts", checkpoint="kuairand", layer="activity.1")
    gallery = "experts-gallery-activity-1-activity"
    visitor.click_until(gallery, 2, lambda patience: visitor.shows(patience, expert="2"))
    expect(visitor.page.get_by_role("heading", name="Expert 2 of activity.1")).to_be_visible()
    visitor.click_until(
        "experts-features", 24, lambda patience: visitor.shows(patience, feature="video_id")
    )
    expect(visitor.page.get_by_text("Values of video_id")).to_be_visible()


@pytest.mark.long
def test_what_to_ask_is_in_the_address(visit: Visit) -> None:
    visitor = visit().open("compare", other="kuairand-noaux")
    visitor.page.get_by_role("radio", name="Which masking rule?").click()
    visitor.shows(part="rule")
    expect(visitor.page.get_by_text("multiplies").first).to_be_visible()
    visitor.ready()
    visitor.sound()
