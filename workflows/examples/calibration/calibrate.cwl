cwlVersion: v1.2
class: CommandLineTool
label: A channel's threshold is five times its noise
baseCommand: [awk, 'BEGIN { printf "%.1f", 5 * ARGV[1] }']

inputs:
  noise:
    type: double
    inputBinding:
      position: 1

stdout: constant.txt

outputs:
  constant:
    type: string
    outputBinding:
      glob: constant.txt
      loadContents: true
      outputEval: $(self[0].contents)
