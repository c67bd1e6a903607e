"""Logging in by OpenID Connect: who comes sees what is theirs and may do what they may."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from aesm2.lab.job import Wish
from aesm2.lab.queue import Lab
from tests import small
from tests.browser.conftest import Visitor, free_port, serving
from tests.browser.identity import CLIENT, SECRET, Provider

PEOPLE = '[people]\nanalysts = ["*@shop.example"]\n'
ANN = {"sub": "ann", "name": "Ann", "email": "ann@shop.example", "email_verified": True}
CARL = ANN | {"sub": "carl", "name": "Carl", "email": "carl@shop.example"}
EVE = ANN | {"sub": "eve", "name": "Eve", "email": "eve@elsewhere.example"}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    own = Provider()
    yield own
    own.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Path:
    """An operator's folder: secrets, people, and a paused run of Ann's."""
    place = tmp_path_factory.mktemp("served")
    (place / "serving.toml").write_text(PEOPLE, encoding="utf-8")
    id_ = hashlib.sha256(f"{provider.url}|ann".encode()).hexdigest()[:16]
    lab = Lab(place / "lab")
    lab.wish(lab.submit("hers", small.dataset(), small.config(), "cpu", owner=id_), Wish.PAUSE)
    return place


@pytest.fixture(scope="module")
def served(home: Path, provider: Provider) -> Iterator[str]:
    port = free_port()
    secrets = home / "secrets.toml"
    secrets.write_text(
        f'[auth]\nredirect_uri = "http://127.0.0.1:{port}/oauth2callback"\n'
        f'cookie_secret = "{"of-this-test-only-" * 3}"\nclient_id = "{CLIENT}"\n'
        f'client_secret = "{SECRET}"\n'
        f'server_metadata_url = "{provider.url}/.well-known/openid-configuration"\n',
        encoding="utf-8",
    )
    options = ("--secrets.files", str(secrets))
    with serving(home, port, *options, AESM2_SERVING=str(home / "serving.toml")) as url:
        yield url


def log_in(browser: Browser, served: str) -> Visitor:
    """Come without anything, be asked to log in, and do."""
    visitor = Visitor(browser.new_context().new_page(), served)
    visitor.page.goto(f"{served}/lens")
    expect(visitor.page.get_by_role("heading", name="AESM² Explorer")).to_be_visible()
    assert visitor.page.locator(".js-plotly-plot").count() == 0
    visitor.page.get_by_role("button", name="Log in").click()
    visitor.ready()
    return visitor


@pytest.mark.timeout(600)  # a server of its own
def test_log_in_see_what_is_yours_and_log_out(
    browser: Browser, served: str, provider: Provider
) -> None:
    provider.who = ANN
    ann = log_in(browser, served)
    ann.open("lab")
    expect(ann.page.get_by_role("heading", name="hers: paused")).to_be_visible()
    ann.sound()

    provider.who = CARL
    carl = log_in(browser, served)
    carl.open("lab", run="hers")
    expect(carl.page.get_by_text("No run yet.")).to_be_visible()
    assert carl.page.get_by_text("hers").count() == 0
    carl.sound()

    provider.who = EVE
    eve = log_in(browser, served)
    eve.open("lab")
    expect(eve.page.get_by_text("As a viewer you may not train")).to_be_visible()
    eve.page.get_by_role("button", name="Eve").click()
    eve.page.get_by_role("button", name="Log out").click()
    expect(eve.page.get_by_role("button", name="Log in")).to_be_visible()
    assert eve.problems == []
    for visitor in (ann, carl, eve):
        visitor.page.context.close()
