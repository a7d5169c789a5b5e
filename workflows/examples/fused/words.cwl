cwlVersion: v1.2
class: Workflow
label: How often each word stands in a text

$namespaces:
  dirac: https://diracgrid.org/cwl#

hints:
  dirac:Job:
    schema_version: "1.0"
    priority: 7

inputs:
  text: File

outputs:
  counts:
    type: File
    outputSource: count/counts

steps:
  split:
    run:
      class: CommandLineTool
      label: One word a line
      baseCommand: [tr, -cs, 'A-Za-z', '\n']
      inputs:
        text: File
      stdin: $(inputs.text.path)
      stdout: words.txt
      outputs:
        words:
          type: stdout
    in:
      text: text
    out: [words]
  lower:
    run:
      class: CommandLineTool
      baseCommand: [tr, 'A-Z', 'a-z']
      inputs:
        mixed: File
      stdin: $(inputs.mixed.path)
      stdout: lower.txt
      outputs:
        words:
          type: stdout
    in:
      mixed: split/words
    out: [words]
  count:
    run:
      class: CommandLineTool
      baseCommand: [awk, 'NF { seen[$1]++ } END { for (word in seen) print seen[word], word | "LC_ALL=C sort -k1,1nr -k2" }']
      inputs:
        words:
          type: File
          inputBinding: {}
      stdout: counts.txt
      outputs:
        counts:
          type: stdout
    in:
      words: lower/words
    out: [counts]
