"""JDL jobs on their node, from what was matched to what is reported, against a small server."""

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest

from tests.unit.node.conftest import Run, sleeping
from tests.unit.node.server import GUID, Server, wait_for

StartPilot = Callable[..., psutil.Popen]
HOME = "/lhcb/user/a/alice"
NOT_FOUND, ILLEGAL = "Application not found", "Illegal Job JDL"
NO_SANDBOX = "Failed Downloading InputSandbox"


def steps(server: Server, job_id: int = 1) -> list[tuple[str, str]]:
    """The states of a job, in order."""
    return [(one["Status"], one["MinorStatus"]) for one in server.states.get(job_id, [])]


def test_a_job_goes_the_way_of_diracs_wrapper(server: Server, run: Run) -> None:
    data = f"LFN:{HOME}/in.txt"
    server.store[f"lfn:{HOME}/in.txt"] = server.store[f"lfn:{HOME}/more.txt"] = b"data"
    server.a_script(
        "cat in.txt more.txt > out.txt; echo said; echo complained >&2",
        input_data=[data],
        input_sandbox=[f"LFN:{HOME}/more.txt"],
        output_sandbox=["out.txt"],
        output_data=["out.txt"],
        output_ses=["SE-TEST"],
    )
    done = run()
    assert steps(server) == [
        ("Running", "Job Initialization"),
        ("Running", "Downloading InputSandbox"),
        ("Running", "Downloading InputSandbox LFN(s)"),
        ("Running", "Input Data Resolution"),
        ("Running", "Application"),
        ("Completing", "Application Finished Successfully"),
        ("Completing", "Uploading Output Sandbox"),
        ("Completing", "Output Sandbox Uploaded"),
        ("Completing", "Uploading Output Data"),
        ("Completing", "Output Data Uploaded"),
        ("Done", "Execution Complete"),
    ]
    assert server.sandbox() == {
        "std.out": b"said\n",
        "std.err": b"complained\n",
        "out.txt": b"datadata",
    }
    assert sorted(done["StandardOutput"].splitlines()) == ["complained", "said"]
    lfn = f"{HOME}/0/1/out.txt"
    assert server.store[f"lfn:{lfn}"] == b"datadata"
    assert [one["lfn"] for body in server.registered for one in body["files"]] == [lfn]
    assert [one["location"] for one in done["Outputs"]["OutputData"]] == [f"lfn:{lfn}"]
    assert server.facts == {"UploadedOutputData": lfn}
    assert done["Use"]["wall_seconds"] > 0


def test_a_program_of_the_node_gets_its_arguments_whole(server: Server, run: Run) -> None:
    arguments = r"""'%s|' "two words" $HOME * 'a;b' x\ y job%j %jobs"""
    server.a_jdl_job("printf", arguments, output_sandbox=["std.out"], stdout="logs/%j.txt", job_id=1)
    server.waiting[0]["payload"]["output_sandbox"] = ["logs"]
    assert run()["Status"] == "Done"
    assert server.sandbox() == {"logs/1.txt": b"two words|$HOME|*|a;b|x y|job1|%jobs|"}


