# One program, run as one job. Start here.
#   diracx workflows check one-tool.cwl one-tool.inputs.yaml
#   diracx workflows submit one-tool.cwl one-tool.inputs.yaml
cwlVersion: v1.2
class: CommandLineTool
label: Count the lines of a file

# The program and its fixed arguments; inputs with an inputBinding follow.
baseCommand: [wc, -l]

requirements:
  # What the job needs; the memory is in MiB. The time limit is in seconds.
  ResourceRequirement: {coresMin: 1, ramMin: 512}
  ToolTimeLimit: {timelimit: 3600}

inputs:
  data:
    type: File
    doc: Fetched to the node before the program starts, from the grid (lfn:) or from what was sent along.
    inputBinding:
      position: 1

# Where what it prints goes; `type: stdout` below makes that an output.
stdout: lines.txt

outputs:
  lines:
    type: stdout
