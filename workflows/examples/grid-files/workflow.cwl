# Files of the grid in, a file of the grid out.
#   diracx data put runs/ /local/user/a/alice/runs        (your VO and name, also in inputs.yaml and summarize.cwl)
#   diracx workflows submit workflow.cwl inputs.yaml
cwlVersion: v1.2
class: Workflow
label: The mean of each run's measurements
doc: |
  Inputs are named by their LFNs and fetched by the job that reads them. The summary is stored under an LFN of its own,
  as the hint of its tool says; the means go to the sandbox store, as outputs do without a hint.

requirements:
  ScatterFeatureRequirement: {}
  ResourceRequirement:
    coresMin: 1
    ramMin: 256

inputs:
  runs:
    type: File[]
    doc: A number on each line.

outputs:
  means:
    type: File[]
    outputSource: mean/mean
  summary:
    type: File
    outputSource: summarize/summary

steps:
  mean:
    run: mean.cwl
    scatter: run_data
    in:
      run_data: runs
    out: [mean]
  summarize:
    run: summarize.cwl
    in:
      means: mean/mean
    out: [summary]
