cwlVersion: v1.2
class: CommandLineTool
label: Add up and plot
baseCommand: python3

requirements:
  InlineJavascriptRequirement: {}

inputs:
  script:
    type: File
    default:
      class: File
      location: gather.py
    inputBinding:
      position: 1
  counts:
    type: File[]
    inputBinding:
      position: 2

outputs:
  pi:
    type: double
    outputBinding:
      glob: pi.json
      loadContents: true
      outputEval: $(JSON.parse(self[0].contents).estimate)
  result:
    type: File
    outputBinding:
      glob: pi.json
  histogram:
    type: File
    outputBinding:
      glob: histogram.png
