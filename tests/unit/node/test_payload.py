"""Payloads run below a warm process, as the pilot runs them."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import psutil

from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.node.order import LOG
from tests.unit.node.conftest import Payloads, sleeping
from tests.unit.node.documents import HEAD, INNER, SUBWORKFLOW, a_bundle, a_sleep, a_tool
from tests.unit.node.server import wait_for

JS = "requirements: {InlineJavascriptRequirement: {}}"
READ = "glob: out.txt, loadContents: true, outputEval: '$(self[0].contents)'"
TEXT = f"{{text: {{type: string, outputBinding: {{{READ}}}}}}}"
SCRIPT = "{script: {type: File, default: {class: File, location: data.txt}, inputBinding: {position: 1}}}"


def local(location: str) -> Path:
    """The file of an output's location."""
    return Path(location.removeprefix("file://"))


def test_a_tool_that_does_nothing_succeeds(payloads: Payloads) -> None:
    ended = payloads.run(a_tool("true"))
    assert ended.outputs == {}
    assert ended.exit.code == 0


def test_the_exit_code_of_a_failed_tool_is_the_reason(payloads: Payloads) -> None:
    ended = payloads.run(a_tool("echo oh no >&2; exit 3"))
    assert ended.result is not None
    assert (ended.result.status, ended.result.exit_code, ended.reason) == ("permanentFail", 3, "exit code 3")
    assert "oh no" in ended.log


def test_a_tool_may_name_other_exit_codes_as_success(payloads: Payloads) -> None:
    assert payloads.run(a_tool("exit 3", more="successCodes: [0, 3]")).outputs == {}
    failed = payloads.run(a_tool("exit 4", more="temporaryFailCodes: [4]"))
    assert failed.result is not None and failed.result.status == "temporaryFail"


def test_a_tool_ended_by_a_signal_says_so(payloads: Payloads) -> None:
    assert payloads.run(a_tool("kill -9 $$")).reason == "ended by signal 9"


def test_a_missing_command_is_named(payloads: Payloads) -> None:
    ended = payloads.run(a_bundle(HEAD + "baseCommand: no-such-command\ninputs: []\noutputs: []\n"))
    assert "'no-such-command' not found" in ended.reason


def test_a_missing_output_is_named(payloads: Payloads) -> None:
    ended = payloads.run(a_tool("true", outputs="{made: {type: File, outputBinding: {glob: made.txt}}}"))
    assert "Did not find output file with glob pattern: ['made.txt']" in ended.reason
    assert str(ended.folder) not in ended.reason


def test_an_exceeded_time_limit_is_the_reason(payloads: Payloads) -> None:
    ended = payloads.run(a_tool("exec sleep 60", more="requirements: {ToolTimeLimit: {timelimit: 1}}"))
    assert "exceeded time limit of 1 seconds" in ended.reason


def test_wrong_inputs_are_refused_with_their_name(payloads: Payloads) -> None:
    assert (
        "the 'number' field is not valid"
        in payloads.run(a_tool("true", inputs="{number: int}"), number="x").reason
    )


def test_an_expression_is_evaluated(payloads: Payloads) -> None:
    outputs = "{sum: {type: int, outputBinding: {outputEval: '${return inputs.a + 1;}'}}}"
    assert payloads.run(a_tool("true", inputs="{a: int}", outputs=outputs, more=JS), a=41).outputs == {
        "sum": 42
    }


def test_an_expression_cannot_reach_the_node(payloads: Payloads) -> None:
    outputs = (
        "{found: {type: string, outputBinding: {outputEval: '${return typeof process + typeof require;}'}}}"
    )
    assert payloads.run(a_tool("true", outputs=outputs, more=JS)).outputs == {"found": "undefinedundefined"}


def test_an_endless_expression_ends(payloads: Payloads) -> None:
    outputs = "{never: {type: int, outputBinding: {outputEval: '${while (true) {}}'}}}"
    assert "ran longer than" in payloads.run(a_tool("true", outputs=outputs, more=JS)).reason


def test_an_expression_that_eats_all_memory_fails_its_job_only(payloads: Payloads) -> None:
    code = "${var a = []; while (true) { a.push(new Array(100000).fill(7)); }}"
    outputs = f"{{never: {{type: int, outputBinding: {{outputEval: '{code}'}}}}}}"
    assert not payloads.run(a_tool("true", outputs=outputs, more=JS)).result.is_success  # type: ignore[union-attr]
    assert payloads.run(a_tool("true")).outputs == {}


def test_an_expression_tool_runs(payloads: Payloads) -> None:
    text = (
        "cwlVersion: v1.2\nclass: ExpressionTool\nrequirements: {InlineJavascriptRequirement: {}}\n"
        "inputs: {a: int}\noutputs: {b: int}\nexpression: '${return {b: inputs.a * 2};}'\n"
    )
    assert payloads.run(a_bundle(text), a=21).outputs == {"b": 42}


