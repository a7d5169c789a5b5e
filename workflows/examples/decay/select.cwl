cwlVersion: v1.2
class: CommandLineTool
label: Keep pairs of high momentum from one vertex
baseCommand: python3

inputs:
  script:
    type: File
    default:
      class: File
      location: cut.py
    inputBinding:
      position: 1
  pairs:
    type: File
    inputBinding:
      position: 2
  min_pt:
    type: double
    inputBinding:
      position: 3

stdout: masses.txt

outputs:
  masses:
    type: stdout
