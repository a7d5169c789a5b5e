cwlVersion: v1.2
class: CommandLineTool
label: Words of all texts
baseCommand: [awk, '{ seen[$2] += $1 } END { for (word in seen) print seen[word], word | "LC_ALL=C sort -k1,1nr -k2" }']

inputs:
  counts:
    type: File[]
    inputBinding:
      position: 1

stdout: all.txt

outputs:
  all:
    type: stdout
