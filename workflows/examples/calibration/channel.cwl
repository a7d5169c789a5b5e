cwlVersion: v1.2
class: Workflow
label: One channel

requirements:
  InlineJavascriptRequirement: {}
  MultipleInputFeatureRequirement: {}

inputs:
  noise: double
  limit: double

outputs:
  constant:
    type: string
    # Exactly one of the two has run.
    outputSource: [calibrate/constant, mask/constant]
    pickValue: the_only_non_null

steps:
  calibrate:
    run: calibrate.cwl
    when: $(inputs.noise <= inputs.limit)
    in:
      noise: noise
      limit: limit
    out: [constant]
  mask:
    run:
      class: ExpressionTool
      inputs: {}
      outputs:
        constant: string
      expression: '${return {constant: "masked"};}'
    when: $(inputs.noise > inputs.limit)
    in:
      noise: noise
      limit: limit
    out: [constant]
