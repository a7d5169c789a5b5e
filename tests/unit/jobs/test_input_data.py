"""Jobs go where all of their input data is, wait until it can be read, or fail because it is nowhere."""

from collections.abc import Callable

from sqlalchemy import func, select

from diracx_tasks.core.database import session
from diracx_tasks.jobs.optimize import BATCH, optimize
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.submit import NewJob, create
from diracx_tasks.jobs.tables import Job
from diracx_tasks.storage.catalogue import catalogue
from tests.api.stores import installation, migrated
from tests.builders import VO, a_new_job, template
from tests.unit.jobs.optimizing import (
    CLOUD,
    PIC,
    Configured,
    configured,
    file,
    lost,
    optimized,
    readable,
    sites_of,
    statements,
    submitted,
)

__all__ = ["configured", "installation", "migrated", "statements", "template"]


def test_a_job_goes_where_all_of_its_input_data_is(configured: Configured) -> None:
    with configured():
        both, ral = submitted("/lhcb/both"), submitted("/lhcb/both", "/lhcb/ral")
        free, none = submitted("/lhcb/cloud"), submitted()
        found = optimized(both, ral, free, none)
        assert [(status, site) for status, _, _, site in found] == [
            ("Waiting", "Multiple"),
            ("Waiting", "LCG.RAL.uk"),
            ("Waiting", "ANY"),
            ("Waiting", "ANY"),
        ]
        assert sites_of(both) == ("LCG.CERN.ch", "LCG.RAL.uk")
        assert (sites_of(ral), sites_of(free), sites_of(none)) == (("LCG.RAL.uk",), (), ())


def test_what_the_owner_states_and_the_input_data_hold_together(configured: Configured) -> None:
    with configured():
        cern = submitted("/lhcb/both", requirements={"sites": ["LCG.CERN.ch", "LCG.PIC.es"]})
        not_cern = submitted("/lhcb/both", requirements={"banned_sites": ["LCG.CERN.ch"]})
        pic = submitted("/lhcb/ral", requirements={"sites": ["LCG.PIC.es"]})
        found = optimized(cern, not_cern, pic)
        assert [(status, site) for status, _, _, site in found[:2]] == [
            ("Waiting", "LCG.CERN.ch"),
            ("Waiting", "LCG.RAL.uk"),
        ]
        words = "sites: none of LCG.PIC.es has the input data, which is at LCG.RAL.uk"
        assert found[2] == ("Failed", "JobScheduling optimizer", words, "ANY")


def test_the_owners_sites_are_among_the_many_that_have_the_data(configured: Configured) -> None:
    with configured():
        job_id = submitted("/lhcb/wide", requirements={"sites": ["LCG.Z.zz"]})
        assert optimized(job_id)[0] == ("Waiting", "Pilot Agent Submission", "Unknown", "LCG.Z.zz")
        assert sites_of(job_id) == ("LCG.Z.zz",)


def test_input_data_that_is_not_there_fails_the_job_and_no_other(configured: Configured) -> None:
    with configured():
        gone, foreign = submitted("/lhcb/ral", "/lhcb/gone"), submitted("/belle/x")
        good = submitted("/lhcb/cern", "/lhcb/ral")
        found = optimized(gone, foreign, good)
        words = "Input Data Not Available: 1 of 2 files (/lhcb/gone) is not in the file catalogue of lhcb"
        assert found[0][:3] == ("Failed", "InputData optimizer", words)
        assert found[1][0] == "Failed"
        assert "/belle/x is not of the VO lhcb" in found[1][2]
        assert found[2][0] == "Waiting"


def test_files_that_no_site_has_together_fail_the_job(configured: Configured) -> None:
    with configured():
        apart = submitted("/lhcb/ral", "/lhcb/pic")
        words = "no site has all input data; /lhcb/pic is at LCG.PIC.es; /lhcb/ral is at LCG.RAL.uk"
        assert optimized(apart)[0][:3] == (
            "Failed",
            "InputData optimizer",
            f"No candidate sites available: {words}",
        )


def test_input_data_at_a_storage_element_that_cannot_be_read_is_waited_for(configured: Configured) -> None:
    with configured():
        job_id = submitted("/lhcb/pic", "/lhcb/both")
        readable(PIC, "Banned")
        assert optimized(job_id)[0][:3] == (
            "Checking",
            "InputData",
            "On Hold: 1 of 2 files (/lhcb/pic) is only at PIC-disk, which cannot be read now",
        )


def test_the_jobs_of_transformations_come_with_their_sites(configured: Configured) -> None:
    with configured():
        merge = submitted("/lhcb/gone", job_type="Merge", requirements={"sites": ["LCG.PIC.es"]})
        assert [one[0] for one in optimized(merge)] == ["Waiting"]
        assert sites_of(merge) == ("LCG.PIC.es",)


def test_a_catalogue_that_is_away_holds_those_who_need_it(configured: Configured) -> None:
    with configured(catalogue="away"):
        needs, other = submitted("/lhcb/ral"), submitted()
        found = optimized(needs, other)
        assert [status for status, _, _, _ in found] == ["Checking", "Waiting"]
        assert found[0][2] == "On Hold: the file catalogue does not answer: the catalogue is being moved"


def test_a_job_that_begins_anew_goes_where_its_data_is_by_then(configured: Configured) -> None:
    with configured():
        job_id = submitted("/lhcb/ral")
        optimized(job_id)
        assert sites_of(job_id) == ("LCG.RAL.uk",)
        lost(job_id)
        with session() as db:
            catalogue(db, VO).remove(["/lhcb/ral"])
            catalogue(db, VO).register([file("/lhcb/ral", CLOUD)])
        assert optimized(job_id) == [("Waiting", "Pilot Agent Submission", "Unknown", "ANY")]
        assert sites_of(job_id) == ()


def test_a_batch_of_input_data_is_looked_up_with_few_statements(
    configured: Configured, statements: Callable[[], int]
) -> None:
    with configured():
        with session() as db:
            jobs: list[NewJob] = [a_new_job(input_data=("/lhcb/both", "/lhcb/ral")) for _ in range(BATCH)]
            jobs[::50] = [a_new_job(input_data=("/lhcb/gone",)) for _ in jobs[::50]]
            create(db, jobs)
        before = statements()
        with session() as db:
            assert optimize(db) == BATCH
        assert statements() - before < 60
        with session() as db:
            counts = dict(db.execute(select(Job.status, func.count()).group_by(Job.status)).all())
        assert counts == {Status.WAITING: BATCH - 10, Status.FAILED: 10}
