# A scatter inside a scatter, with steps that run for some elements only.
# Try it: diracx workflows submit workflow.cwl inputs.yaml   (or: cwltool workflow.cwl inputs.yaml)
cwlVersion: v1.2
class: Workflow
label: Calibrate the channels of detectors
doc: |
  For each detector its channels are looked at: a quiet channel is calibrated, a noisy one is masked. Where neither
  ran there is null; `pickValue` takes the one that did. The report has a line for each detector.

requirements:
  ScatterFeatureRequirement: {}
  SubworkflowFeatureRequirement: {}
  InlineJavascriptRequirement: {}
  ResourceRequirement:
    coresMin: 1
    ramMin: 256

inputs:
  names:
    type: string[]
    doc: Names of the detectors.
  noise:
    type:
      type: array
      items:
        type: array
        items: double
    doc: For each detector the noise of its channels in electrons.
  limit:
    type: double
    doc: A channel above it is masked.

outputs:
  constants:
    type:
      type: array
      items:
        type: array
        items: string
    outputSource: detector/constants
  report:
    type: File
    outputSource: summarize/report

steps:
  detector:
    run: detector.cwl
    scatter: [name, noise]
    scatterMethod: dotproduct
    in:
      name: names
      noise: noise
      limit: limit
    out: [constants, line]
  summarize:
    run: report.cwl
    in:
      lines: detector/line
    out: [report]
