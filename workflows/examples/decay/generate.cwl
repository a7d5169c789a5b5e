cwlVersion: v1.2
class: CommandLineTool
label: Simulate pairs of muons
baseCommand: python3

inputs:
  script:
    type: File
    default:
      class: File
      location: generate.py
    inputBinding:
      position: 1
  seed:
    type: int
    inputBinding:
      position: 2
  events:
    type: int
    inputBinding:
      position: 3

stdout: pairs-$(inputs.seed).csv

outputs:
  pairs:
    type: stdout
