"""Many writers and senders at once, on either database: nobody gets an error, the last values stay."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from diracx_tasks.core import database
from diracx_tasks.jobs import parameters
from tests.builders import VO
from tests.integration.parameters.journal import a_stored_job, document, make_due, run, waiting, wanted

pytestmark = pytest.mark.integration
WRITERS, TIMES = 6, 10


def test_many_writers_and_senders_at_once_lose_nothing(server: None) -> None:
    job_ids = [a_stored_job() for _ in range(4)]

    def write(writer: int) -> None:
        for number in range(TIMES):
            found = {job_id: {f"own{writer}": number, "shared": "x"} for job_id in job_ids}
            with database.session() as db:
                parameters.record(db, found, dict.fromkeys(job_ids, VO))

    def send(_: int) -> None:
        for _ in range(TIMES):
            run()

    with ThreadPoolExecutor(WRITERS + 2) as pool:
        running = [pool.submit(write, writer) for writer in range(WRITERS)]
        running += [pool.submit(send, sender) for sender in range(2)]
        for one in running:
            one.result(timeout=120)
    while waiting():
        make_due()
        run()
    last = {f"own{writer}": TIMES - 1 for writer in range(WRITERS)}
    assert [document(job_id) for job_id in job_ids] == [
        wanted(job_id, shared="x", **last) for job_id in job_ids
    ]
