# The same program for each of many files, and one that takes all results.
cwlVersion: v1.2
class: Workflow
label: Count the lines of many files

requirements:
  ScatterFeatureRequirement: {}
  ResourceRequirement: {coresMin: 1, ramMin: 512}

inputs:
  files:
    type: File[]
    doc: One job is made for each.

outputs:
  total:
    type: File
    outputSource: add/total

steps:
  count:
    # `scatter` names the input that takes one element of an array at a time; each element is a job.
    scatter: data
    in:
      data: files
    out: [lines]
    run:
      class: CommandLineTool
      baseCommand: [wc, -l]
      inputs:
        data: File
      stdin: $(inputs.data.path)
      stdout: lines.txt
      outputs:
        lines: {type: stdout}
  add:
    # It waits for all of them: `count/lines` is an array here.
    in:
      counts: count/lines
    out: [total]
    run:
      class: CommandLineTool
      baseCommand: [awk, '{ sum += $1 } END { print sum }']
      inputs:
        counts:
          type: File[]
          inputBinding: {position: 1}
      stdout: total.txt
      outputs:
        total: {type: stdout}
