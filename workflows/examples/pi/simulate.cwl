cwlVersion: v1.2
class: CommandLineTool
label: Throw points, count hits
baseCommand: python3

inputs:
  script:
    type: File
    default:
      class: File
      location: simulate.py
    inputBinding:
      position: 1
  seed:
    type: int
    inputBinding:
      position: 2
  points:
    type: int
    inputBinding:
      position: 3

stdout: counts-$(inputs.seed).json

outputs:
  counts:
    type: stdout
