"""Workflows from submission to outputs: what steps hand on to each other, and how they fail."""

import re
from pathlib import Path
from typing import Any

from tests.cwl.conftest import Run
from tests.unit.cwl.documents import HEAD, a_workflow, an_expression

WRITE = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c, 'printf %s "$1" > "$1.txt"; echo index > "$1.txt.idx"', sh]
inputs: {text: {type: string, inputBinding: {position: 1}}}
outputs: {file: {type: File, secondaryFiles: [.idx], outputBinding: {glob: $(inputs.text).txt}}}
"""
SHOW = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c, 'cat "$0" "$0.idx"']
inputs: {file: {type: File, secondaryFiles: [.idx], inputBinding: {position: 1}}}
outputs: {shown: {type: stdout}}
"""
MAKE_FOLDER = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c, 'mkdir -p d/e; echo 1 > d/a; echo 22 > d/e/b']
inputs: {}
outputs: {d: {type: Directory, outputBinding: {glob: d}}}
"""
LIST_FOLDER = """cwlVersion: v1.2
class: CommandLineTool
requirements: {InlineJavascriptRequirement: {}}
baseCommand: [sh, -c, 'cd "$0" && find -L . -type f | sort | xargs cat']
inputs: {d: {type: Directory, loadListing: deep_listing, inputBinding: {position: 1}}}
outputs:
  shown: {type: stdout}
  names: {type: Any, outputBinding: {outputEval: '$(inputs.d.listing.map(f => f.basename).sort())'}}
