cwlVersion: v1.2
class: Workflow
label: One detector

requirements:
  ScatterFeatureRequirement: {}
  SubworkflowFeatureRequirement: {}
  InlineJavascriptRequirement: {}
  StepInputExpressionRequirement: {}

inputs:
  name: string
  noise: double[]
  limit: double

outputs:
  constants:
    type: string[]
    outputSource: channel/constant
  line:
    type: string
    outputSource: describe/line

steps:
  channel:
    run: channel.cwl
    scatter: noise
    in:
      noise: noise
      limit: limit
    out: [constant]
  # An expression is evaluated by the server: it takes no job.
  describe:
    run:
      class: ExpressionTool
      inputs:
        name: string
        constants: string[]
      outputs:
        line: string
      expression: |
        ${
          var masked = inputs.constants.filter(function (one) { return one === "masked"; });
          return {line: inputs.name + ": " + masked.length + " of " + inputs.constants.length + " masked"};
        }
    in:
      name: name
      constants: channel/constant
    out: [line]
