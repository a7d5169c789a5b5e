cwlVersion: v1.2
class: CommandLineTool
label: Add up
baseCommand: [awk, '{ sum += $1 } END { printf "%.9f", sum }', terms.txt]

requirements:
  InlineJavascriptRequirement: {}
  # A file holds more than a command line does.
  InitialWorkDirRequirement:
    listing:
      - entryname: terms.txt
        entry: '$(inputs.terms.join("\n") + "\n")'

inputs:
  terms: double[]

stdout: pi.txt

outputs:
  pi:
    type: double
    outputBinding:
      glob: pi.txt
      loadContents: true
      outputEval: $(parseFloat(self[0].contents))