def test_a_step_inherits_the_requirements_of_the_workflows_above(payloads: Payloads) -> None:
    bundle = a_bundle(SUBWORKFLOW, inner__cwl=INNER)
    assert payloads.run(bundle, "outer/inner").outputs == {"text": "inherited"}


def test_an_unknown_step_is_named(payloads: Payloads) -> None:
    assert (
        "there is no step 'outer/other'"
        in payloads.run(a_bundle(SUBWORKFLOW, inner__cwl=INNER), "outer/other").reason
    )


def test_a_whole_workflow_may_be_one_payload(payloads: Payloads) -> None:
    bundle = a_bundle(SUBWORKFLOW.replace("outputs: []", "outputs: {}", 1), inner__cwl=INNER)
    ended = payloads.run(bundle)
    assert ended.outputs == {}
    assert "inherited" not in ended.log


def test_documents_that_do_not_load_are_the_payloads_failure(payloads: Payloads) -> None:
    ended = payloads.run(a_bundle("cwlVersion: v1.2\nclass: CommandLineTool\nrun: nothing\n"))
    assert ended.reason
    assert payloads.run(a_tool("true")).outputs == {}


def test_a_document_outside_the_bundle_is_not_read(payloads: Payloads, tmp_path: Path) -> None:
    (tmp_path / "outside.cwl").write_text(INNER)
    bundle = a_bundle(SUBWORKFLOW.replace("inner.cwl", f"file://{tmp_path}/outside.cwl"))
    assert "is not among the files sent" in payloads.run(bundle, "outer/inner").reason


