"""What is stored of a job description: columns, payload and text, and what is refused."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diracx_tasks.jobs.jdl import InvalidJdl, parse
from diracx_tasks.jobs.manifest import describe
from diracx_tasks.jobs.parametric import expand
from tests.unit.jobs.descriptions import OPERATIONS, TABLE, USER, described, refusal


def test_a_description_of_nothing_but_an_executable_has_every_default() -> None:
    found = described('Executable = "run.sh";')
    assert (found.job_name, found.job_type, found.job_group, found.site) == (
        "Unknown",
        "User",
        "00000000",
        "ANY",
    )
    assert (found.priority, found.cpu_seconds) == (2, 5000)
    assert (found.input_data, found.input_sandbox) == ([], [])
    assert found.requirements == {
        "cores": 1,
        "ram_mb": 256,
        "sites": [],
        "banned_sites": [],
        "platform": None,
        "tags": ["payload:jdl"],
        "priority": 2,
        "cpu_time": 21_600,
        "job_type": "User",
    }
    assert found.payload == {
        "kind": "jdl",
        "executable": "run.sh",
        "arguments": "",
        "environment": {},
        "stdout": "std.out",
        "stderr": "std.err",
        "input_data": [],
        "input_sandbox": [],
        "cpu_seconds": 5000,
        "input_data_module": "DIRAC.Core.Utilities.InputDataResolution",
        "software_module": "LocalSoftwareDist",
    }


def test_the_stored_text_is_the_description_with_what_dirac_adds() -> None:
    text = 'Executable = "run.sh"; Owner = "root"; OwnerGroup = "admin"; JobID = 7; Mine = {1, 2};'
    assert described(text).jdl(42) == (
        '[ \n    CPUTime = 5000;\n    Executable = "run.sh";\n'
        '    InputDataModule = "DIRAC.Core.Utilities.InputDataResolution";\n    JobID = 42;\n'
        "    JobRequirements = \n        [ \n            CPUTime = 5000;\n"
        '            Owner = "alice";\n            OwnerGroup = "lhcb_user";\n            UserPriority = 2;\n'
        '            VirtualOrganization = "lhcb";\n        ];\n'
        "    Mine = \n        {\n            1,\n            2\n        };\n"
        '    Owner = "alice";\n    OwnerGroup = "lhcb_user";\n    Priority = 2;\n'
        '    SoftwareDistModule = "LocalSoftwareDist";\n    VirtualOrganization = "lhcb";\n]'
    )


def test_the_number_of_the_job_may_be_a_mark_to_be_replaced_later() -> None:
    assert described("").jdl("\x01JobID\x01").replace("\x01JobID\x01", "5") == described("").jdl(5)


def test_the_number_of_the_job_is_put_in_for_its_placeholder_in_the_text_and_left_in_the_payload() -> None:
    found = described('Arguments = "%j %job x%j.root"; OutputSandbox = {"%j.log"};')
    again = parse(found.jdl(42))
    assert again["Arguments"] == "42 %job x42.root" and again["OutputSandbox"] == ["42.log"]
    assert found.payload["arguments"] == "%j %job x%j.root"


def test_modules_of_the_description_or_of_the_vo_are_stored() -> None:
    own = described('InputDataModule = "My.Module"; SoftwareDistModule = "Mine";')
    assert own.payload["input_data_module"] == "My.Module" and own.payload["software_module"] == "Mine"
    vos = described("", SoftwareDistModule="Vos", InputDataPolicy={"InputDataModule": ""})
    assert parse(vos.jdl(1))["SoftwareDistModule"] == "Vos"
    assert "InputDataModule" not in parse(vos.jdl(1)) and "input_data_module" not in vos.payload


def test_the_payload_has_what_a_pilot_needs() -> None:
    payload = described("""
        Executable = "$HOME/a.out"; Arguments = "-n 1 \\"a b\\""; StdOutput = "out"; StdError = "err";
        InputSandbox = {"SB:SandboxSE|/S3/b/lhcb/g/alice/sha256:0f.tar.zst", "LFN:/lhcb/x", "local.sh"};
        OutputSandbox = {"out", "*.log"}; InputData = {"LFN:/lhcb/a", "/lhcb/b"};
        InputDataPolicy = "Download";
        OutputData = {"*.root", "LFN:/lhcb/c"}; OutputSE = "CERN-USER, PIC-USER"; OutputPath = "x/y";
        LogLevel = DEBUG; JobConfigArgs = "a.cfg"; StopSigNumber = 2;
        ExecutionEnvironment = {"A=1", "B=x%20y=z"};
    """).payload
    assert payload["executable"] == "$HOME/a.out" and payload["arguments"] == '-n 1 "a b"'
    assert (payload["stdout"], payload["stderr"]) == ("out", "err")
    assert payload["input_sandbox"][1:] == ["LFN:/lhcb/x", "local.sh"]
    assert payload["output_sandbox"] == ["out", "*.log"]
    assert payload["input_data"] == ["/lhcb/a", "/lhcb/b"] and payload["input_data_policy"] == "Download"
    assert payload["output_data"] == ["*.root", "LFN:/lhcb/c"] and payload["output_path"] == "x/y"
    assert payload["output_ses"] == ["CERN-USER", "PIC-USER"]
    assert (payload["log_level"], payload["config_arguments"], payload["stop_signal"]) == (
        "DEBUG",
        "a.cfg",
        "2",
    )
    assert payload["environment"] == {"A": "1", "B": "x y=z"}
    assert {type(value) for value in payload.values()} == {str, list, dict, int}


@pytest.mark.parametrize("text", ['"A=1;B=2"', '"A=1, B=2"', '"A=1","B=2"', '{"A=1", "B=2"}'])
def test_the_environment_may_be_written_in_several_ways(text: str) -> None:
    assert described(f"ExecutionEnvironment = {text};").payload["environment"] == {"A": "1", "B": "2"}


def test_sandboxes_are_those_of_the_store_and_of_the_catalogue() -> None:
    found = described('InputSandbox = {"SB:SandboxSE|/S3/b/x.tar", "LFN:/lhcb/x", "local.sh"};')
    assert found.input_sandbox == ["SB:SandboxSE|/S3/b/x.tar", "LFN:/lhcb/x"]


def test_input_data_are_lfns_each_once() -> None:
    found = described('InputData = {"LFN:/lhcb/a", "/lhcb/b", "", "/lhcb/a"};')
    assert found.input_data == ["/lhcb/a", "/lhcb/b"]
    assert described('InputData = "LFN:/lhcb/a, LFN:/lhcb/b";').input_data == ["/lhcb/a", "/lhcb/b"]


@pytest.mark.parametrize(
    ("stated", "kept"), [(0, 300), (299, 300), (300, 300), (90_000, 90_000), (90_001, 90_000)]
)
def test_cpu_time_is_brought_between_its_limits(stated: int, kept: int) -> None:
    found = described(f'CPUTime = "{stated}";')
    again = parse(found.jdl(1))
    assert found.cpu_seconds == found.payload["cpu_seconds"] == again["CPUTime"] == kept
    assert again["JobRequirements"]["CPUTime"] == kept  # type: ignore[call-overload,index]


@pytest.mark.parametrize(("stated", "kept"), [(-3, 1), (1, 1), (7, 7), (8, 7)])
def test_priority_is_brought_between_its_limits(stated: int, kept: int) -> None:
    found = described(f"Priority = {stated};")
    assert found.priority == found.requirements["priority"] == parse(found.jdl(1))["Priority"] == kept


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('Executable = "";', "Executable is missing"),
        (
            'executable = "a"; Executable = " ";',
            "Executable is missing (executable is not it: upper and lower",
        ),
        ('Executable = {"a", "b"};', "Executable: this is not one text"),
        ("CPUTime = long;", "CPUTime: 'long' is not a whole number"),
        ("CPUTime = -5;", "CPUTime: -5 is no number of seconds"),
        ("Priority = 1.5;", "Priority: '1.5' is not a whole number"),
        ("VirtualOrganization = ilc;", "VirtualOrganization: ilc is not yours, which is lhcb"),
        ("JobType = Hospital;", "JobType: Hospital is not allowed, only User, Test"),
        (
            'InputData = {"/a","/b","/c","/d"};',
            "Number of Input Data Files (4) greater than current limit: 3",
        ),
        ('InputData = "LFN:a/b";', "InputData: a/b is no LFN"),
        ('InputData = "/a//b";', "InputData: /a//b is no LFN"),
        (f'InputData = "/{"x" * 255}";', "InputData: 256 characters, 255 at most"),
        ('InputSandbox = "SB:/S3/x";', "InputSandbox: SB:/S3/x is no sandbox"),
        ('InputSandbox = {"SB:SE|/S3/x y"};', "InputSandbox: SB:SE|/S3/x y is no sandbox"),
        ('InputSandbox = {"LFN:x"};', "InputSandbox: LFN:x is no LFN"),
        ("Site = A; BannedSites = {A, B};", "Site and BannedSites leave no site: A"),
        ("NumberOfProcessors = 0;", "NumberOfProcessors: 0 is not between 1 and 1024"),
        ("MinNumberOfProcessors = 1025;", "MinNumberOfProcessors: 1025 is not between 1 and 1024"),
        (
            "MinNumberOfProcessors = 4; MaxNumberOfProcessors = 2;",
            "MaxNumberOfProcessors: 2 is less than MinNumberOfProcessors, 4",
        ),
        ("MinRAM = 0;", "MinRAM: 0 is no number of MB"),
        ("MinRAM = 10; MaxRAM = 5;", "MaxRAM: 5 MB is less than MinRAM, 10"),
        ('ExecutionEnvironment = "A";', "ExecutionEnvironment: A is not NAME=value"),
        ('ExecutionEnvironment = "1A=2";', "ExecutionEnvironment: 1A=2 is not NAME=value"),
        (f"JobName = {'n' * 129};", "JobName: 129 characters, 128 at most are kept"),
        (f"JobGroup = {'n' * 33};", "JobGroup: 33 characters, 32 at most are kept"),
        (f"JobType = {'n' * 33};", "JobType: 33 characters, 32 at most are kept"),
        (f"Site = {'n' * 101};", "Site: 101 characters, 100 at most are kept"),
    ],
)
def test_what_is_wrong_is_said_in_words_of_the_description(text: str, words: str) -> None:
    assert refusal(text).startswith(words)


@given(
    st.text('[]{}=;,"\\ abAny-1.%j', max_size=40),
    st.sampled_from(["JobName", "Site", "InputData", "Arguments"]),
)
def test_no_description_does_anything_but_be_stored_or_refused(value: str, name: str) -> None:
    try:
        found = described(f"{name} = {value};")
    except InvalidJdl:
        return
    again = parse(found.jdl(1))
    assert again["Owner"] == "alice" and again["OwnerGroup"] == "lhcb_user"


NAMES = [
    "Parameters",
    "ParameterStart",
    "ParameterFactor",
    "Parameters.x",
    "Executable",
    "CPUTime",
    "Platform",
]
VALUES = [
    "%s",
    "{%s, 1}",
    '"%(x)s %n"',
    "3",
    "-1",
    "0.5",
    "1e99",
    "{1, {2}, x}",
    '{"a;b", "c\\""}',
    "[ A = %s; ]",
]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=8), st.text(max_size=3))
def test_no_parametric_description_does_anything_but_be_stored_or_refused(
    attributes: list[tuple[str, str]], noise: str
) -> None:
    text = "".join(f"{name} = {value};" for name, value in attributes) + noise
    try:
        for ad in islice(expand(parse(text)), 3):
            found = describe(ad, **USER, operations=OPERATIONS, platforms=TABLE)
            assert parse(found.jdl(1))["Owner"] == "alice"
    except InvalidJdl:
        return
