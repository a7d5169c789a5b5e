"""Parameters that OpenSearch does not take: they alone stay behind, readable, with the reason."""

import pytest

from diracx_tasks.core import database, opensearch
from diracx_tasks.jobs import parameters
from diracx_tasks.jobs.parameter_documents import indexes_of
from tests.builders import VO
from tests.integration.parameters.journal import (
    a_stored_job,
    backlog,
    document,
    known,
    record,
    refused,
    run,
    wanted,
)
from tests.opensearch import OpenSearchDouble

pytestmark = pytest.mark.integration


def test_a_value_of_another_type_is_refused_alone_and_said(server: None) -> None:
    job_id, other = a_stored_job(), a_stored_job()
    record(
        job_id, **{"Memory(MB)": "much", "PayloadPID": True, "HostName": "wn1", "CEQueue": "q", "number": 1}
    )
    record(other, **{"Memory(MB)": "12"})
    run()
    assert document(job_id) == wanted(job_id, HostName="wn1", CEQueue="q", number=1)
    assert document(other) == wanted(other, **{"Memory(MB)": "12"})
    assert refused().keys() == {"Memory(MB)", "PayloadPID"}
    assert "failed to parse field [Memory(MB)] of type [long]" in refused()["Memory(MB)"]
    assert backlog() == 0
    assert known(job_id)["Memory(MB)"] == "much", "it can be read all the same"
    record(job_id, **{"Memory(MB)": 2000})
    run()
    assert document(job_id) == wanted(job_id, HostName="wn1", CEQueue="q", number=1, **{"Memory(MB)": 2000})
    assert refused().keys() == {"PayloadPID"}


def test_names_that_opensearch_does_not_take_are_refused_alone(server: None) -> None:
    job_id = a_stored_job()
    record(
        job_id, **{"a..b": 1, ".": 2, "_id": 3, "dot.": 4, "good.name": 5, "%20": 6, "é\U0001f600": 7, '"': 8}
    )
    run()
    good = {"good.name": 5, "%20": 6, "é\U0001f600": 7, '"': 8}
    assert document(job_id) == wanted(job_id, **good)
    assert refused().keys() == {"a..b", ".", "_id", "dot."}
    assert known(job_id) == {**good, "a..b": 1, ".": 2, "_id": 3, "dot.": 4}


def test_an_index_full_of_names_takes_what_it_can_and_says_so(server: None) -> None:
    first, second = a_stored_job(), a_stored_job()
    record(first, **{f"n{number:04}": number for number in range(900)})
    record(second, **{f"m{number:04}": number for number in range(150)}, HostName="wn1")
    run()
    found = document(second)
    assert found is not None and found["HostName"] == "wn1" and 50 < len(found) < 100
    assert set(refused().values()) == {
        "illegal_argument_exception: Limit of total fields [1000] has been exceeded"
    }
    assert len(known(second)) == 151
    assert backlog() == 0


def test_what_was_refused_is_taken_when_the_mapping_is_another(server: None) -> None:
    job_id = a_stored_job()
    record(job_id, load=1)
    run()
    record(job_id, load="high")
    run()
    assert refused().keys() == {"load"}
    index = indexes_of({job_id: VO})[job_id]
    opensearch._ask(lambda client: client.indices.delete(index=index))
    with database.session() as db:
        assert parameters.send_refused(db) == 1
    run()
    assert document(job_id) == wanted(job_id, load="high")
    assert refused() == {}


def test_bodies_that_are_too_large_are_halved_and_one_value_alone_is_refused(
    double: OpenSearchDouble,
) -> None:
    double.faults.longest_body = 4000
    job_ids = [a_stored_job() for _ in range(4)]
    for job_id in job_ids:
        record(job_id, a="x" * 1500, b="y" * 1500)
    record(job_ids[3], c="z" * 5000)
    run()
    for job_id in job_ids:
        assert document(job_id) == wanted(job_id, a="x" * 1500, b="y" * 1500)
    assert refused().keys() == {"c"} and backlog() == 0
