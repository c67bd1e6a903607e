"""Roles, quotas and ownership: what is not allowed does not happen, whatever is pressed."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from aesm2.data.dataset import SPLITS, Dataset
from aesm2.errors import InputError
from aesm2.lab.archive import pack
from aesm2.lab.job import Job
from aesm2.lab.queue import Lab
from aesm2.owner import NOBODY, OWNER, give, owner_of
from app import cache, locations
from app.lab import actions, folder
from app.own import page as own_page
from app.people import quotas, who
from app.people.settings import Quotas, Role, settings
from app.people.who import Forbidden, Person, Right
from app.summaries import HOW
from tests import small
from tests.app.conftest import MAIN
from tests.app.test_data import texts
from tests.app.test_routing_drift import ATLAS, write
from tests.app.test_routing_drift import PAGE as DRIFT

CLAIMS = who._claims
ANN = {"is_logged_in": True, "iss": "https://id", "sub": "1", "email": "Ann@shop.example"}
BOB = ANN | {"sub": "2", "email": "bob@shop.example"}
EVE = ANN | {"sub": "3", "email": "eve@elsewhere.example"}
FILE = '[people]\nanalysts = ["*@SHOP.example"]\nviewers = ["eve@*"]\n[quotas]\nruns = 1\n'


@pytest.fixture
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "serving.toml"
    file.write_text(FILE, encoding="utf-8")
    monkeypatch.setenv("AESM2_SERVING", str(file))
    monkeypatch.setenv("AESM2_LAB", str(tmp_path / "lab"))
    monkeypatch.setenv("AESM2_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("AESM2_CHECKPOINTS", str(tmp_path / "checkpoints"))
    return file


@pytest.fixture
def acting(serving: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Person]]:
    """Be somebody outside of a page: acting(ANN)."""

    def be(claims: dict[str, Any]) -> Person:
        monkeypatch.setattr(who, "_claims", lambda: claims)
        return who.person()

    yield be


Enter = Callable[[str, dict[str, Any]], AppTest]


@pytest.fixture
def enter(small_root: Path, serving: Path, monkeypatch: pytest.MonkeyPatch) -> Enter:
    """Open a page as somebody: enter("views/lens.py", ANN)."""

    def entered(page: str, claims: dict[str, Any]) -> AppTest:
        monkeypatch.setattr(locations, "ROOT", small_root)
        at = AppTest.from_file(MAIN, default_timeout=60)
        at.user, at.query_params["checkpoint"] = claims, "shop"
        return at.switch_page(page).run()

    return entered


def errors(at: AppTest) -> str:
    return " ".join(error.value for error in at.error)


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        (ANN, Role.ANALYST),
        (ANN | {"email_verified": True}, Role.ANALYST),
        (ANN | {"email_verified": False}, None),
        (EVE, Role.VIEWER),
        (ANN | {"email": "ann@shop.example.evil"}, None),
        (ANN | {"email": None}, None),
        ({"is_logged_in": False}, None),
    ],
)
def test_the_role_follows_from_a_verified_address(
    acting: Callable[..., Person], claims: dict[str, Any], role: Role | None
) -> None:
    assert acting(claims).role is role


def test_a_person_is_who_the_provider_says_whatever_the_address(
    acting: Callable[..., Person],
) -> None:
    ann = acting(ANN).id
    assert acting(ANN | {"email": "other@shop.example"}).id == ann
    assert len({ann, acting(BOB).id, acting(ANN | {"iss": "https://other"}).id}) == 3


def test_without_a_login_whoever_is_at_the_machine_is_an_analyst_without_quotas(
    monkeypatch: pytest.MonkeyPatch, serving: Path
) -> None:
    monkeypatch.setattr(who, "_claims", dict)
    assert who.person() == Person("", "", Role.ANALYST, True, "")
    assert who.person().quotas is None
    monkeypatch.setattr(who, "_local", lambda: False)  # the server listens to others, or a proxy
    assert who.person().role is Role.VIEWER
    serving.write_text('[people]\nwithout_login = "analyst"\n', encoding="utf-8")
    assert who.person().role is Role.ANALYST
    assert who.person().quotas == Quotas()


@pytest.mark.parametrize(
    ("address", "headers", "local"),
    [
        ("127.0.0.1", {}, True),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.9"}, False),
        ("0.0.0.0", {}, False),
        (None, {}, False),
    ],
)
def test_elsewhere_is_told_by_address_and_proxy(
    monkeypatch: pytest.MonkeyPatch, address: str | None, headers: dict[str, str], local: bool
) -> None:
    monkeypatch.setattr(who.st, "get_option", lambda name: address)
    monkeypatch.setattr(type(who.st.context), "headers", property(lambda self: headers))
    assert who._local() is local


def test_in_a_demo_everybody_looks_on(
    acting: Callable[..., Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AESM2_DEMO", "1")
    assert acting(ANN).role is Role.VIEWER
    assert not who.login_on()
    assert not any(map(who.may, Right))
    with pytest.raises(Forbidden, match=r"as a viewer you may not train.*own copy"):
        who.require(Right.TRAIN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[people]\nanalyst = []", "unknown key.*analysts"),
        ("[quotas]\nruns = -1", "quotas.runs"),
        ("people = [", "not valid TOML"),
    ],
)
def test_bad_settings_let_nobody_in(enter: Enter, serving: Path, text: str, said: str) -> None:
    serving.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        settings()
    at = enter("views/home.py", {})
    assert "not set up right" in errors(at)
    assert len(at.header) == 0


def test_a_viewer_sees_the_pages_and_nothing_else(enter: Enter) -> None:
    for page in ("views/lab.py", "views/own.py"):
        at = enter(page, EVE)
        (warning,) = at.warning
        assert warning.value.startswith("As a viewer you may not")
        assert "Ask an analyst" in warning.value
        assert not at.error
        assert not at.file_uploader
        assert not [b for b in at.button if b.label in ("Start", "Open the table", "Simulate")]
    at = enter("views/lens.py", EVE)
    assert not at.file_uploader
    assert not at.error
    assert not Lab(folder.lab().root).jobs()


@pytest.mark.parametrize("claims", [{"is_logged_in": False}, ANN | {"email": "x@y.example"}])
def test_who_is_not_let_in_sees_nothing(
    enter: Enter, serving: Path, monkeypatch: pytest.MonkeyPatch, claims: dict[str, Any]
) -> None:
    monkeypatch.setattr(who, "providers", lambda: [""])
    monkeypatch.setattr("app.people.login.NEEDS", ("json",))
    at = enter("views/lens.py", claims)
    assert [h.value for h in at.header] == ["AESM² Explorer"]
    assert not at.get("plotly_chart")
    assert [b.label for b in at.button] == ["Log out" if claims["is_logged_in"] else "Log in"]


def test_a_missing_library_of_the_login_is_named(
    enter: Enter, serving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.people.login.NEEDS", ("no_such_library",))
    at = enter("views/home.py", {"is_logged_in": False})
    assert "no_such_library is not installed" in errors(at)


@pytest.mark.parametrize("claims", [EVE, {"is_logged_in": False}])
def test_every_action_asks_first(acting: Callable[..., Person], claims: dict[str, Any]) -> None:
    own = Lab(folder.lab().root)
    job = own.submit("mine", small.dataset(), small.config(), "cpu")
    acting(claims)
    for act in (
        lambda: actions.submit(Dataset.open(small.dataset()), {"new": small.config()}, "cpu"),
        lambda: actions.wish(job, actions.Wish.PAUSE),
        lambda: actions.extend(job, 5),
        lambda: actions.branch(job, "b", small.config(), best=False),
        lambda: actions.retry(job, small.config()),
        lambda: actions.discard(job),
        lambda: actions.restore(job.folder),
        lambda: actions.promote(job, "p", "", everybody=True),
        lambda: actions.bring(b"", "p"),
        lambda: own_page.from_path("log.csv"),
        lambda: own_page.from_upload("log.csv", b"a\n1"),
    ):
        with pytest.raises(Forbidden):
            act()
    assert [job.name for job in own.jobs()] == ["mine"]
    assert job.order().wish is actions.Wish.RUN


def test_runs_are_seen_and_steered_by_their_owner_alone(
    acting: Callable[..., Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lab, "tend", lambda self: None)
    ann = acting(ANN)
    actions.submit(Dataset.open(small.dataset()), {"hers": small.config()}, "cpu")
    (job,) = folder.jobs()
    assert (job.order().owner, job.order().minutes) == (ann.id, 120)
    with pytest.raises(InputError, match="2 runs of yours that wait or train; 1 may"):
        actions.submit(Dataset.open(small.dataset()), {"next": small.config()}, "cpu")
    acting(BOB)
    assert folder.jobs() == []
    with pytest.raises(InputError, match="no run 'hers' of yours"):
        actions.wish(job, actions.Wish.STOP)
    actions.submit(Dataset.open(small.dataset()), {"his": small.config()}, "cpu")
    assert [job.name for job in folder.jobs()] == ["his"]
    acting({})  # without a login: what is everybody's
    assert folder.jobs() == []


def test_a_run_comes_back_from_the_trash_where_it_may_wait(
    acting: Callable[..., Person], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Lab, "tend", lambda self: None)
    acting(ANN)
    actions.submit(Dataset.open(small.dataset()), {"first": small.config()}, "cpu")
    first = actions.discard(folder.lab().job("first"))
    actions.submit(Dataset.open(small.dataset()), {"second": small.config()}, "cpu")
    with pytest.raises(InputError, match="2 runs of yours that wait or train; 1 may"):
        actions.restore(first)
    assert [job.name for job in folder.jobs()] == ["second"]
    second = folder.lab().job("second")
    second.put(second.order().model_copy(update={"wish": actions.Wish.PAUSE}))
    paused = actions.discard(second)
    actions.restore(first)
    actions.restore(paused)  # it neither waits nor trains
    assert sorted(job.name for job in folder.jobs()) == ["first", "second"]
    with pytest.raises(InputError, match="'nowhere~0' is no longer in the trash"):
        actions.restore(tmp_path / "nowhere~0")


def test_two_people_on_the_page_see_their_own_runs(
    enter: Enter, serving: Path, acting: Callable[..., Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lab, "tend", lambda self: None)
    own = Lab(folder.lab().root)
    for name, claims in (("anns", ANN), ("bobs", BOB)):
        own.submit(name, small.dataset(), small.config(), "cpu", owner=acting(claims).id)
    monkeypatch.setattr(who, "_claims", CLAIMS)
    for claims, mine, other in ((ANN, "anns", "bobs"), (BOB, "bobs", "anns")):
        at = enter("views/lab.py", claims)
        shown = at.dataframe[0].value.to_string()
        assert mine in shown
        assert other not in shown + texts(at)
    at = enter("views/lab.py", BOB)
    assert "1 of others" in at.dataframe[0].value.to_string()


def test_datasets_and_checkpoints_of_others_are_not_there(
    acting: Callable[..., Person], small_root: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(locations, "ROOT", small_root)
    ann = acting(ANN)
    shutil.copytree(small.dataset(), tmp_path / "data" / "hers")
    shutil.copytree(small_root / "checkpoints" / "shop", tmp_path / "checkpoints" / "hers")
    for place in ("data", "checkpoints"):
        give(tmp_path / place / "hers", ann.id)
    table = tmp_path / "data" / "hers" / "log.parquet"
    assert "hers" in locations.catalogue()
    assert "hers" in locations.removable()
    assert [d.folder.name for d in cache.datasets()] == ["shop", "hers"]
    assert own_page.allowed(str(table)) == table
    who.require_own(table.parent, "dataset")
    acting(BOB)
    assert "hers" not in locations.catalogue()
    assert "hers" not in locations.removable()
    assert [d.folder.name for d in cache.datasets()] == ["shop"]
    with pytest.raises(InputError, match="no such file"):
        own_page.allowed(str(table))
    with pytest.raises(InputError, match="not yours"):
        who.require_own(table.parent, "dataset")
    (table.parent / OWNER).write_text("", encoding="utf-8")  # damaged: nobody's rather than all's
    assert owner_of(table.parent) == NOBODY
    (table.parent / OWNER).unlink()
    (table.parent / OWNER).symlink_to("nowhere")
    assert owner_of(table.parent) == NOBODY


def test_nobody_takes_the_name_of_a_checkpoint_that_others_see(
    acting: Callable[..., Person], small_root: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(locations, "ROOT", small_root)
    shipped, home = small_root / "checkpoints" / "shop", tmp_path / "checkpoints"
    shutil.copytree(shipped, home / "shared")
    ann = acting(ANN)
    job = Lab(folder.lab().root).submit("hers", small.dataset(), small.config(), "cpu", ann.id)
    monkeypatch.setattr(locations, "SHIPPED", ("shop",))
    for name in ("shop", "shared"):
        for act in (
            lambda name: actions.bring(pack(shipped), name),
            lambda name: actions.promote(job, name, "", everybody=True),
        ):
            with pytest.raises(InputError, match=f"there is a checkpoint '{name}' already"):
                act(name)
    assert [place.name for place in home.iterdir()] == ["shared"]
    shutil.copytree(shipped, home / "shop")  # one that is there all the same
    give(home / "shop", ann.id)
    for claims in (ANN, BOB):
        acting(claims)
        assert locations.catalogue()["shop"] == shipped
        assert "shop" not in locations.removable()


def test_hidden_files_are_no_tables(
    acting: Callable[..., Person], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acting({})
    (tmp_path / "data" / ".streamlit").mkdir(parents=True)
    secret = tmp_path / "data" / ".streamlit" / "secrets.csv"
    secret.write_text("a\n1\n", encoding="utf-8")
    with pytest.raises(InputError, match="no such file"):
        own_page.allowed(str(secret))


def test_slices_are_ones_own_beside_those_of_everybody(acting: Callable[..., Person]) -> None:
    everybody = locations.slices_home(own=False)
    assert acting({}) and locations.slices_home() == everybody
    ann = acting(ANN)
    assert locations.slices_home() == everybody / ann.id
    acting(BOB)
    assert locations.slices_home() != everybody / ann.id


def limited(**quota: float) -> Person:
    """Somebody with quotas other than the defaults."""

    class Own(Person):
        @property
        def quotas(self) -> Quotas:
            return Quotas(**quota)  # type: ignore[arg-type]

    return Own("p", "P", Role.ANALYST, False, "")


def test_a_refused_upload_says_quota_use_and_way_on() -> None:
    ledger, mb = quotas.Ledger(), quotas.MB
    with pytest.raises(InputError, match=r"3\.0 MB; one file may have 2 MB here"):
        quotas.require_upload(limited(upload_mb=2), ledger, 3 * mb, 0)
    with pytest.raises(InputError, match=r"keeps 4\.0 of the 5 MB.*Forget an upload"):
        quotas.require_upload(limited(session_mb=5), ledger, 2 * mb, 4 * mb)
    for _ in range(2):
        quotas.require_upload(limited(uploads=2), ledger, 1, 0)
    with pytest.raises(InputError, match="2 files today"):
        quotas.require_upload(limited(uploads=2), ledger, 1, 0)
    nobody = replace(limited(), id="q")
    quotas.require_upload(nobody, ledger, 1, 0)  # another person's count


def test_the_trash_gives_way_before_a_quota_refuses(tmp_path: Path) -> None:
    kept, gone = tmp_path / "kept", tmp_path / ".trash" / "gone~0"
    for place in (kept, gone):
        place.mkdir(parents=True)
        (place / "file").write_bytes(b"x" * quotas.MB)
    own = limited(disk_mb=2.5)
    quotas.require_disk(own, [kept, gone])
    assert gone.exists()
    quotas.require_disk(own, [kept, gone], quotas.MB)
    assert not gone.exists()
    with pytest.raises(InputError, match=r"take 1 of 2\.5 MB, and this needs 2 MB more"):
        quotas.require_disk(own, [kept, gone], 2 * quotas.MB)
    quotas.require_disk(Person("", "", Role.ANALYST, True, ""), [kept], 10**12)


def test_a_run_that_has_trained_its_minutes_does_not_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Job, "seconds", lambda self: 7200.0)
    with pytest.raises(InputError, match="120 of the 120 minutes"):
        quotas.require_minutes(limited(), Job(Path("r")))
    quotas.require_minutes(limited(minutes=121), Job(Path("r")))


def test_a_file_that_stays_in_the_input_is_counted_once(
    enter: Enter, serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving.write_text(FILE + "uploads = 2\n", encoding="utf-8")
    ledger = quotas.Ledger()
    monkeypatch.setattr(cache, "ledger", lambda: ledger)
    at = enter("views/own.py", ANN)
    for number in range(3):
        at.file_uploader[0].set_value((f"{number}.csv", f"a\n{number}\n".encode(), "text/csv"))
        at.run().run()
    assert "2 files today" in errors(at)


def test_summaries_are_uploads(
    enter: Enter, serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = []
    for split in SPLITS:
        write(tmp_path / "s" / f"{split}.routing", split)
        contents.append((tmp_path / "s" / f"{split}.routing").read_bytes())
    most = 1.5 * max(map(len, contents)) / quotas.MB
    serving.write_text(FILE + f"uploads = 2\nsession_mb = {most}\n", encoding="utf-8")
    ledger = quotas.Ledger()
    monkeypatch.setattr(cache, "ledger", lambda: ledger)

    def opened(at: AppTest, number: int) -> AppTest:
        at.file_uploader[0].set_value((f"{number}.routing", contents[number], ""))
        return at.run().run()

    def there(at: AppTest) -> list[str]:
        boxes = [box for box in at.selectbox if box.label == "Count"]
        return [option for box in boxes for option in box.options if "Opened" in option]

    at = opened(enter(ATLAS, ANN), 0)
    assert not at.error
    assert there(at) == ["Opened: 0.routing"]
    assert "this session keeps" in errors(opened(at, 1))
    at = at.button(key="summary-forget").click().run()
    assert there(at) == []  # nor does the file input bring it again
    assert not at.error
    assert there(opened(at, 1)) == ["Opened: 1.routing"]
    at = at.button(key="summary-forget").click().run()
    assert "2 files today" in errors(opened(at, 2))


@pytest.mark.parametrize("page", [ATLAS, DRIFT])
def test_a_viewer_reads_where_summaries_come_from_and_opens_none(enter: Enter, page: str) -> None:
    at = enter(page, EVE)
    assert not at.error
    assert not at.file_uploader
    assert HOW in [code.value for code in at.code]
    assert any("AESM2_SUMMARIES" in caption.value for caption in at.caption)
