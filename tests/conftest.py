"""Settings that hold for every test."""

import pytest
import torch
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=False)
settings.load_profile("repeatable")

torch.set_num_threads(1)
TOGETHER = (  # they share a server, a dataset, runs
    "tests/browser/", "tests/data/test_kuairand.py", "tests/evidence/test_engine.py",
    "tests/training/test_kill.py", "tests/training/test_together.py",
)  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--screenshots", action="store_true",
        help="the browser tests save whole pages in artifacts/screenshots",
    )  # fmt: skip


class _Together(LoadScopeScheduling):
    """One test at a time to whoever is free, but those that share something to one process.

    xdist's own groups are lost on this pytest, which names a test before xdist adds its group.
    """

    def _split_scope(self, nodeid: str) -> str:
        return next((place for place in TOGETHER if nodeid.startswith(place)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Together:
    return _Together(config, log)
