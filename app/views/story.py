"""Story: the model in eight steps, for those who run the business."""

from app.story import page as story


def page() -> None:
    """Draw the step of the view under the menus; `mode=story` draws it alone, on any page."""
    story.show()


page()
