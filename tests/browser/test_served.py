"""The client of the load benchmarks against the served app, and what the app counts of it."""

import json
import re
import urllib.request

import pytest

from benchmarks.client import Visitor


@pytest.mark.timeout(600)  # it may be the first to start the server
def test_a_visitor_without_a_browser_uses_the_app_and_is_counted(url: str) -> None:
    with Visitor(url) as visitor:
        visitor.open("curves")
        before = len(visitor.shown.charts)
        box = next(own for own in visitor.shown.selects if own.label == "Task")
        assert visitor.choose(box, next(o for o in box.options if o != box.chosen)) > 0
        again = next(own for own in visitor.shown.selects if own.label == "Task")
        assert again.chosen != box.chosen
        assert before == len(visitor.shown.charts) >= 3
        json.loads(visitor.shown.charts[0])
        assert visitor.shown.errors == []
    metrics = urllib.request.urlopen(f"{url}/_stcore/metrics").read().decode()
    runs = re.search(r'aesm2_script_seconds_count\{page="curves"\} (\d+)', metrics)
    assert int(runs.group(1)) >= 2
    for name in ("aesm2_memory_bytes ", "aesm2_model_lock_wait_seconds_count", "active_sessions"):
        assert name in metrics
