cwlVersion: v1.2
class: CommandLineTool
label: Fit a peak over a background
baseCommand: python3

requirements:
  InlineJavascriptRequirement: {}

inputs:
  script:
    type: File
    default:
      class: File
      location: fit.py
    inputBinding:
      position: 1
  masses:
    type: File[]
    inputBinding:
      position: 2

outputs:
  mass:
    type: double
    outputBinding:
      glob: fit.json
      loadContents: true
      outputEval: $(JSON.parse(self[0].contents).mass)
  yield:
    type: double
    outputBinding:
      glob: fit.json
      loadContents: true
      outputEval: $(JSON.parse(self[0].contents).yield)
  result:
    type: File
    outputBinding:
      glob: fit.json
