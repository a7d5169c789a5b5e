cwlVersion: v1.2
class: CommandLineTool
label: A line for each detector
baseCommand: [printf, '%s\n']

inputs:
  lines:
    type: string[]
    inputBinding:
      position: 1

stdout: report.txt

outputs:
  report:
    type: stdout
