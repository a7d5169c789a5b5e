"""CWL documents for tests: small tools, each showing one thing."""

import json

from diracx_tasks.cwl.bundle import Bundle

HEAD = "cwlVersion: v1.2\nclass: CommandLineTool\n"

SUBWORKFLOW = """
cwlVersion: v1.2
class: Workflow
requirements: {SubworkflowFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: []
outputs: []
steps:
  outer:
    in: []
    out: []
    run:
      class: Workflow
      requirements: {EnvVarRequirement: {envDef: {FROM_ABOVE: inherited}}}
      inputs: []
      outputs: []
      steps:
        inner:
          in: []
          out: []
          run: inner.cwl
"""

INNER = f"""{HEAD}
baseCommand: [sh, -c, echo $FROM_ABOVE]
inputs: []
stdout: out.txt
outputs:
  text:
    type: string
    outputBinding: {{glob: out.txt, loadContents: true, outputEval: '${{return self[0].contents.trim()}}'}}
"""


def a_bundle(text: str, **files: str) -> Bundle:
    """A bundle whose main document is the text; other files by name, `__` for the dot."""
    others = {name.replace("__", "."): content.encode() for name, content in files.items()}
    return Bundle.of({"main.cwl": text.encode(), **others}, "main.cwl")


def a_tool(command: str, *, inputs: str = "{}", outputs: str = "{}", more: str = "") -> Bundle:
    """A tool that runs a line of shell; the other fields are YAML in one line."""
    run = f"baseCommand: [sh, -c, {json.dumps(command)}, sh]\n"
    return a_bundle(f"{HEAD}{run}inputs: {inputs}\noutputs: {outputs}\n{more}\n")


def a_sleep(seconds: float, before: str = "") -> Bundle:
    """A tool that says something and sleeps, in the foreground and as a daemon in a session of its own."""
    return a_tool(f"echo started >&2; {before} setsid sleep {seconds} & sleep {seconds}")
