"""Whoever sends job parameters, however often and late: the newest value of each stays."""

from typing import Any

import pytest

from diracx_tasks.core import opensearch
from diracx_tasks.jobs import send_parameters as sending
from diracx_tasks.jobs.parameter_documents import indexes_of
from tests.builders import VO
from tests.integration.parameters.journal import (
    a_stored_job,
    backlog,
    document,
    known,
    looked,
    make_due,
    record,
    run,
    settle,
    waiting,
    wanted,
)

pytestmark = pytest.mark.integration


def test_a_worker_that_is_killed_between_sending_and_deleting_does_no_harm(server: None) -> None:
    job_id = a_stored_job()
    record(job_id, HostName="wn1", number=1)
    assert sending.send(looked()).done
    assert document(job_id) == wanted(job_id, HostName="wn1", number=1)
    assert backlog() == 2
    run()
    assert document(job_id) == wanted(job_id, HostName="wn1", number=1)
    assert waiting() == {}


def test_a_value_that_is_written_while_an_older_one_is_sent_stays(server: None) -> None:
    job_id = a_stored_job()
    record(job_id, HostName="wn1", number=1)
    documents = looked()
    record(job_id, HostName="wn2")
    settle(sending.send(documents))
    assert waiting() == {(job_id, "HostName"): '"wn2"'}
    assert document(job_id) == wanted(job_id, HostName="wn1", number=1)
    assert known(job_id) == {"HostName": "wn2", "number": 1}
    run()
    assert document(job_id) == wanted(job_id, HostName="wn2", number=1)


@pytest.mark.parametrize("before", [None, "wn0", "wn2"], ids=["new", "other", "same"])
def test_a_late_sender_cannot_bring_an_old_value_back(server: None, before: str | None) -> None:
    job_id = a_stored_job()
    # With a time of the user's a document may stay the same in every field.
    at = "2026-11-23T10:00:00Z"
    if before:
        record(job_id, HostName=before, number=1, timestamp=at)
        run()
    record(job_id, HostName="wn1")
    late = looked()
    record(job_id, HostName="wn2", number=1, timestamp=at)
    run()
    sent = sending.send(late)
    assert sent.done == []
    settle(sent)
    assert document(job_id) == wanted(job_id, HostName="wn2", number=1)
    make_due()
    run()
    assert document(job_id) == wanted(job_id, HostName="wn2", number=1)
    assert waiting() == {}


def test_dirac_may_write_the_same_documents_meanwhile(server: None) -> None:
    job_id = a_stored_job()
    index = indexes_of({job_id: VO})[job_id]

    def dirac(**found: Any) -> None:
        body = {"doc": {"JobID": job_id, **found}, "doc_as_upsert": True}
        opensearch._ask(lambda client: client.update(index=index, id=str(job_id), body=body))

    record(job_id, HostName="wn1")
    documents = looked()
    dirac(CEQueue="long")
    settle(sending.send(documents))
    make_due()
    dirac(ModelName="Xeon")
    run()
    assert document(job_id) == wanted(job_id, HostName="wn1", CEQueue="long", ModelName="Xeon")
    assert waiting() == {}
