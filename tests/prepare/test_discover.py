"""Which countries a folder holds, however it was unpacked."""

import shutil
from pathlib import Path

import pytest

from aesm2.errors import InputError
from aesm2.prepare.discover import Piece, find_pieces
from tests.prepare import files

RAW = [
    f"{table}_{split}.{suffix}"
    for table in ("user", "item")
    for split in ("train", "test")
    for suffix in ("zip", "csv")
]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def touch_raw(folder: Path, country: str, suffix: str = "zip") -> None:
    for table in ("user", "item"):
        touch(*(folder / f"{country}_{table}_{split}.{suffix}" for split in ("train", "test")))


def touch_processed(folder: Path) -> None:
    touch(folder / "train.csv", folder / "test.csv")


def names(pieces: list[Piece], folder: Path) -> dict[str, list[str]]:
    return {
        piece.name: [str(file.path.relative_to(folder)) for file in piece.files] for piece in pieces
    }


@pytest.mark.parametrize(
    "where",
    ["", "NL", "aliexpress_NL_datasets", "aliexpress_NL_datasets/NL", "nl", "AliExpress_NL"],
)
@pytest.mark.parametrize("spelling", ["nl", "NL"])
def test_raw_files_are_found(tmp_path: Path, where: str, spelling: str) -> None:
    touch_raw(tmp_path / where, spelling)
    pieces, left_out = find_pieces(tmp_path, None)
    assert left_out == []
    assert names(pieces, tmp_path / where) == {
        f"NL-{split}": [f"{spelling}_user_{split}.zip", f"{spelling}_item_{split}.zip"]
        for split in ("train", "test")
    }


@pytest.mark.parametrize("where", ["FR", "aliexpress_FR_datasets", "AliExpress_FR/data", "US/FR"])
def test_processed_files_are_found(tmp_path: Path, where: str) -> None:
    touch_processed(tmp_path / where)
    pieces, _ = find_pieces(tmp_path, ["fr"])
    assert names(pieces, tmp_path / where) == {"FR-train": ["train.csv"], "FR-test": ["test.csv"]}


def test_the_folder_of_one_country(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch_processed(tmp_path / "US")
    monkeypatch.chdir(tmp_path / "US")
    for folder in (tmp_path / "US", Path()):
        assert [piece.name for piece in find_pieces(folder, None)[0]] == ["US-train", "US-test"]


def test_all_countries_in_one_folder(tmp_path: Path) -> None:
    for country in ("us", "ru", "nl", "fr", "es"):
        touch_raw(tmp_path, country)
    pieces, left_out = find_pieces(tmp_path, None)
    assert list(dict.fromkeys(piece.country for piece in pieces)) == ["NL", "FR", "ES", "US"]
    assert left_out == ["RU"]
    pieces, left_out = find_pieces(tmp_path, ["RU", "NL"])
    assert list(dict.fromkeys(piece.country for piece in pieces)) == ["NL", "RU"]
    assert left_out == ["FR", "ES", "US"]


def test_the_original_comes_before_what_was_made_of_it(tmp_path: Path) -> None:
    touch_processed(tmp_path / "NL")
    touch_raw(tmp_path / "NL", "nl", "csv")
    touch_raw(tmp_path / "NL", "nl", "zip")
    for suffix in ("zip", "csv"):
        pieces, _ = find_pieces(tmp_path, None)
        assert {f.path.suffix for piece in pieces for f in piece.files} == {f".{suffix}"}
        (tmp_path / "NL" / f"nl_item_train.{suffix}").unlink()
        shutil.rmtree(tmp_path / "NL")
        touch_processed(tmp_path / "NL")
        touch_raw(tmp_path / "NL", "nl", "csv")
    (tmp_path / "NL" / "nl_item_train.csv").unlink()
    pieces, _ = find_pieces(tmp_path, None)
    assert names(pieces, tmp_path) == {"NL-train": ["NL/train.csv"], "NL-test": ["NL/test.csv"]}


def test_hidden_folders_are_not_looked_into(tmp_path: Path) -> None:
    touch_raw(tmp_path / "NL", "nl")
    touch_raw(tmp_path / ".trash", "nl")
    assert len(find_pieces(tmp_path, None)[0]) == 2


def refused(folder: Path, countries: list[str] | None = None) -> str:
    with pytest.raises(InputError) as caught:
        find_pieces(folder, countries)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_country_is_named_with_those_found(tmp_path: Path) -> None:
    touch_processed(tmp_path / "ES")
    touch_raw(tmp_path / "NL", "nl")
    assert refused(tmp_path, ["NL", "FR", "US"]) == f"{tmp_path}: no data of FR, US; found NL, ES"


def test_russia_alone_must_be_asked_for(tmp_path: Path) -> None:
    touch_raw(tmp_path, "ru")
    assert refused(tmp_path) == f"{tmp_path}: no data of NL, FR, ES, US; found RU"
    assert len(find_pieces(tmp_path, ["RU"])[0]) == 2


def test_an_unknown_country(tmp_path: Path) -> None:
    touch_raw(tmp_path, "nl")
    message = "countries: no 'NLL' (did you mean 'NL'?); there are NL, FR, ES, US, RU"
    assert refused(tmp_path, ["nll"]) == message


def test_nothing_there(tmp_path: Path) -> None:
    missing = "no data of NL, FR, ES, US; found"
    assert refused(tmp_path) == f"{tmp_path}: {missing} none of any country"
    assert refused(tmp_path / "x") == f"{tmp_path / 'x'}: no such folder"
    touch_processed(tmp_path / "data")
    assert refused(tmp_path) == (
        f"{tmp_path}: {missing} data/test.csv, but of which country?"
        " Call its folder NL, FR, ES, US or RU"
    )
    touch(tmp_path / "aliexpress_NL_datasets.zip")
    wanted = f"{tmp_path}: {missing} aliexpress_NL_datasets.zip: unpack it there first"
    assert refused(tmp_path) == wanted


def test_a_country_that_is_not_whole(tmp_path: Path) -> None:
    touch_raw(tmp_path / "NL", "nl")
    (tmp_path / "NL" / "nl_user_test.zip").unlink()
    touch(tmp_path / "FR" / "train.csv")
    wanted = f"{tmp_path / 'NL'}: NL is not whole; it lacks nl_user_test.zip"
    assert refused(tmp_path, ["NL"]) == wanted
    assert refused(tmp_path, ["FR"]) == f"{tmp_path / 'FR'}: FR is not whole; it lacks test.csv"
    touch_processed(tmp_path / "ES")  # what is not asked for may be broken
    assert len(find_pieces(tmp_path, ["ES"])[0]) == 2


def test_a_country_that_is_there_twice(tmp_path: Path) -> None:
    touch_raw(tmp_path / "NL", "nl")
    touch_processed(tmp_path / "aliexpress_NL_datasets")
    both = f"{tmp_path / 'NL'} and {tmp_path / 'aliexpress_NL_datasets'}"
    assert refused(tmp_path) == f"{tmp_path}: NL is there twice, in {both}"


def test_the_size_of_a_piece(tmp_path: Path) -> None:
    files.write_raw(tmp_path, "NL")
    pieces, _ = find_pieces(tmp_path, None)
    on_disk = [(tmp_path / f"nl_{t}_train.zip").stat().st_size for t in ("user", "item")]
    assert pieces[0].size == sum(on_disk)
    assert pieces[0].files[1].unpacked_size == len(
        files.raw("NL", "train")[1].to_csv(header=False, index=False)
    )
