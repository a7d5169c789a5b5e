"""What a job description asks of the machine that runs it."""

from typing import Any

import pytest

from diracx_tasks.jobs.jdl import parse
from diracx_tasks.matching.queue import normalised
from tests.unit.jobs.descriptions import TABLE, described, refusal


def needs(text: str) -> dict[str, Any]:
    return described(text).requirements


@pytest.mark.parametrize(
    ("text", "column", "sites", "banned"),
    [
        ("", "ANY", [], []),
        ("Site = ANY; BannedSites = B;", "ANY", [], ["B"]),
        ("Site = B; ", "B", ["B"], []),
        ('Site = "B, A";', "Multiple", ["A", "B"], []),
        ('Site = {"B", "A", "B"};', "Multiple", ["A", "B"], []),
        ('Site = {"B", "A"}; BannedSites = "A,C";', "B", ["B"], []),
        ("BannedSites = {C, A};", "ANY", [], ["A", "C"]),
    ],
)
def test_sites_are_those_stated_without_those_banned(
    text: str, column: str, sites: list[str], banned: list[str]
) -> None:
    found = described(text)
    assert found.site == column
    assert (found.requirements["sites"], found.requirements["banned_sites"]) == (sites, banned)


@pytest.mark.parametrize(
    ("text", "cores", "tags"),
    [
        ("NumberOfProcessors = 1;", 1, []),
        ("NumberOfProcessors = 4;", 4, ["4Processors", "MultiProcessor"]),
        ("MinNumberOfProcessors = 4;", 4, ["MultiProcessor"]),
        ("MinNumberOfProcessors = 2; MaxNumberOfProcessors = 8;", 2, ["MultiProcessor"]),
        ("MinNumberOfProcessors = 8; MaxNumberOfProcessors = 8;", 8, ["8Processors", "MultiProcessor"]),
        ("MaxNumberOfProcessors = 8;", 1, []),
        ("NumberOfProcessors = 2; MinNumberOfProcessors = 4;", 2, ["2Processors", "MultiProcessor"]),
        ("WholeNode = True;", 1, ["MultiProcessor", "WholeNode"]),
        ("WholeNode = False;", 1, []),
        ('Tags = {"GPU"}; Tag = "Big";', 1, ["Big", "GPU"]),
        ("NumberOfProcessors = 1024;", 1024, ["1024Processors", "MultiProcessor"]),
    ],
)
def test_processors_become_cores_and_tags(text: str, cores: int, tags: list[str]) -> None:
    found = needs(text)
    assert found["cores"] == cores
    assert found["tags"] == sorted([*tags, "payload:jdl"])


def test_memory_and_what_is_kept_for_later() -> None:
    assert needs("MinRAM = 2500; MaxRAM = 4000;")["ram_mb"] == 2500
    found = needs("MinNumberOfProcessors = 2; MaxNumberOfProcessors = 8; GridCE = ce1.x.org; JobType = Test;")
    assert (found["max_cores"], found["grid_ces"], found["job_type"]) == (8, ["ce1.x.org"], "Test")
    assert normalised(found) == normalised(needs("MinNumberOfProcessors = 2;"))


@pytest.mark.parametrize(
    ("text", "chosen", "all_of_them"),
    [
        ("Platform = x86_64-el9;", "x86_64-el9", ["x86_64-el10", "x86_64-el9"]),
        ("Platform = x86_64-el8;", "x86_64-el9", ["x86_64-el9"]),
        ('Platform = {"nothing", "arm"};', "arm", ["arm"]),
    ],
)
def test_a_platform_is_what_can_run_what_was_asked_for(
    text: str, chosen: str, all_of_them: list[str]
) -> None:
    found = described(text, TABLE)
    assert (found.requirements["platform"], found.requirements["platforms"]) == (chosen, all_of_them)
    assert parse(found.jdl(1))["JobRequirements"]["Platforms"] == all_of_them  # type: ignore[call-overload,index]


def test_any_platform_is_none_and_without_a_table_every_platform_is_known() -> None:
    assert described("Platform = ANY;", TABLE).requirements["platform"] is None
    assert described("Platform = whatever;").requirements["platform"] == "whatever"


def test_an_unknown_platform_is_refused_with_those_there_are() -> None:
    words = refusal("Platform = vax;", TABLE)
    assert words == "Platform: none is compatible with vax; there are arm, x86_64-el10, x86_64-el9"