def test_secondary_files_stand_beside_their_primary(payloads: Payloads, tmp_path: Path) -> None:
    for name in ("a/reads.bam", "b/reads.bam.bai"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(name)
    bai = {"class": "File", "location": (tmp_path / "b/reads.bam.bai").as_uri(), "basename": "reads.bam.bai"}
    bam = {"class": "File", "location": (tmp_path / "a/reads.bam").as_uri(), "basename": "reads.bam"}
    bundle = a_tool(
        'cat "$1.bai" > out.txt; cp "$1" copy.bam; cp "$1.bai" copy.bam.bai',
        inputs="{reads: {type: File, secondaryFiles: [.bai], inputBinding: {position: 1}}}",
        outputs="{copy: {type: File, secondaryFiles: [.bai], outputBinding: {glob: copy.bam}}, " + TEXT[1:],
    )
    outputs = payloads.run(bundle, reads={**bam, "secondaryFiles": [bai]}).outputs
    assert outputs["text"] == "b/reads.bam.bai"
    assert local(outputs["copy"]["secondaryFiles"][0]["location"]).read_text() == "b/reads.bam.bai"


def test_a_directory_literal_is_an_input_and_a_directory_an_output(
    payloads: Payloads, tmp_path: Path
) -> None:
    (tmp_path / "one.txt").write_text("1")
    one = {"class": "File", "location": (tmp_path / "one.txt").as_uri(), "basename": "one.txt"}
    inner = {"class": "Directory", "basename": "inner", "listing": [one]}
    bundle = a_tool(
        'cp -rL "$1" made',
        inputs="{tree: {type: Directory, inputBinding: {position: 1}}}",
        outputs="{made: {type: Directory, outputBinding: {glob: made}}}",
    )
    made = payloads.run(bundle, tree={"class": "Directory", "basename": "tree", "listing": [inner]}).outputs[
        "made"
    ]
    assert (local(made["location"]) / "inner" / "one.txt").read_text() == "1"


def test_a_default_file_comes_from_the_bundle_fresh_for_each_payload(payloads: Payloads) -> None:
    bundle = a_bundle(
        f"{HEAD}inputs: {SCRIPT}\noutputs: {TEXT}\n"
        "baseCommand: [sh, -c, 'cat $1 > out.txt; f=$(realpath $1); chmod u+w $f; echo changed > $f', sh]\n",
        data__txt="shipped",
    )
    assert [payloads.run(bundle).outputs["text"] for _ in range(2)] == ["shipped", "shipped"]


def test_small_floats_are_written_with_digits(payloads: Payloads) -> None:
    inputs = "{x: {type: double, inputBinding: {position: 1}}}"
    bundle = a_tool('printf %s "$1" > out.txt', inputs=inputs, outputs=TEXT)
    assert payloads.run(bundle, x=0.00001).outputs["text"] == "0.00001"


def test_numbers_of_the_outputs_stay_numbers(payloads: Payloads) -> None:
    outputs = "{x: double, n: long}"
    command = """echo '{"x": 1.5e-7, "n": 12345678901234567}' > cwl.output.json"""
    assert payloads.run(a_tool(command, outputs=outputs)).outputs == {"x": 1.5e-7, "n": 12345678901234567}


def test_a_container_that_is_only_a_hint_is_not_needed(payloads: Payloads) -> None:
    assert payloads.run(a_tool("true", more="hints: {DockerRequirement: {dockerPull: alpine}}")).outputs == {}


def test_a_required_container_is_unsupported_on_a_node_without_engine(payloads: Payloads) -> None:
    ended = payloads.run(a_tool("true", more="requirements: {DockerRequirement: {dockerPull: alpine}}"))
    assert ended.result is not None and ended.result.is_unsupported
    assert "this node has none of apptainer, singularity, podman, docker, udocker" in ended.reason


def test_a_payload_sees_our_python_first_and_nothing_of_the_pilot(payloads: Payloads) -> None:
    environment = payloads.run(a_tool("env > out.txt", outputs=TEXT)).outputs["text"].splitlines()
    path = next(line for line in environment if line.startswith("PATH="))
    assert path.startswith(f"PATH={Path(sys.executable).parent}:")
    assert not [line for line in environment if line.startswith("DIRACX_")]


def test_a_killed_payload_leaves_nothing_behind(payloads: Payloads) -> None:
    folder = payloads.start(a_sleep(8641.5, "trap '' TERM;"))
    wait_for(lambda: len(sleeping(8641.5)) == 2)
    payloads.zygote.wait(0)
    payloads.zygote.terminate_payload()
    ended = payloads.end(folder)
    assert (ended.exit.code, ended.result, sleeping(8641.5)) == (143, None, [])


def test_a_payload_has_time_to_end_politely(payloads: Payloads) -> None:
    folder = payloads.start(
        a_tool("trap 'echo bye >&2; exit 1' TERM; echo started >&2; sleep 0.5 & wait; wait; sleep 60")
    )
    wait_for(lambda: "started" in (folder / LOG).read_text() if (folder / LOG).exists() else False)
    payloads.zygote.wait(0)
    payloads.zygote.terminate_payload()
    assert "bye" in payloads.end(folder).log


def test_a_daemon_ends_with_its_payload(payloads: Payloads) -> None:
    ended = payloads.run(a_tool("setsid sleep 8642.5 > /dev/null 2>&1 & echo done >&2"))
    assert ended.outputs == {}
    assert sleeping(8642.5) == []


def test_killing_the_process_above_a_payload_leaves_nothing_behind(payloads: Payloads) -> None:
    folder = payloads.start(a_sleep(8643.5))
    wait_for(lambda: len(sleeping(8643.5)) == 2)
    payloads.zygote.wait(0)
    assert payloads.zygote.payload is not None
    payloads.zygote.payload.kill()
    ended = payloads.end(folder)
    assert (ended.exit.code, ended.result, sleeping(8643.5)) == (137, None, [])


def test_the_cpu_time_of_the_tool_is_counted(payloads: Payloads) -> None:
    burn = "import time\nwhile time.process_time() < 0.6: pass"
    assert payloads.run(a_tool(f"python3 -c '{burn}'")).exit.cpu_seconds > 0.5


def test_the_warm_process_keeps_one_thread(payloads: Payloads) -> None:
    payloads.run(
        a_tool("true", outputs="{x: {type: int, outputBinding: {outputEval: '${return 1;}'}}}", more=JS)
    )
    (warm,) = (one for one in psutil.Process().children() if "diracx_tasks.node.zygote" in one.cmdline())
    assert warm.num_threads() == 1


def test_the_warm_process_does_not_grow_with_payloads(payloads: Payloads) -> None:
    bundle = a_tool("true")
    payloads.run(bundle)
    (warm,) = (one for one in psutil.Process().children() if "diracx_tasks.node.zygote" in one.cmdline())
    before = warm.memory_info().rss
    for _ in range(30):
        payloads.run(bundle)
    assert warm.memory_info().rss - before < 2 * 1024 * 1024


def test_the_example_gives_its_expected_numbers(payloads: Payloads) -> None:
    example = Path(__file__).parents[3] / "workflows" / "examples" / "pi"
    files = {path.name: path.read_bytes() for path in example.iterdir() if path.suffix in (".cwl", ".py")}
    expected = json.loads((example / "expected.json").read_text())
    inputs: dict[str, Any] = {"seeds": list(range(1, 9)), "points": 100000}
    outputs = payloads.run(Bundle.of(files, "workflow.cwl"), **inputs).outputs
    assert outputs["pi"] == expected["pi"]
    assert outputs["result"]["checksum"] == expected["result"]["checksum"]
    assert os.path.getsize(local(outputs["histogram"]["location"])) > 10_000
