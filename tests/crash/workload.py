"""A workflow of 200 jobs: nested scatter, conditional step, subworkflow, gathers. Its tools keep a ledger.

144 jobs join letters and numbers, a conditional step in a scattered subworkflow squares the 55 even ones of
110 numbers, one job gathers everything.
"""

from collections import Counter
from pathlib import Path
from typing import Any

LETTERS = 12
NUMBERS = 12
SQUARES = 55

PAIR = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c]
inputs: {letter: string, number: int, ledger: string}
arguments:
  - |
    sleep 0.1
    echo "pair $(inputs.letter)$(inputs.number)" >> $(inputs.ledger)
    printf '%s%s' $(inputs.letter) $(inputs.number)
outputs:
  pair: {type: string, outputBinding: {glob: pair.txt, loadContents: true, outputEval: "$(self[0].contents)"}}
stdout: pair.txt
"""
SQUARE = """cwlVersion: v1.2
class: Workflow
requirements: {InlineJavascriptRequirement: {}, StepInputExpressionRequirement: {}}
inputs: {number: int, ledger: string}
outputs: {square: {type: File?, outputSource: even/square}}
steps:
  even:
    run:
      class: CommandLineTool
      baseCommand: [sh, -c]
      inputs: {number: int, ledger: string}
      arguments:
        - echo "square $(inputs.number)" >> $(inputs.ledger); expr $(inputs.number) '*' $(inputs.number) + 1
      outputs: {square: {type: stdout}}
      stdout: square.txt
    when: $(inputs.number % 2 == 0)
    in: {number: number, ledger: ledger}
    out: [square]
"""
WORKFLOW = """cwlVersion: v1.2
class: Workflow
requirements:
  ScatterFeatureRequirement: {}
  SubworkflowFeatureRequirement: {}
  StepInputExpressionRequirement: {}
  InlineJavascriptRequirement: {}
  MultipleInputFeatureRequirement: {}
inputs: {letters: "string[]", numbers: "int[]", squares: "int[]", ledger: string}
outputs:
  total: {type: File, outputSource: gather/total}
  pairs: {type: {type: array, items: {type: array, items: string}}, outputSource: pair/pair}
steps:
  pair:
    run: pair.cwl
    scatter: [letter, number]
    scatterMethod: nested_crossproduct
    in: {letter: letters, number: numbers, ledger: ledger}
    out: [pair]
  square:
    run: square.cwl
    scatter: number
    in: {number: squares, ledger: ledger}
    out: [square]
  gather:
    run:
      class: CommandLineTool
      baseCommand: [sh, -c]
      inputs:
        squares: {type: "File[]"}
        pairs: {type: "string[]"}
        ledger: string
      arguments:
        - |
          echo gather >> $(inputs.ledger)
          cat $(inputs.squares.map(function(f) {return f.path}).join(' '))
          echo $(inputs.pairs.join(' '))
      outputs: {total: {type: stdout}}
      stdout: total.txt
    in:
      squares: {source: square/square, pickValue: all_non_null}
      pairs: {source: pair/pair, valueFrom: "$([].concat.apply([], self))"}
      ledger: ledger
    out: [total]
"""
FILES = {"workflow.cwl": WORKFLOW, "pair.cwl": PAIR, "square.cwl": SQUARE}
JOBS = LETTERS * NUMBERS + SQUARES + 1


def inputs(ledger: Path) -> dict[str, Any]:
    """The input object; every run has a ledger of its own."""
    ledger.touch()
    return {
        "letters": [chr(97 + i) for i in range(LETTERS)],
        "numbers": list(range(NUMBERS)),
        "squares": list(range(2 * SQUARES)),
        "ledger": str(ledger),
    }


def runs(ledger: Path) -> Counter[str]:
    """How often each tool ran to its end."""
    return Counter(ledger.read_text().splitlines())


def plain(outputs: dict[str, Any]) -> dict[str, Any]:
    """Outputs that two runs must have in common: contents and their checksums, not where they lie."""
    total = outputs["total"]
    return {"pairs": outputs["pairs"], "total": (total["checksum"], total["size"])}
