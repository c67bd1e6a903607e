"""The ZIP: numbers as they are, figures, code, and what it takes to make them again."""

import io
import json
import zipfile

import numpy as np
import pandas as pd
import plotly.io

from aesm2.report import Report, to_zip
from tests.report.hand import made, report


def opened(of: Report) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(to_zip(of, "2026-01-02")))


def test_the_numbers_are_whole_and_say_where_they_come_from() -> None:
    frame = pd.DataFrame(
        {"place": range(1000), "share": np.random.default_rng(0).random(1000), "who": "a, \"b\""}
    )  # fmt: skip
    own = made(frame=frame)
    with opened(Report().added(own)) as files:
        (name,) = [name for name in files.namelist() if name.endswith(".csv")]
        text = files.read(name).decode()
    assert name == "data/shop_tab.1_tab-4_chart-0.csv"
    first, _, rest = text.partition("\n")
    assert first == "# simulated"
    again = pd.read_csv(io.StringIO(rest))
    pd.testing.assert_frame_equal(again, frame, check_dtype=False, check_exact=True)


def test_a_stamp_of_several_lines_stays_a_remark() -> None:
    own = made().model_copy(update={"stamp": "one\n=cmd()"})
    with opened(Report().added(own)) as files:
        (name,) = [name for name in files.namelist() if name.endswith(".csv")]
        assert files.read(name).decode().startswith("# one =cmd()\nn,share,who\n")


def test_every_chart_has_its_files_and_the_manifest_names_them() -> None:
    whole = report(2)
    with opened(whole) as files:
        assert files.testzip() is None
        manifest = json.loads(files.read("manifest.json"))
        for own, entry in zip(whole.pins, manifest["charts"], strict=True):
            assert entry["title"] == own.title
            assert entry["comment"] == whole.comment(own.id)
            assert entry["hash"] == "0" * 64
            assert entry["address"] == "/atlas?layer=tab.1"
            data, figure, page, code = (files.read(name).decode() for name in entry["files"])
            assert data.startswith("# simulated\n")
            again = plotly.io.from_json(figure)
            assert json.loads(own.figure)["data"] == json.loads(again.to_json())["data"]
            assert '<script src="plotly.min.js">' in page
            assert code == own.code + "\n"
        assert files.namelist().count("figures/plotly.min.js") == 1
        assert {"report.json", "report.ipynb"} <= set(files.namelist())
    assert manifest["command"] == "streamlit run app/main.py"
    assert {"torch", "python", "commit", "machine"} <= manifest["made_with"].keys()
    assert to_zip(whole, "x") == to_zip(whole, "x"), "the same report gives the same bytes"
