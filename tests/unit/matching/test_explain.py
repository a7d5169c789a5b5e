"""Why a job is where it is: what no node offers that it asks for, or what its status means."""

from typing import Any

from sqlalchemy.orm import Session

from diracx_tasks.core import database
from diracx_tasks.jobs import control
from diracx_tasks.jobs.states import Status
from diracx_tasks.matching.node import node_of
from tests.builders import Installation, a_job
from tests.unit.matching.asking import RAL, a_node, asked, queued, said, why


def test_without_nodes_it_says_so_and_what_to_do(installation: Installation) -> None:
    (job_id,) = queued()
    found = why(job_id)

    assert found.status == "Waiting"
    assert found.reasons[0] == "No node has asked for work within the last hour."
    assert found.advice == ["Have pilots started: `diracx matching nodes` shows when they ask."]
    assert found.last_asked_seconds is None and found.ahead is None
    assert found.reasons[-1].startswith("It has been waiting for ")


REQUIREMENTS: list[tuple[dict[str, Any], str, str]] = [
    (
        {"cores": 128},
        "It asks for 128 cores; no node of the last hour has more than 64 (CERN).",
        "Ask for at most 64 (coresMin in CWL, NumberOfProcessors in JDL), or have such pilots started.",
    ),
    (
        {"ram_mb": 512_000},
        "It asks for 512000 MB of RAM; no node of the last hour has more than 256000 MB (CERN).",
        "Ask for at most 256000 MB (ramMin in CWL, MinRAM in JDL), or have such pilots started.",
    ),
    (
        {"sites": ["PIC", "KIT"]},
        "It may only run at KIT, PIC; nodes asked from CERN, RAL.",
        "Allow other sites (sites in dirac:Job, Site in JDL), such as CERN, "
        "or have pilots started at others.",
    ),
    (
        {"sites": ["CRN"]},
        "It may only run at CRN; nodes asked from CERN, RAL.",
        "Is CERN meant? Change sites in dirac:Job, Site in JDL.",
    ),
    (
        {"banned_sites": ["CERN", "RAL"]},
        "It must not run at CERN, RAL; nodes asked from nowhere else.",
        "Allow other sites (banned_sites in dirac:Job, BannedSites in JDL), such as CERN, "
        "or have pilots started at others.",
    ),
    (
        {"platform": "arm"},
        "It asks for the platform arm; the nodes of the last hour have el8, el9.",
        "Change platform in dirac:Job, Platform in JDL, or have such pilots started.",
    ),
    (
        {"tags": ["CVMFS"]},
        "It asks for the tag CVMFS; no node offers that.",
        "Is cvmfs meant? Change tags in dirac:Job, Tags in JDL.",
    ),
    (
        {"tags": ["~MultiProcessor2"], "gpu": {"count": 1}},
        "It asks for 1 GPU; no node of the last hour says that it has any.",
        "Do not ask for it (gpu.count in dirac:Job, cudaDeviceCountMin in CWL), or have such pilots started.",
    ),
    (
        {"system": {"glibc": "2.40"}},
        "It asks for glibc 2.40; no node of the last hour has more than 2.34 (CERN).",
        "Ask for at most 2.34 (system.glibc in dirac:Job), or have such pilots started.",
    ),
    (
        {"wall_time": 7200},
        "It asks for 2 h of wall time; no node of the last hour has more than 1 h (CERN).",
        "Ask for at most 1 h (timelimit in CWL), or have such pilots started.",
    ),
]


def test_a_requirement_that_no_node_meets_is_named_with_the_nearest(installation: Installation) -> None:
    jobs = [queued(requirements=needs)[0] for needs, _, _ in REQUIREMENTS]
    asked(node_of(**RAL, wall_time=600), a_node(glibc=2034, wall_time=3600))

    for job_id, (_, words, advice) in zip(jobs, REQUIREMENTS, strict=True):
        found = why(job_id)
        assert found.reasons[:2] == ["None of the 2 kinds of nodes of the last hour fits.", words]
        assert found.advice == [advice]


