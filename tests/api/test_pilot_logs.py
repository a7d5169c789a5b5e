"""What pilots have written: their own logs in the store, and what their batch systems have of them."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from diracx_tasks.auth.rights import SERVICE
from diracx_tasks.core.database import reading, session
from diracx_tasks.core.errors import Unavailable
from diracx_tasks.engine.tables import Outbox
from diracx_tasks.pilots import clean, logs, register, tasks
from diracx_tasks.pilots.tables import Pilot, PilotOutput
from diracx_tasks.sandboxes.store import store
from tests.api.caller import Api
from tests.api.pilots import put
from tests.api.stores import ON_SQLITE, installation, migrated
from tests.builders import VO, a_pilot, a_user
from tests.unit.matching.ends import waiting
from tests.unit.pilots.spool import Grid, age, grid, planned, submitted

__all__ = ["grid", "installation", "migrated"]
CAROL = a_user("carol", properties=(SERVICE,))
EVE = a_user("eve", vo="belle", properties=(SERVICE,))


@pytest.fixture(autouse=True)
def sites(grid: Grid) -> Iterator[Grid]:
    yield grid


def upload(api: Api, text: str, stamp: str = "stamp-1", by: str = "stamp-1") -> int:
    answer = api.post("/api/pilots/log", {"stamp": stamp, "text": text}, by=a_pilot(by))
    return int(answer.status_code)


def test_the_last_log_that_a_pilot_has_sent_is_read(api: Api) -> None:
    put(VO, "stamp-1")
    assert api.get("/api/pilots/stamp-1/log", by=CAROL).json()["detail"] == "pilot stamp-1 has sent no log"
    assert upload(api, "began\n") == 204
    assert upload(api, "began\nends: no work för 300 s\n" * 50) == 204
    answer = api.get("/api/pilots/stamp-1/log", by=CAROL)
    assert (answer.status_code, answer.text) == (200, "began\nends: no work för 300 s\n" * 50)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_a_pilot_sends_no_other_pilots_log_nor_one_of_nobody(api: Api) -> None:
    put(VO, "stamp-1", "stamp-2")
    assert upload(api, "mine", stamp="stamp-2") == 403
    assert upload(api, "mine", stamp="stamp-3", by="stamp-3") == 404
    assert api.post("/api/pilots/log", {"stamp": "stamp-1", "text": ""}, by=CAROL).status_code == 403
    assert api.get("/api/pilots/stamp-2/log", by=CAROL).status_code == 404


def test_logs_are_for_operators_of_the_vo(api: Api) -> None:
    put(VO, "stamp-1")
    upload(api, "secret")
    assert api.get("/api/pilots/stamp-1/log").status_code == 403
    assert api.get("/api/pilots/stamp-1/log", by=EVE).status_code == 404
    put("belle", "stamp-1")
    assert api.get("/api/pilots/stamp-1/log", by=EVE).json()["detail"] == "pilot stamp-1 has sent no log"


def test_a_log_beyond_a_megabyte_is_413_and_the_last_one_stays(api: Api) -> None:
    put(VO, "stamp-1")
    upload(api, "short")
    assert upload(api, "ä" * (1 << 19)) == 204
    assert upload(api, "ä" * (1 << 19) + "x") == 413
    assert api.get("/api/pilots/stamp-1/log", by=CAROL).text == "ä" * (1 << 19)


@ON_SQLITE
@pytest.mark.parametrize("stamp", ["../../keys", "a/b", "..", "%2e%2e"])
def test_a_stamp_never_leads_out_of_the_store(api: Api, grid: Grid, stamp: str) -> None:
    put(VO, stamp)
    assert upload(api, "x", stamp=stamp, by=stamp) == 204
    (file,) = grid.folder.parent.rglob("*.log")
    assert file.parent == grid.folder.parent / "data" / "sandboxes" / "pilots" / VO
    with reading() as db:
        assert logs.uploaded(db, VO, stamp) == "x"


def test_logs_go_with_their_pilots(api: Api) -> None:
    put(VO, "stamp-1", "stamp-2")
    for stamp in ("stamp-1", "stamp-2"):
        upload(api, "x", stamp, stamp)
    with session() as db:
        register.ended(db, VO, ["stamp-1"], status="Done", reason="no work")
    age(31 * 86400)
    with session() as db:
        assert clean.forget_old(db, VO) == 1
    assert not store().has("pilots/lhcb/stamp-1.log")
    assert store().has("pilots/lhcb/stamp-2.log")


def sent() -> str:
    waiting(1)
    planned()
    submitted("ce1")
    with reading() as db:
        return db.scalars(select(Pilot.stamp)).one()


def test_an_element_is_asked_for_output_by_a_worker(api: Api, grid: Grid) -> None:
    stamp = sent()
    grid.write("ce1", stamp, "began\n")
    path = f"/api/pilots/{stamp}/output"
    assert api.get(path, by=CAROL).status_code == 404
    assert api.post(path, by=CAROL).status_code == 202
    with reading() as db:
        assert db.scalars(select(Outbox.task).where(Outbox.key == f"pilot-lhcb/{stamp}.output")).all() == [
            "pilots.fetch_output"
        ]
    assert api.get(path, by=CAROL).status_code == 404
    assert tasks.fetch_output.run(vo=VO, stamp=stamp) == "6 letters of output, 0 of errors"
    assert api.get(path, by=CAROL).json() == {"output": "began\n", "errors": ""}
    grid.write("ce1", stamp, "began\nended\n")
    assert api.post(path, by=CAROL).status_code == 202
    assert api.get(path, by=CAROL).status_code == 404
    tasks.fetch_output.run(vo=VO, stamp=stamp)
    assert api.get(path, by=CAROL).json()["output"] == "began\nended\n"
    assert api.get(path, by=EVE).status_code == 404
    assert api.post(path, by=EVE).status_code == 404
    assert api.get(path).status_code == 403


def test_why_an_element_gives_nothing_is_told(api: Api, grid: Grid) -> None:
    stamp = sent()
    grid.rule("ce1", "refuses", "permission denied")
    tasks.fetch_output.run(vo=VO, stamp=stamp)
    answer = api.get(f"/api/pilots/{stamp}/output", by=CAROL)
    assert answer.json() == {"output": "", "errors": "ce1 gives no output: permission denied"}
    put(VO, "theirs")
    tasks.fetch_output.run(vo=VO, stamp="theirs")
    errors = api.get("/api/pilots/theirs/output", by=CAROL).json()["errors"]
    assert "there is no computing element NotAssigned in the configuration" in errors


def test_an_element_that_is_away_is_asked_again(grid: Grid) -> None:
    stamp = sent()
    grid.rule("ce1", "away", "no route to host")
    with pytest.raises(Unavailable, match="no route to host"):
        logs.fetch_output(VO, stamp)
    with reading() as db:
        assert db.scalars(select(PilotOutput)).all() == []
