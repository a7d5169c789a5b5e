cwlVersion: v1.2
class: CommandLineTool
label: Plot the peak
baseCommand: python3

inputs:
  script:
    type: File
    default:
      class: File
      location: plot.py
    inputBinding:
      position: 1
  result:
    type: File
    inputBinding:
      position: 2

outputs:
  plot:
    type: File
    outputBinding:
      glob: peak.png
