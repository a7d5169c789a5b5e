# Thousands of small results, and one job that takes all of them.
# Try it: diracx workflows submit workflow.cwl inputs.yaml   (or: cwltool workflow.cwl inputs.yaml)
cwlVersion: v1.2
class: Workflow
label: A sum over thousands
doc: |
  Each element is an expression, which the server evaluates: 2000 of them take no job. Put a tool in the place of
  `term` and each element is a job. The sum is one job with 2000 inputs.

requirements:
  ScatterFeatureRequirement: {}
  InlineJavascriptRequirement: {}

inputs:
  terms:
    type: int
    doc: How many terms of the series are added.

outputs:
  pi:
    type: double
    outputSource: sum/pi

steps:
  count:
    run:
      class: ExpressionTool
      inputs:
        terms: int
      outputs:
        numbers: int[]
      expression: |
        ${
          var numbers = [];
          for (var number = 0; number < inputs.terms; number++) { numbers.push(number); }
          return {numbers: numbers};
        }
    in:
      terms: terms
    out: [numbers]
  term:
    run:
      class: ExpressionTool
      inputs:
        number: int
      outputs:
        term: double
      # Leibniz: pi is 4 - 4/3 + 4/5 - 4/7 ...; two terms at a time.
      expression: '${return {term: 4 / (4 * inputs.number + 1) - 4 / (4 * inputs.number + 3)};}'
    scatter: number
    in:
      number: count/numbers
    out: [term]
  sum:
    run: sum.cwl
    in:
      terms: term/term
    out: [pi]