"""
FAIL = f"{HEAD}arguments: []\ninputs: {{code: int}}\noutputs: {{}}\n".replace(
    "baseCommand: echo", "baseCommand: [sh, -c, 'exit $0']"
).replace("{code: int}", "{code: {type: int, inputBinding: {position: 1}}}")


def text(file: dict[str, Any]) -> str:
    """What is in an output."""
    return Path(file["path"]).read_text()


def test_a_file_and_its_secondary_files_are_handed_on(run: Run) -> None:
    main = a_workflow(
        "write: {run: write.cwl, in: {text: {default: hello}}, out: [file]}",
        "show: {run: show.cwl, in: {file: write/file}, out: [shown]}",
        outputs="{shown: {type: File, outputSource: show/shown}}",
    )
    ended = run(main__cwl=main, write__cwl=WRITE, show__cwl=SHOW)
    assert text((ended.outputs or {})["shown"]) == "helloindex\n"


def test_expressions_read_what_tools_have_written(run: Run) -> None:
    main = a_workflow(
        "write: {run: write.cwl, scatter: text, in: {text: texts}, out: [file]}",
        "read: {run: e.cwl, in: {a: {source: write/file, loadContents: true, "
        "valueFrom: '$(self.map(f => f.contents + f.size))'}}, out: [o]}",
        inputs="{texts: 'string[]'}",
        outputs="{o: {type: Any, outputSource: read/o}}",
    )
    echo = an_expression("${return {o: inputs.a};}", "{a: Any}")
    ended = run({"texts": ["a", "bb", "ccc", "dddd", "eeeee"]}, main__cwl=main, write__cwl=WRITE, e__cwl=echo)
    assert ended.outputs == {"o": ["a1", "bb2", "ccc3", "dddd4", "eeeee5"]}


def test_an_expression_cannot_read_a_large_file(run: Run) -> None:
    big = WRITE.replace('printf %s "$1"', "head -c 70000 /dev/zero")
    main = a_workflow(
        "write: {run: write.cwl, in: {text: {default: x}}, out: [file]}",
        "read: {run: e.cwl, in: {a: {source: write/file, loadContents: true}}, out: [o]}",
    )
    ended = run(main__cwl=main, write__cwl=big, e__cwl=an_expression("${return {o: 1};}", "{a: Any}"))
    assert ended.status == "Failed" and "64 KiB" in ended.reason


def test_a_folder_is_handed_on(run: Run) -> None:
    main = a_workflow(
        "make: {run: make.cwl, in: {}, out: [d]}",
        "list: {run: list.cwl, in: {d: make/d}, out: [shown, names]}",
        outputs="{shown: {type: File, outputSource: list/shown}, "
        "names: {type: Any, outputSource: list/names}}",
    )
    outputs = run(main__cwl=main, make__cwl=MAKE_FOLDER, list__cwl=LIST_FOLDER).outputs or {}
    assert text(outputs["shown"]) == "1\n22\n"
    assert outputs["names"] == ["a", "e"]


def test_a_wide_scatter_is_made_in_parts_and_gathered_in_order(run: Run) -> None:
    main = a_workflow(
        "s: {run: e.cwl, scatter: a, when: $(inputs.a % 2 == 0), in: {a: xs}, out: [o]}",
        inputs="{xs: 'int[]'}",
        outputs="{o: {type: Any, outputSource: s/o, pickValue: all_non_null}}",
    )
    square = an_expression("${return {o: inputs.a * inputs.a};}", "{a: int}")
    ended = run({"xs": list(range(450))}, main__cwl=main, e__cwl=square)
    assert ended.outputs == {"o": [n * n for n in range(0, 450, 2)]}


def test_workflows_nest_and_scatter(run: Run) -> None:
    inner = a_workflow(
        "s: {run: e.cwl, scatter: [a, b], scatterMethod: nested_crossproduct, in: {a: xs, b: ys}, out: [o]}",
        inputs="{xs: 'int[]', ys: 'int[]'}",
        outputs="{o: {type: Any, outputSource: s/o}}",
    )
    main = a_workflow(
        "sub: {run: inner.cwl, scatter: xs, in: {xs: xss, ys: {default: [1, 2]}}, out: [o]}",
        inputs="{xss: {type: {type: array, items: {type: array, items: int}}}}",
        outputs="{o: {type: Any, outputSource: sub/o}}",
    )
    product = an_expression("${return {o: inputs.a * inputs.b};}", "{a: int, b: int}")
    ended = run({"xss": [[1, 2], [], [3]]}, main__cwl=main, inner__cwl=inner, e__cwl=product)
    assert ended.outputs == {"o": [[[1, 2], [2, 4]], [], [[3, 6]]]}


def test_a_failed_tool_names_its_step_and_exit_code(run: Run) -> None:
    ended = run(
        main__cwl=a_workflow("bad: {run: fail.cwl, in: {code: {default: 3}}, out: []}"), fail__cwl=FAIL
    )
    assert ended.status == "Failed"
    assert re.fullmatch(r"bad: Application Finished With Errors: exit code 3 \(job \d+\)", ended.reason)


def test_failed_slots_are_counted(run: Run) -> None:
    main = a_workflow(
        "s: {run: fail.cwl, scatter: code, in: {code: codes}, out: []}", inputs="{codes: 'int[]'}"
    )
    ended = run({"codes": [0, 4, 0]}, main__cwl=main, fail__cwl=FAIL)
    assert re.match(r"s: 1 of 3 failed, first: s: .*: exit code 4 \(job \d+\)", ended.reason)


def test_a_failed_expression_says_why(run: Run) -> None:
    main = a_workflow("bad: {run: e.cwl, in: {}, out: [o]}")
    ended = run(main__cwl=main, e__cwl=an_expression('${throw new Error("boo");}'))
    assert ended.reason == 'bad: e.cwl:6:13: Error: boo in ${throw new Error("boo");}'


def test_a_root_tool_and_a_root_expression_run(run: Run) -> None:
    ended = run({"text": "x"}, main__cwl=WRITE)
    assert text((ended.outputs or {})["file"]) == "x"
    assert run(main__cwl=an_expression("${return {o: [1, null]};}")).outputs == {"o": [1, None]}


def test_files_sent_along_are_found_from_folders(run: Run) -> None:
    tool = "sub/tool__cwl"
    default = "{f: {type: File, default: {class: File, location: data/x y.txt}, inputBinding: {position: 1}}}"
    files = {
        tool: f"{HEAD}inputs: {default}\noutputs: {{o: stdout}}\n".replace("echo", "cat"),
        "sub/data/x y__txt": "found",
    }
    main = a_workflow(
        "one: {run: sub/tool.cwl, in: {}, out: [o]}", outputs="{o: {type: File, outputSource: one/o}}"
    )
    assert text((run(main__cwl=main, **files).outputs or {})["o"]) == "found"


def test_an_input_may_be_an_output(run: Run) -> None:
    main = a_workflow(
        "{}",
        inputs="{f: File, n: double}",
        outputs="{f: {type: File, outputSource: f}, n: {type: double, outputSource: n}}",
    )
    main = main.replace("steps:\n  {}\n", "steps: {}\n")
    ended = run({"f": {"class": "File", "path": "data.txt"}, "n": 10**42}, main__cwl=main, data__txt="kept")
    assert text((ended.outputs or {})["f"]) == "kept" and (ended.outputs or {})["n"] == 10**42


def test_a_workflow_with_our_hint_is_one_job(run: Run) -> None:
    more = "$namespaces: {dirac: 'https://diracgrid.org/cwl#'}\nhints: {dirac:Job: {}}\n"
    main = a_workflow(
        "write: {run: write.cwl, in: {text: {default: fused}}, out: [file]}",
        "show: {run: show.cwl, in: {file: write/file}, out: [shown]}",
        outputs="{shown: {type: File, outputSource: show/shown}}",
        more=more,
    )
    ended = run(main__cwl=main, write__cwl=WRITE, show__cwl=SHOW)
    assert ended.status == "Done", ended.reason
    assert text((ended.outputs or {})["shown"]) == "fusedindex\n"
