"""Snapshots in OpenSearch, as DIRAC's WMSHistory has them, whatever happens on the way."""

from collections.abc import Iterator
from datetime import UTC
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from diracx_tasks.accounting import send_snapshots as sending
from diracx_tasks.accounting.tables import StateBucket, StateCount
from diracx_tasks.core import opensearch
from diracx_tasks.core.database import changed, reading, session
from diracx_tasks.core.errors import Unavailable
from diracx_tasks.engine.declared import REGISTRY
from diracx_tasks.engine.tables import Outbox
from tests.builders import template
from tests.integration.parameters.conftest import on_mariadb, stated
from tests.integration.parameters.journal import with_opensearch
from tests.opensearch import REAL, OpenSearchDouble
from tests.unit.matching.ends import held, waiting

__all__ = ["on_mariadb", "stated", "template"]
pytestmark = pytest.mark.integration


@pytest.fixture
def jobs(stated: dict[str, str]) -> Iterator[OpenSearchDouble]:
    """Jobs in two states at two sites, and an OpenSearch."""
    with with_opensearch(stated) as found:
        with session() as db:
            for table in (StateCount, StateBucket, Outbox):
                changed(db, delete(table))
        waiting(2)
        held(1, site="CERN")
        yield found


def snapshot() -> str:
    return REGISTRY["accounting.snapshot"].function()


def send() -> str:
    return REGISTRY[sending.SEND].function()


def documents() -> list[dict[str, Any]]:
    """What OpenSearch has of the only snapshot."""
    with reading() as db:
        (at,) = db.scalars(select(StateBucket.at))
        numbers = list(db.scalars(select(StateCount.number).order_by(StateCount.number)))
    index, ids = sending.index_of(at), [f"{at:%Y%m%dT%H%M%S}-{number}" for number in numbers]
    docs = [{"_index": index, "_id": name} for name in ids]
    answer = opensearch._ask(lambda client: client.mget(body={"docs": docs}))
    return [one["_source"] for one in answer["docs"] if one.get("found")]


def sent() -> bool:
    with reading() as db:
        return db.scalars(select(StateBucket.sent_at)).one() is not None


def test_a_snapshot_comes_into_opensearch_as_dirac_has_it_there(jobs: OpenSearchDouble) -> None:
    snapshot()
    with reading() as db:
        assert sending.SEND in db.scalars(select(Outbox.task)).all()
    assert not sent()
    assert send() == "1 snapshots sent" and sent()
    found = {(one["Status"], one["Site"], one["User"], one["JobSplitType"]): one for one in documents()}
    assert found["Waiting", "ANY", "alice", "User"]["Jobs"] >= 2
    running = found["Running", "CERN", "alice", "User"]
    with reading() as db:
        at = db.scalars(select(StateBucket.at)).one()
        mine = (StateCount.status == "Running", StateCount.site == "CERN", StateCount.job_type == "User")
        count = db.scalars(select(StateCount).where(*mine)).one()
    assert running == {
        "timestamp": int(at.replace(tzinfo=UTC).timestamp() * 1000),
        "Status": "Running",
        "Site": "CERN",
        "User": "alice",
        "UserGroup": "user",
        "JobGroup": "unset",
        "MinorStatus": count.minor_status,
        "ApplicationStatus": "unset",
        "JobSplitType": "User",
        "VO": "lhcb",
        "Jobs": count.jobs,
        "Reschedules": 0,
    }


def test_to_send_it_again_changes_nothing(jobs: OpenSearchDouble) -> None:
    snapshot()
    send()
    before = documents()
    assert send() == "0 snapshots sent"
    with session() as db:
        changed(db, update(StateBucket).values(sent_at=None))
    assert send() == "1 snapshots sent"
    assert documents() == before


def test_while_opensearch_is_away_snapshots_wait(jobs: OpenSearchDouble) -> None:
    if REAL:
        pytest.skip("the faults of a real server cannot be chosen")
    snapshot()
    for fault in ("status", "rejects"):
        setattr(jobs.faults, fault, {"status": 503, "rejects": 1}[fault])
        with pytest.raises(Unavailable):
            send()
        setattr(jobs.faults, fault, 0)
        assert not sent()
    jobs.faults.drops_after = True
    with pytest.raises(Unavailable):
        send()
    jobs.faults.drops_after = False
    assert send() == "1 snapshots sent" and sent()
    assert len(documents()) >= 2


def test_a_large_snapshot_is_sent_page_by_page(
    jobs: OpenSearchDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "PAGE", 1)
    snapshot()
    assert send() == "1 snapshots sent"
    with reading() as db:
        assert len(documents()) == db.scalars(select(StateBucket.kinds)).one() >= 2
