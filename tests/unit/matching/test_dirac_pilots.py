"""What DIRAC's pilots send of their slot."""

import re
from typing import Any

import pytest

from diracx_tasks.core.errors import BadRequest
from diracx_tasks.matching.dirac import node_of_description
from diracx_tasks.matching.node import Node
from diracx_tasks.matching.specification import Specification, specifications
from tests.unit.matching.offered import fits

# As JobAgent sends it: what the computing element says of itself, and what the pilot adds.
DESCRIPTION = {
    "Site": "LCG.CERN.ch",
    "GridCE": "ce01.cern.ch",
    "Queue": "long",
    "CPUTime": 100_000,
    "Platform": "x86_64-el9",
    "Architecture": "x86_64-el9",
    "NumberOfProcessors": 8,
    "MaxRAM": 16_000,
    "Tag": ["GPU", "MultiProcessor"],
    "RequiredTag": ["GPU"],
    "DIRACVersion": "9.1.22",
    "ReleaseVersion": "9.1.22",
    "PilotReference": "htcondorce://ce01.cern.ch/17.0",
    "PilotBenchmark": 14.2,
    "PilotInfoReportedFlag": False,
    "MaxWaitingJobs": 10,
    "WaitingToRunningRatio": 0.5,
}


def a_description(**changed: Any) -> dict[str, Any]:
    """DIRAC's, without what is None."""
    return {name: value for name, value in {**DESCRIPTION, **changed}.items() if value is not None}


def runs(record: dict[str, Any], **changed: Any) -> bool:
    """Whether a pilot with such a description gets a job with such requirements; it requires no tags."""
    (spec,) = specifications(record)
    return fits(spec, node_of_description(a_description(RequiredTag=None, **changed)))


def test_a_description_is_a_node() -> None:
    assert node_of_description(DESCRIPTION) == Node(
        "LCG.CERN.ch",
        "ce01.cern.ch",
        cores=8,
        ram_mb=16_000,
        platform="x86_64-el9",
        cpu_time=100_000,
        tags=("GPU", "MultiProcessor"),
        required_tags=("GPU",),
    )


def test_numbers_may_be_texts_and_lists_texts() -> None:
    texts = a_description(CPUTime="100000", NumberOfProcessors="8", MaxRAM="16000", Tag="MultiProcessor, GPU")
    assert node_of_description({**texts, "RequiredTag": "GPU"}) == node_of_description(DESCRIPTION)


def test_cpu_time_memory_and_processors_are_least_values() -> None:
    assert runs({"cpu_time": 86_400, "cores": 8, "ram_mb": 16_000})
    assert not runs({"cpu_time": 172_800})
    assert not runs({"ram_mb": 16_001})
    assert not runs({"cores": 9})
    assert runs({"ram_mb": 10**9}, MaxRAM=None)
    assert not runs({"cores": 2}, NumberOfProcessors=None)


@pytest.mark.parametrize("tags", [["4Processors", "MultiProcessor"], ["8Processors"], ["1Processors"], "GPU"])
def test_processors_are_offered_as_tags(tags: Any) -> None:
    assert runs({"tags": tags})
    assert not runs({"tags": ["9Processors"]})


@pytest.mark.parametrize("value", [True, False, "", "no"])
def test_a_whole_node_is_offered_by_whatever_is_said_of_it(value: Any) -> None:
    assert runs({"tags": ["WholeNode", "MultiProcessor"]}, WholeNode=value)
    assert not runs({"tags": ["WholeNode", "MultiProcessor"]})


def test_a_pilot_without_tags_gets_only_jobs_without() -> None:
    assert not runs({"tags": ["GPU"]}, Tag=None)
    assert runs({}, Tag=None)


def test_a_pilot_with_required_tags_gets_only_jobs_that_have_them() -> None:
    node = node_of_description(a_description(RequiredTag=["GPU", "4Processors"]))
    wanted = {"tags": ["GPU"]}
    assert [fits(spec, node) for cores in (1, 4) for spec in specifications({**wanted, "cores": cores})] == [
        False,
        True,
    ]
    assert not fits(Specification(cores=4), node)
    assert not fits(specifications({"tags": "GPU | MultiProcessor", "cores": 4})[0], node)


@pytest.mark.parametrize("value", ["Any", "ANY", ["a", "any"], "[any]", None, []])
def test_any_type_and_group_are_no_condition(value: Any) -> None:
    node = node_of_description(a_description(JobType=value, OwnerGroup=value))
    assert node.terms()["only"] == {}


def test_a_pilot_for_some_types_groups_or_an_owner_says_so() -> None:
    node = node_of_description(a_description(JobType="Test", OwnerGroup=["b", "a"], Owner="alice"))
    assert node.terms()["only"] == {"type": ["Test"], "group": ["a", "b"], "owner": ["alice"]}


def test_platform_is_the_architecture_if_only_that_is_said() -> None:
    assert runs({"platforms": ["x86_64-el9"]}, Platform=None)
    assert not runs({"platforms": ["x86_64-el9"]}, Platform=None, Architecture=None)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"Site": None}, "Site: the description of a slot must state it"),
        ({"Site": " "}, "Site: the description"),
        ({"Site": ["a"]}, "Site: \"['a']\" is not a name"),
        ({"CPUTime": None}, "CPUTime: the description"),
        ({"CPUTime": "long"}, "CPUTime: 'long' is no whole number"),
        ({"NumberOfProcessors": -1}, "NumberOfProcessors: '-1' is no whole number"),
        ({"MaxRAM": True}, "MaxRAM: 'True' is no whole number"),
        ({"Tag": {"a": 1}}, "Tag: this is not a list of names"),
        ({"Tag": [1]}, "Tag: this is not a list of names"),
        ({"RequiredTag": ["Big"]}, "requires tags that it does not offer: Big"),
        ({"RequiredTag": ["9Processors"]}, "requires tags that it does not offer: 9Processors"),
        ({"JobID": 17}, "JobID: a pilot gets the job whose turn it is"),
    ],
)
def test_a_wrong_description_is_refused_by_its_field(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(words)):
        node_of_description(a_description(**changed))
