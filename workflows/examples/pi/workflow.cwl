# Eight independent simulations, then one job that puts them together.
# Try it: diracx workflows submit workflow.cwl inputs.yaml   (or: cwltool workflow.cwl inputs.yaml)
cwlVersion: v1.2
class: Workflow
label: Pi by throwing darts
doc: |
  Each simulation throws random points into the unit square and counts those inside the quarter circle.
  Gathering adds the counts up and plots how the estimates of single batches spread around pi.

requirements:
  ScatterFeatureRequirement: {}
  ResourceRequirement:
    coresMin: 1
    ramMin: 256

inputs:
  seeds:
    type: int[]
    doc: One simulation is run per seed.
  points:
    type: int
    doc: Points per simulation.

outputs:
  pi:
    type: double
    outputSource: gather/pi
  result:
    type: File
    outputSource: gather/result
  histogram:
    type: File
    outputSource: gather/histogram

steps:
  simulate:
    run: simulate.cwl
    scatter: seed
    in:
      seed: seeds
      points: points
    out: [counts]
  gather:
    run: gather.cwl
    in:
      counts: simulate/counts
    out: [pi, result, histogram]
