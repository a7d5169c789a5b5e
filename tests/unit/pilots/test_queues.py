"""Queues of the configuration under DIRAC's names, and complaints about what makes no sense."""

from typing import Any

import pytest
import yaml

from diracx_tasks.core.document import check
from diracx_tasks.pilots.queues import Queue, options_of, stated
from tests.builders import Installation
from tests.unit.matching.ends import configured


def text_of(element: dict[str, Any], **more: Any) -> str:
    sites = {"LCG": {"LCG.CERN.ch": {"CEs": {"ce1": {"CEType": "Slurm", **element}}}, **more}}
    return yaml.safe_dump({"Registry": {"lhcb": {}, "belle": {}}, "Resources": {"Sites": sites}})


def queues(installation: Installation, element: dict[str, Any], vo: str = "lhcb") -> list[Queue]:
    with configured(installation, text_of(element)):
        return stated(vo)


def complaint(element: dict[str, Any], **more: Any) -> str:
    _, faults = check(text_of(element, **more))
    return faults[0].words if faults else ""


def test_a_queue_has_what_it_states_and_else_what_its_element_does(installation: Installation) -> None:
    element = {
        "Tag": "a, b",
        "MaxRAM": "4000",
        "NumberOfProcessors": 4,
        "Platform": "el9",
        "Queues": {"q": {"maxCPUTime": "60", "NumberOfProcessors": 8, "Tag": ["c"], "RequiredTag": "c"}},
    }
    (found,) = queues(installation, element)
    assert (found.site, found.ce, found.name, found.ce_type) == ("LCG.CERN.ch", "ce1", "q", "Slurm")
    assert (found.processors, found.ram_mb, found.max_cpu_seconds, found.platform) == (8, 4000, 3600, "el9")
    assert (found.tags, found.required_tags) == (("a", "b", "c"), ("c",))
    assert (found.max_waiting, found.max_total, found.max_wall_seconds) == (10, 10, None)


def test_cpu_time_is_of_diracs_unit_where_the_power_is_stated(installation: Installation) -> None:
    queue = {"maxCPUTime": 60, "SI00": 2500, "maxWallClockTime": 90}
    (found,) = queues(installation, {"Queues": {"q": queue}})
    assert (found.max_cpu_seconds, found.max_wall_seconds) == (36_000, 5400)


@pytest.mark.parametrize(
    ("queue", "seconds"),
    [
        ({"maxWallClockTime": 90}, 5400),
        ({"maxCPUTime": 30, "maxWallClockTime": 90}, 1800),
        ({"maxCPUTime": 300, "maxWallClockTime": 90}, 5400),
        ({}, None),
    ],
)
def test_a_pilot_has_no_more_cpu_time_than_wall_time(
    installation: Installation, queue: dict[str, Any], seconds: int | None
) -> None:
    (found,) = queues(installation, {"Queues": {"q": queue}})
    assert found.node().cpu_time == seconds


def test_a_queue_is_there_for_the_vos_that_it_and_its_element_name(installation: Installation) -> None:
    element = {"VO": "lhcb", "Queues": {"q": None, "r": {"VO": ["belle"]}}}
    assert [one.name for one in queues(installation, element)] == ["q"]
    assert queues(installation, element, "belle") == []


def test_the_element_gets_its_whole_section(installation: Installation) -> None:
    element = {"Host": "login.example.org", "Queues": {"q": {"Partition": "main"}}}
    with configured(installation, text_of(element)):
        found = options_of("ce1")
        assert stated("lhcb")[0].ce_options == found
    assert (found["Host"], found["Queues"]["q"]["Partition"]) == ("login.example.org", "main")


@pytest.mark.parametrize(
    ("element", "words"),
    [
        ({"Queues": {"q": {"maxCpuTime": 1}}}, "unknown key maxCpuTime; is maxCPUTime meant?"),
        ({"Tags": ["a"]}, "unknown key Tags; is Tag meant?"),
        ({"MaxWaiting": 3}, "unknown key MaxWaiting; is MaxWaitingJobs meant?"),
        ({"Queues": {"q": {"maxCPUTime": 0}}}, "Input should be greater than or equal to 1, not 0"),
        ({"Queues": {"q": {"NumberOfProcessors": 5000}}}, "less than or equal to 1024, not 5000"),
        ({"Queues": {"q": {"MaxRAM": "much"}}}, "a valid integer, unable to parse string"),
        ({"Queues": {"q": {"RequiredTag": "x"}}}, "the queue q has no Tag x, which its RequiredTag names"),
        ({"CEType": ""}, "at least 1 character"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(element: dict[str, Any], words: str) -> None:
    assert words in complaint(element)


def test_an_element_stands_at_one_site() -> None:
    twice = {"LCG.RAL.uk": {"CEs": {"ce1": {"CEType": "Slurm"}}}}
    assert complaint({}, **twice) == "the computing element ce1 is at LCG.CERN.ch and at LCG.RAL.uk"


def test_the_name_of_an_element_has_room_in_the_keys_of_its_tasks() -> None:
    long = {"LCG.RAL.uk": {"CEs": {"c" * 81: {"CEType": "Slurm"}}}}
    assert "at most 80 characters" in complaint({}, **long)


def test_names_become_tags_that_may_be_asked_for() -> None:
    assert Queue("s", "ce:8443", "a b#c").tag == "diracx:queue:ce:8443/a_b_c"
