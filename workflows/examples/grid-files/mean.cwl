cwlVersion: v1.2
class: CommandLineTool
label: Mean of a run
baseCommand: [awk, '{ sum += $1 } END { printf "%.3f\n", sum / NR }']

inputs:
  run_data:
    type: File
    inputBinding:
      position: 1

stdout: $(inputs.run_data.nameroot).mean

outputs:
  mean:
    type: stdout
