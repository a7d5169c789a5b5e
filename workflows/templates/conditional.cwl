# A step that runs only when it is wanted.
cwlVersion: v1.2
class: Workflow
label: Sort a file, if asked to

requirements:
  InlineJavascriptRequirement: {}
  MultipleInputFeatureRequirement: {}
  ResourceRequirement: {coresMin: 1, ramMin: 512}

inputs:
  data: File
  is_sorted:
    type: boolean
    doc: Whether the file is in order already.

outputs:
  sorted:
    type: File
    # A step that did not run gives null: the first that is something is taken.
    outputSource: [sort/sorted, data]
    pickValue: first_non_null

steps:
  sort:
    # `when` sees the inputs of the step.
    when: $(!inputs.is_sorted)
    in:
      data: data
      is_sorted: is_sorted
    out: [sorted]
    run:
      class: CommandLineTool
      baseCommand: sort
      inputs:
        data:
          type: File
          inputBinding: {position: 1}
      stdout: sorted.txt
      outputs:
        sorted: {type: stdout}
