# A chain of short tools that runs as one job for each element, instead of as three.
# Try it: diracx workflows submit workflow.cwl inputs.yaml   (or: cwltool workflow.cwl inputs.yaml)
cwlVersion: v1.2
class: Workflow
label: Words of texts, each text one job
doc: |
  The hint `dirac:Job` on a step's workflow keeps its tools together: they run one after the other on one node, and the
  files between them are never stored. Other runners do not know the hint and get the same result.

requirements:
  ScatterFeatureRequirement: {}
  SubworkflowFeatureRequirement: {}

inputs:
  texts:
    type: File[]

outputs:
  counts:
    type: File[]
    outputSource: words/counts
  all:
    type: File
    outputSource: merge/all

steps:
  words:
    run: words.cwl
    scatter: text
    in:
      text: texts
    out: [counts]
  merge:
    run: merge.cwl
    in:
      counts: words/counts
    out: [all]