def test_what_is_unmet_is_told_in_values_too(installation: Installation) -> None:
    (job_id,) = queued(requirements={"cores": 128, "tags": ["gpu & fast"]})
    asked(a_node(), node_of(**RAL))
    found = [(one.requirement, one.wanted, one.nearest, one.site) for one in why(job_id).unmet]

    assert found[0] == ("cores", 128, 64, "CERN")
    assert [(name, wanted) for name, wanted, *_ in found[1:]] == [("tags", "fast"), ("tags", "gpu")]


def test_requirements_that_are_met_but_never_together_are_named(installation: Installation) -> None:
    (job_id,) = queued(requirements={"cores": 16, "platform": "el9"})
    asked(a_node(), node_of(**RAL))
    found = why(job_id)

    assert (
        "Each requirement is met by some nodes of the last hour, but no node meets all: "
        "the platform el9 and 16 cores are never together." in found.reasons
    )
    assert "The nodes at RAL meet all but this: 16 cores (they have 8)." in found.reasons
    assert "The nodes at CERN meet all but this: the platform el9 (they have el8)." in found.reasons
    assert {(one.requirement, one.nearest, one.site) for one in found.unmet} == {
        ("cores", 8, "RAL"),
        ("platform", "el8", "CERN"),
    }
    assert any(text.startswith("Without 16 cores it fits nodes at RAL") for text in found.advice)


def test_three_that_are_met_in_pairs_only_are_all_named(installation: Installation) -> None:
    (job_id,) = queued(requirements={"tags": ["a", "b", "c"]})
    asked(a_node(tags=["a", "b"]), a_node(tags=["b", "c"]), a_node(tags=["a", "c"]))

    assert "the tag a, the tag b and the tag c are never together." in said(job_id)


def test_of_several_alternatives_each_is_explained(installation: Installation) -> None:
    others = {"alternatives": [{"cores": 128}, {"sites": ["PIC"]}]}
    (job_id,) = queued(requirements=others)
    asked(a_node())
    text = said(job_id)

    assert "The only kind of nodes that asked within the last hour does not fit." in text
    assert "Alternative 1 of 2 asks for 128 cores." in text
    assert "Alternative 2 of 2 asks for the site PIC." in text
    asked(a_node(site="PIC"))
    assert "1 kind of nodes fits, at PIC" in said(job_id)


def test_nodes_that_take_only_others_jobs_are_told(installation: Installation) -> None:
    (job_id,) = queued()
    asked(a_node(owner="bob"), a_node(site="RAL", owner="carol"))

    assert "take others' jobs only, as those of the owner carol (RAL)" in said(job_id)


def test_nodes_that_insist_on_tags_are_told(installation: Installation) -> None:
    (job_id,) = queued()
    asked(a_node(tags=["big"], required_tags=["big"]))

    assert "All nodes of the last hour insist on tags that it lacks: big (CERN)." in said(job_id)
    (other,) = queued(requirements={"tags": ["big"]})
    assert "1 kind of nodes fits, at CERN" in said(other)


STATUSES = [
    (Status.RECEIVED, "The optimizer has not seen it yet"),
    (Status.MATCHED, "A pilot has it and has not started it yet: pilot stamp-1 at LCG.CERN.ch on node."),
    (Status.RUNNING, "It runs: pilot stamp-1 at LCG.CERN.ch on node (as built)."),
    (
        Status.STALLED,
        "Its pilot, which reports every 30 s, has been silent for 5 min or longer: "
        "pilot stamp-1 at LCG.CERN.ch on node.",
    ),
    (
        Status.COMPLETING,
        "Its payload has ended and its outputs are being stored (as built): pilot stamp-1",
    ),
    (Status.DONE, "It has ended well"),
    (Status.FAILED, "It has failed"),
    (Status.KILLED, "It was killed"),
]


def test_every_other_status_is_explained(db: Session) -> None:
    jobs = [(a_job(db, status), status, words) for status, words in STATUSES]
    database.commit(db)

    for job_id, status, words in jobs:
        found = why(job_id)
        assert found.status == status
        assert found.reasons[0].startswith(words)
        assert found.ahead is None and found.unmet == []


def test_a_job_that_was_lost_says_how_often_and_why(db: Session) -> None:
    job_id = a_job(db, Status.RUNNING)
    control.reschedule(db, job_id, attempt=1, reason="the pilot has ended", source="Test")
    database.commit(db)

    again = "It has been rescheduled 1 of 3 times, last because of this: the pilot has ended."
    assert why(job_id).reasons[-1] == again
