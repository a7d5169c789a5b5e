"""What a job description asks of the machine that runs it."""

from typing import Any

import pytest

from diracx_tasks.jobs.jdl import parse
from diracx_tasks.matching.specification import specifications
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


@pytest.mark.parametrize(
    ("text", "cores", "max_cores"),
    [
        ("NumberOfProcessors = 4;", 4, None),
        ("MinNumberOfProcessors = 2; MaxNumberOfProcessors = 8;", 2, 8),
        ("WholeNode = true;", 2, None),
        ('Tags = {"8Processors"};', 8, None),
    ],
)
def test_processors_mean_the_same_as_their_tags(text: str, cores: int, max_cores: int | None) -> None:
    (spec,) = specifications(needs(text))
    assert (spec.cores, spec.max_cores) == (cores, max_cores)
    assert spec.is_whole == ("WholeNode" in text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 21_600),
        ("CPUTime = 300;", 360),
        ("CPUTime = 360;", 360),
        ("CPUTime = 361;", 1800),
        ("CPUTime = 86400;", 86_400),
        ("CPUTime = 9999999;", 172_800),
    ],
)
def test_cpu_time_goes_up_to_dirac_s_segments(text: str, seconds: int) -> None:
    found = described(text)
    assert found.requirements["cpu_time"] == seconds
    assert parse(found.jdl(1))["CPUTime"] == found.cpu_seconds <= 90_000


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        ([1000, 6000, 7000], 6000),
        ([1000, 2000], 2000),
        (["1000", "6000"], 6000),
        ([6000, 6000], 21_600),
        (["long"], 21_600),
        ([], 21_600),
        (None, 21_600),
    ],
)
def test_a_vo_may_have_segments_of_its_own(stated: Any, seconds: int) -> None:
    found = described("CPUTime = 5000;", JobScheduling={"taskQueueCPUTimeIntervals": stated})
    assert found.requirements["cpu_time"] == seconds


def test_tags_may_be_expressions_and_all_of_them_must_hold() -> None:
    found = needs('Tags = {"os:el9 | os:el10", "GPU"};')
    (spec,) = specifications(found)
    assert spec.terms()["tags"] == ["&", "GPU", "payload:jdl", ["|", "os:el10", "os:el9"]]


def test_memory_and_what_is_kept_for_later() -> None:
    found = needs("MinRAM = 2500; MaxRAM = 4000;")
    assert (found["ram_mb"], found["max_ram_mb"]) == (2500, 4000)
    found = needs("MinNumberOfProcessors = 2; MaxNumberOfProcessors = 8; GridCE = ce1.x.org; JobType = Test;")
    assert (found["max_cores"], found["grid_ces"], found["job_type"]) == (8, ["ce1.x.org"], "Test")


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


def named(prefix: str, count: int) -> str:
    """A list of so many different names."""
    return "{" + ",".join(f'"{prefix}{number}"' for number in range(count)) + "}"


MANY = named("x", 1001)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('Tags = {"two words"};', "Tags: column 5: 'words' instead of & or |"),
        ('Tags = {"a & (b"};', "Tags: column 7: the end instead of &, | or the ) of the ( in column 5"),
        (
            'Tags = {"a | 2Processors"};',
            "Tags: 2Processors | a: state a choice between cores in alternatives",
        ),
        (f"Tags = {MANY};", "Tags: 1000 names are the most, not 1002"),
        (f"Site = {MANY};", "Site: 100 names are the most, not 1001"),
        (f"BannedSites = {MANY};", "BannedSites: 100 names are the most, not 1001"),
        (f"GridCE = {MANY};", "GridCE: 100 names are the most, not 1001"),
        (f"Platform = {named('p', 201)};", "Platform: 200 names are the most, not 201"),
        (f"Site = {named('s', 101)};", "Site: 100 names are the most, not 101"),
        (f"Tags = {named('a | b', 65)};", "Tags: 64 expressions are the most, not 65"),
        ('Site = {"LCG.\x07"};', r"Site: 'LCG.\x07' has the character '\x07', which no name has"),
        ('BannedSites = {"B\x85B"};', r"BannedSites: 'B\x85B' has the character '\x85'"),
        ('GridCE = "ce\x7f";', r"GridCE: 'ce\x7f' has the character '\x7f', which no name has"),
        ('Platform = "el\x019";', r"Platform: 'el\x019' has the character '\x01', which no name has"),
        ("MinRAM = 9999999999999;", "MinRAM: 9999999999999 is no number of MB"),
    ],
)
def test_what_the_matcher_could_not_read_is_refused(text: str, words: str) -> None:
    assert refusal(text).startswith(words)
