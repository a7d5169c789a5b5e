"""OpenSearch is away, slow, full or in pieces: no parameter is lost, nobody waits."""

from typing import Any

import pytest

from diracx_tasks.core import database, opensearch
from diracx_tasks.core.errors import Unavailable
from diracx_tasks.jobs import parameters
from tests.integration.parameters.journal import (
    a_stored_job,
    backlog,
    document,
    empty_the_journal,
    forget,
    known,
    make_due,
    read,
    record,
    refused,
    run,
    waiting,
    wanted,
    with_opensearch,
)
from tests.opensearch import REAL, OpenSearchDouble
from tests.opensearch_cluster import Faults
from tests.system import wait_for

pytestmark = pytest.mark.integration


def test_everything_arrives_once_opensearch_returns(double: OpenSearchDouble) -> None:
    job_ids = [a_stored_job() for _ in range(5)]
    record(job_ids[0], HostName="before")
    run()
    double.stop()
    for number, job_id in enumerate(job_ids):
        record(job_id, HostName=f"wn{number}", number=number)
    record(job_ids[4], number=44)
    with pytest.raises(Unavailable, match=r"OpenSearch at http://127.0.0.1:[0-9]+ fails"):
        run()
    with database.reading() as db:
        count, age = parameters.backlog(db)
    assert count == 10 and age > 0
    assert read(job_ids[1]) == parameters.Found(
        {job_ids[1]: {"HostName": "wn1", "number": 1}}, is_complete=False
    )
    double.start()
    run()
    told = [{"HostName": f"wn{number}", "number": number} for number in (0, 1, 2, 3)]
    told.append({"HostName": "wn4", "number": 44})
    assert [document(job_id) for job_id in job_ids] == [
        wanted(job_id, **one) for job_id, one in zip(job_ids, told, strict=True)
    ]
    assert waiting() == {}
    wait_for(lambda: read(job_ids[1]).is_complete, 30, str)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 429},
        {"status": 502},
        {"status": 500},
        {"status": 401},
        {"drops": True},
        {"drops_after": True},
        {"delay": 0.5},
        {"rejects": 1000},
        {"blocked": "_lhcb_"},
    ],
    ids=str,
)
def test_nothing_is_lost_whatever_ails_opensearch(
    double: OpenSearchDouble, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    monkeypatch.setattr(opensearch, "PATIENCE", 0.2)
    monkeypatch.setattr(parameters, "READ_SECONDS", 0.2)
    job_id = a_stored_job()
    record(job_id, HostName="wn0", CEQueue="long")
    for name, value in fault.items():
        setattr(double.faults, name, value)
    for number in range(1, 3):
        record(job_id, HostName=f"wn{number}")
        try:
            run()
        except Unavailable as error:
            assert "OpenSearch" in str(error)
        make_due()
    assert known(job_id) == {"HostName": "wn2", "CEQueue": "long"}
    double.cluster.faults = Faults()
    make_due()
    run()
    assert document(job_id) == wanted(job_id, HostName="wn2", CEQueue="long")
    assert waiting() == {} and refused() == {}


def test_users_do_not_wait_for_an_opensearch_that_is_slow(
    double: OpenSearchDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parameters, "READ_SECONDS", 0.2)
    job_id = a_stored_job()
    record(job_id, HostName="wn1")
    run()
    double.faults.delay = 2.0
    record(job_id, CEQueue="long")
    assert read(job_id) == parameters.Found({job_id: {"CEQueue": "long"}}, is_complete=False)


def test_a_vo_whose_index_is_blocked_does_not_hold_up_the_others(double: OpenSearchDouble) -> None:
    blocked, other = a_stored_job(), a_stored_job("atlas")
    record(blocked, HostName="wn1")
    record(other, "atlas", HostName="wn2")
    double.faults.blocked = "_lhcb_"
    assert run() == "1 sent"
    assert document(other, "atlas") == wanted(other, HostName="wn2")
    assert run() == "0 sent", "it is not tried again at once"
    assert backlog() == 1 and refused() == {}
    double.faults.blocked = ""
    make_due()
    run()
    assert document(blocked) == wanted(blocked, HostName="wn1")


def test_a_removed_job_goes_from_opensearch_also_when_that_is_away(double: OpenSearchDouble) -> None:
    gone, never_sent, stays = a_stored_job(), a_stored_job(), a_stored_job()
    for job_id in (gone, stays):
        record(job_id, HostName="wn1")
    run()
    double.stop()
    record(gone, HostName="wn2")
    record(never_sent, HostName="wn3")
    forget(gone, never_sent)
    forget(gone)
    assert known(gone) == {}
    with pytest.raises(Unavailable):
        run()
    double.start()
    run()
    assert document(gone) is None and document(never_sent) is None
    assert document(stays) == wanted(stays, HostName="wn1")
    assert waiting() == {}


def test_the_user_and_password_are_those_of_the_settings(stated: dict[str, str]) -> None:
    if REAL:
        pytest.skip("a real server has users of its own")
    with with_opensearch(stated, password="right") as double:
        empty_the_journal()
        job_id = a_stored_job()
        record(job_id, HostName="wn1")
        double.password = "another"
        with pytest.raises(Unavailable, match="401"):
            run()
        double.password = "right"
        run()
        assert document(job_id) == wanted(job_id, HostName="wn1")
