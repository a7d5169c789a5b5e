"""Job parameters on their way into OpenSearch, and what users see of them meanwhile."""

import pytest
from sqlalchemy import select

from diracx_tasks.core import database, opensearch
from diracx_tasks.engine import outbox
from diracx_tasks.engine.tables import Outbox
from diracx_tasks.jobs import parameters
from diracx_tasks.jobs.parameter_documents import FIELDS, indexes_of
from diracx_tasks.jobs.tables import Parameter
from tests.builders import VO
from tests.integration.parameters.journal import (
    a_stored_job,
    backlog,
    document,
    known,
    read,
    record,
    run,
    waiting,
    wanted,
)
from tests.unit.engine.work import drain

pytestmark = pytest.mark.integration


def test_parameters_come_into_opensearch_as_diracx_has_them_there(server: None) -> None:
    job_id = a_stored_job()
    given = {
        "HostName": "wn1",
        "Memory(MB)": 12,
        "Load": 1.5,
        "Good": True,
        "Sites": ["A", "B"],
        "Big": 2**70,
    }
    record(job_id, **given, Map={"a": [1]})
    assert document(job_id) is None
    assert run() == "7 sent"
    told = {**given, "Big": str(2**70), "Map": '{"a": [1]}'}
    assert document(job_id) == wanted(job_id, **told)
    assert known(job_id) == told
    assert waiting() == {} and backlog() == 0
    index = indexes_of({job_id: VO})[job_id]
    mapping = opensearch._ask(lambda client: client.indices.get_mapping(index=index))
    properties = mapping[index]["mappings"]["properties"]
    assert {name: properties[name]["type"] for name in FIELDS} == FIELDS


def test_what_waits_is_read_at_once_and_complete(server: None) -> None:
    job_id = a_stored_job()
    record(job_id, HostName="wn1")
    assert read(job_id) == parameters.Found({job_id: {"HostName": "wn1"}}, is_complete=True)


def test_later_values_win_and_others_stay(server: None) -> None:
    job_id = a_stored_job()
    record(job_id, HostName="wn1", CEQueue="long")
    record(job_id, HostName="wn2")
    run()
    record(job_id, HostName="wn3", ModelName="Xeon")
    assert known(job_id) == {"HostName": "wn3", "CEQueue": "long", "ModelName": "Xeon"}
    run()
    assert document(job_id) == wanted(job_id, HostName="wn3", CEQueue="long", ModelName="Xeon")


def test_upper_and_lower_case_are_different_parameters(server: None) -> None:
    job_id = a_stored_job()
    record(job_id, load=1, Load=2)
    run()
    assert document(job_id) == wanted(job_id, load=1, Load=2)


def test_what_is_rolled_back_is_never_sent(server: None) -> None:
    job_id = a_stored_job()
    with database.new_session() as db:
        parameters.record(db, {job_id: {"HostName": "wn1"}}, {job_id: VO})
        db.rollback()
    run()
    assert document(job_id) is None and known(job_id) == {}


def test_two_requests_ask_for_one_run_and_news_while_it_runs_for_another(server: None) -> None:
    job_id = a_stored_job()
    for number in range(3):
        record(job_id, number=number)
    with database.reading() as db:
        (row,) = db.scalars(select(Outbox).where(Outbox.key == parameters.SEND))
        assert (row.task, row.asked, row.next_at) == (parameters.SEND, 1, None)
    run()
    with database.reading() as db:
        assert db.get_one(Outbox, parameters.SEND).next_at is not None


def test_a_worker_sends_until_there_is_no_news(server: None) -> None:
    job_id = a_stored_job()
    drain()
    record(job_id, HostName="wn1")
    # The first message sends and asks for another look a little later, which finds nothing.
    assert drain() == 2
    assert document(job_id) == wanted(job_id, HostName="wn1")
    with database.reading() as db:
        assert outbox.pending(db) == 0


def test_vos_have_indexes_of_their_own_and_see_nothing_of_each_other(server: None) -> None:
    mine, other = a_stored_job(), a_stored_job("atlas")
    record(mine, HostName="wn1")
    record(other, "atlas", HostName="wn2")
    run()
    assert document(other, "atlas") == wanted(other, HostName="wn2")
    assert document(other) is None
    with database.reading() as db:
        assert parameters.read(db, [mine, other], "atlas").parameters.keys() == {other}
        assert parameters.read(db, [mine, other], VO).parameters.keys() == {mine}


def test_what_was_stored_before_there_was_an_opensearch_can_be_read(
    server: None, stated: dict[str, str]
) -> None:
    job_id = a_stored_job()
    with database.session() as db:
        db.add(Parameter(job_id=job_id, name="HostName", value="old"))
        db.add(Parameter(job_id=job_id, name="CEQueue", value="long"))
    record(job_id, HostName="new")
    run()
    assert known(job_id) == {"HostName": "new", "CEQueue": "long"}