def test_a_job_sees_its_own_environment_and_nothing_of_the_pilot(
    server: Server, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIRACX_TOKEN", "secret")
    server.a_script('env; test -z "$(ls "$TMPDIR")" || exit 1', environment={"EVENTS": "10 20"}, job_id=7)
    server.waiting[0]["cores"] = 3
    run()
    found = dict(line.split("=", 1) for line in server.sandbox()["std.out"].decode().splitlines())
    assert (found["JOBID"], found["DIRACJOBID"], found["DIRACSITE"]) == ("7", "7", "here")
    assert (found["DIRAC_PROCESSORS"], found["DIRAC_WHOLENODE"]) == ("3", "False")
    assert found["EVENTS"] == "10 20"
    assert [name for name in found if name.startswith("DIRACX_")] == []


def test_an_exit_code_fails_the_job_and_its_sandbox_is_kept(server: Server, run: Run) -> None:
    server.a_script("echo half > half.txt; exit 3", output_sandbox=["*.txt"], output_data=["half.txt"])
    failed = run()
    assert steps(server)[-2:] == [
        ("Completing", "Application Finished With Errors"),
        ("Failed", "Application Finished With Errors"),
    ]
    assert failed["ApplicationStatus"] == "exit code 3"
    assert server.sandbox()["half.txt"] == b"half\n"
    assert [body["files"] for body in server.registered] == [[]]


def test_a_signal_fails_the_job_by_its_number(server: Server, run: Run) -> None:
    server.a_script("kill -9 $$")
    assert run()["ApplicationStatus"] == "ended by signal 9"


def test_diracs_exit_code_for_it_has_the_job_run_again(server: Server, run: Run) -> None:
    server.a_script("exit 222")
    run()
    assert [one["reason"] for one in server.released] == ["Going to reschedule job: exit code 222"]
    assert ("Failed", "Application Finished With Errors") not in steps(server)


@pytest.mark.parametrize(
    "stated, minor, words",
    [
        ({"executable": "there-is-none"}, NOT_FOUND, "Path to executable there-is-none not found"),
        ({"executable": "bin/none.sh"}, NOT_FOUND, "Path to executable bin/none.sh not found"),
        ({"executable": "/etc"}, NOT_FOUND, "Path to executable /etc not found"),
        ({"executable": "echo", "arguments": "it's"}, ILLEGAL, "Arguments: No closing quotation: it's"),
        ({"executable": "echo", "stdout": "../o"}, ILLEGAL, "StdOutput: '../o' is no file below"),
        ({"executable": "echo", "stderr": "/o"}, ILLEGAL, "StdError: '/o' is no file below"),
        ({"executable": "x" * 300}, ILLEGAL, "File name too long: "),
        ({"executable": "echo", "stdout": "o" * 300}, ILLEGAL, "File name too long: "),
        ({"executable": "echo", "stdout": "o", "stderr": "std/../o"}, ILLEGAL, "StdError: 'std/../o'"),
    ],
)
def test_a_description_that_cannot_be_run_fails_with_its_reason(
    server: Server, run: Run, stated: dict[str, Any], minor: str, words: str
) -> None:
    server.a_jdl_job(**stated)
    failed = run()
    assert (failed["Status"], failed["MinorStatus"]) == ("Failed", minor)
    assert failed["ApplicationStatus"].startswith(words)


def test_output_below_a_file_of_the_sandbox_is_refused(server: Server, run: Run) -> None:
    server.a_script("echo said", stdout="run.sh/std.out")
    failed = run()
    assert (failed["Status"], failed["MinorStatus"]) == ("Failed", ILLEGAL)
    assert "run.sh" in failed["ApplicationStatus"]


def test_inputs_whose_names_do_not_go_together_are_refused(server: Server, run: Run) -> None:
    sandbox = server.a_sandbox({"pool_xml_catalog.xml/a": b"", "in.txt": b""})
    server.store[f"lfn:{HOME}/1"] = b"data"
    server.a_script("cat in.txt", input_sandbox=[sandbox], input_data=[f"LFN:{HOME}/1"])
    failed = run()
    assert (failed["Status"], failed["MinorStatus"]) == ("Failed", "Input Data Not Available")
    assert failed["ApplicationStatus"].startswith("Is a directory: ")


def test_a_program_of_the_sandbox_comes_before_one_of_the_node(server: Server, run: Run) -> None:
    sandbox = server.a_sandbox({"echo": b"#!/bin/sh\necho mine\n"})
    server.a_jdl_job("echo", "theirs", input_sandbox=[sandbox])
    assert run()["StandardOutput"] == "mine\n"


def test_a_script_without_a_first_line_is_run_by_the_shell(server: Server, run: Run) -> None:
    server.a_jdl_job("run", "x", input_sandbox=[server.a_sandbox({"run": b"echo from $1\n"})])
    assert run()["StandardOutput"] == "from x\n"


def test_a_program_that_the_node_cannot_start_is_named(server: Server, run: Run) -> None:
    server.a_jdl_job("run", input_sandbox=[server.a_sandbox({"run": b"#!/there/is/none\n"})])
    failed = run()
    assert failed["MinorStatus"] == "Application thread failed"
    assert "cannot be run: No such file or directory" in failed["ApplicationStatus"]


def test_folders_and_patterns_are_kept_and_what_is_missing_is_told(server: Server, run: Run) -> None:
    server.a_script(
        "mkdir -p plots/deep; echo 1 > plots/a.pdf; echo 2 > plots/deep/b.pdf;"
        "ln -s /etc/passwd stolen; ln -s / plots/everything; ln -s . circle; ln -s x y; ln -s y x",
        output_sandbox=["plots", "none.txt", "*.root", "stolen", "/etc/hostname", "../*", "x"],
    )
    assert run()["Status"] == "Done"
    assert sorted(server.sandbox()) == ["plots/a.pdf", "plots/deep/b.pdf", "std.err", "std.out"]
    assert server.facts["OutputSandboxMissingFiles"] == "none.txt, stolen, /etc/hostname, x"


def test_one_file_for_both_outputs_has_all_in_order(server: Server, run: Run) -> None:
    server.a_script("echo 1; echo 2 >&2; echo 3", stdout="log", stderr="log", output_sandbox=["log"])
    run()
    assert server.sandbox() == {"log": b"1\n2\n3\n"}


def test_a_large_output_sandbox_becomes_output_data(server: Server, run: Run) -> None:
    server.a_script("head -c 12000000 /dev/urandom > big", output_sandbox=["big"], output_ses=["SE-TEST"])
    assert run()["Status"] == "Done"
    lfn = f"{HOME}/0/1/Sandbox_1.tar.bz2"
    assert server.facts["OutputSandboxLFN"] == lfn
    assert f"lfn:{lfn}" in server.store
    assert [body["sandboxes"] for body in server.registered] == [[]]


def test_output_data_goes_where_the_description_says(server: Server, run: Run) -> None:
    server.a_script(
        "touch a.dst b.dst c.log d.txt",
        output_data=["*.dst", f"LFN:{HOME}/here/c.log"],
        output_path="/run5/",
    )
    run()
    lfns = sorted(one["lfn"] for body in server.registered for one in body["files"])
    assert lfns == [f"{HOME}/here/c.log", f"{HOME}/run5/a.dst", f"{HOME}/run5/b.dst"]


def test_output_data_that_is_missing_fails_the_job_but_not_its_sandbox(server: Server, run: Run) -> None:
    server.a_script("touch a.dst", output_data=["a.dst", "b.dst"])
    failed = run()
    assert (failed["Status"], failed["MinorStatus"]) == ("Failed", "Uploading Output Data")
    assert failed["ApplicationStatus"] == "OutputData is not there: b.dst"
    assert sorted(server.sandbox()) == ["std.err", "std.out"]
    assert server.facts["OutputData"] == "MissingFiles: b.dst"


def test_input_data_lies_beside_the_program_and_in_pools_catalogue(server: Server, run: Run) -> None:
    lfns = [f"/lhcb/{name}/x.dst" for name in "ab"]
    server.store |= {f"lfn:{lfn}": lfn.encode() for lfn in lfns}
    keeps = ["pool_xml_catalog.xml"]
    server.a_script("cat x.dst; echo; cat InputData_2/x.dst", input_data=lfns, output_sandbox=keeps)
    assert run()["StandardOutput"] == "\n".join(lfns)
    catalogue = ElementTree.fromstring(server.sandbox()[keeps[0]])
    assert [file.get("ID") for file in catalogue.iter("File")] == [GUID, GUID]
    assert [one.get("name") for one in catalogue.iter("lfn")] == lfns
    assert [str(one.get("name")).rpartition("/1/")[2] for one in catalogue.iter("pfn")] == [
        "x.dst",
        "InputData_2/x.dst",
    ]


@pytest.mark.parametrize(
    "stated, minor",
    [
        ({"input_sandbox": ["SB:SandboxSE|/S3/b/v/g/o/sha256:00.tar.zst"]}, NO_SANDBOX),
        ({"input_sandbox": ["SB:OldSE|/x.tar"]}, NO_SANDBOX),
        ({"input_sandbox": ["LFN:/lhcb/none"]}, f"{NO_SANDBOX} LFN(s)"),
        ({"input_data": ["/lhcb/none"]}, "Input Data Not Available"),
    ],
)
def test_inputs_that_cannot_be_had_are_named(
    server: Server, run: Run, stated: dict[str, Any], minor: str
) -> None:
    server.a_jdl_job("true", **stated)
    failed = run()
    assert (failed["Status"], failed["MinorStatus"]) == ("Failed", minor)
    assert "/" in failed["ApplicationStatus"]


def test_a_sandbox_that_leads_out_of_the_folder_is_refused(server: Server, run: Run) -> None:
    server.a_jdl_job("true", input_sandbox=[server.a_sandbox({"../../evil": b"x"})])
    failed = run()
    assert failed["MinorStatus"] == "Failed Downloading InputSandbox"
    assert "../../evil" in failed["ApplicationStatus"]


def test_archives_with_lfns_are_unpacked_and_the_later_sandbox_wins(server: Server, run: Run) -> None:
    first, second = server.a_sandbox({"x": b"1"}), server.a_sandbox({"x": b"2", "lib/y": b"3"})
    packed = server.a_sandbox({"z": b"4"}).removeprefix("SB:SandboxSE|")
    server.store["lfn:/lhcb/z.tar.bz2"] = server.store[f"sandbox:{packed}"]
    more = [first, second, "LFN:/lhcb/z.tar.bz2", "left.at.home"]
    server.a_jdl_job("cat", "x lib/y z", input_sandbox=more)
    assert run()["StandardOutput"] == "234"


def test_a_killed_job_ends_with_all_its_processes_and_nothing_is_kept(
    server: Server, start_pilot: StartPilot
) -> None:
    server.a_script("echo begun; setsid sleep 8671.5 & sleep 8671.5")
    pilot = start_pilot("--max-jobs", "1")
    wait_for(lambda: server.heartbeats and "begun" in server.heartbeats[-1]["1"]["StandardOutput"])
    server.to_kill.add(1)
    assert pilot.wait(60) == 0
    assert sleeping(8671.5) == []
    assert {status for status, _ in steps(server)} == {"Running"}
    assert server.registered == []


def test_what_a_job_leaves_running_neither_lives_on_nor_holds_it_up(server: Server, run: Run) -> None:
    server.a_script("sleep 8672.5 & echo left")
    assert run()["Status"] == "Done"
    assert server.sandbox()["std.out"] == b"left\n"
    assert sleeping(8672.5) == []


def test_of_a_long_output_the_file_has_all_and_the_log_the_end(server: Server, run: Run) -> None:
    server.a_script("seq 1 500000", output_sandbox=["std.out"])
    done = run()
    assert server.sandbox()["std.out"] == "".join(f"{one}\n" for one in range(1, 500001)).encode()
    assert done["StandardOutput"].endswith("499999\n500000\n")
    assert len(done["StandardOutput"]) == 65536
