# A workflow as a step of another one: several steps for each of many files.
cwlVersion: v1.2
class: Workflow
label: Filter and count each of many files

requirements:
  ScatterFeatureRequirement: {}
  SubworkflowFeatureRequirement: {}
  ResourceRequirement: {coresMin: 1, ramMin: 512}

inputs:
  files: File[]
  pattern:
    type: string
    doc: Lines with it are counted.

outputs:
  counts:
    type: File[]
    outputSource: each/lines

steps:
  each:
    scatter: data
    in:
      data: files
      pattern: pattern
    out: [lines]
    # It may as well be a file of its own: `run: each.cwl`.
    run:
      class: Workflow
      inputs:
        data: File
        pattern: string
      outputs:
        lines:
          type: File
          outputSource: count/lines
      steps:
        filter:
          in: {data: data, pattern: pattern}
          out: [kept]
          run:
            class: CommandLineTool
            baseCommand: grep
            # grep ends with 1 when it finds nothing: that is no failure here.
            successCodes: [0, 1]
            inputs:
              pattern:
                type: string
                inputBinding: {position: 1}
              data:
                type: File
                inputBinding: {position: 2}
            stdout: kept.txt
            outputs:
              kept: {type: stdout}
        count:
          in: {data: filter/kept}
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
