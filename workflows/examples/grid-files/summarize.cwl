cwlVersion: v1.2
class: CommandLineTool
label: All means together
baseCommand: cat

$namespaces:
  dirac: https://diracgrid.org/cwl#

hints:
  dirac:Job:
    schema_version: "1.0"
    output_data:
      - source: summary
        output_path: /local/user/a/alice/results
        output_se: [SE-USER]

inputs:
  means:
    type: File[]
    inputBinding:
      position: 1

stdout: summary.txt

outputs:
  summary:
    type: stdout
