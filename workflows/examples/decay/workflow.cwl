# A search for a decay peak: simulated events, a selection, a fit, a plot.
# Try it: diracx workflows submit workflow.cwl inputs.yaml   (or: cwltool workflow.cwl inputs.yaml)
cwlVersion: v1.2
class: Workflow
label: Mass and yield of a decay peak
doc: |
  Each sample holds pairs of muons: a peak of J/psi decays over an exponential background. The selection keeps pairs
  of high momentum from one vertex. The fit counts the decays and measures their mass; the plot shows both.

requirements:
  ScatterFeatureRequirement: {}
  SubworkflowFeatureRequirement: {}
  ResourceRequirement:
    coresMin: 1
    ramMin: 256

inputs:
  seeds:
    type: int[]
    doc: One sample is generated per seed.
  events:
    type: int
    doc: Pairs per sample.
  min_pt:
    type: double
    default: 2.0
    doc: Least transverse momentum of a pair in GeV.

outputs:
  mass:
    type: double
    doc: In GeV.
    outputSource: fit/mass
  yield:
    type: double
    doc: Decays in the peak.
    outputSource: fit/yield
  result:
    type: File
    outputSource: fit/result
  plot:
    type: File
    outputSource: draw/plot

steps:
  generate:
    run: generate.cwl
    scatter: seed
    in:
      seed: seeds
      events: events
    out: [pairs]
  select:
    run: select.cwl
    scatter: pairs
    in:
      pairs: generate/pairs
      min_pt: min_pt
    out: [masses]
  fit:
    run: fit.cwl
    in:
      masses: select/masses
    out: [mass, yield, result]
  draw:
    run: plot.cwl
    in:
      result: fit/result
    out: [plot]
