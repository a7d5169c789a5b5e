# Several programs in one job: their files stay on the node, and only one job waits in the queue.
cwlVersion: v1.2
class: Workflow
label: Sort and compress a file in one job

$namespaces:
  dirac: https://diracgrid.org/cwl#

hints:
  # On the outermost process it makes one job of all steps; on a step's workflow, one job of that step.
  dirac:Job:
    schema_version: "1.0"
    # 0 to 10, higher is sooner.
    priority: 5

requirements:
  # The job gets what the largest of its tools asks for.
  ResourceRequirement: {coresMin: 1, ramMin: 512}

inputs:
  data: File

outputs:
  compressed:
    type: File
    outputSource: compress/compressed

steps:
  sort:
    in: {data: data}
    out: [sorted]
    run:
      class: CommandLineTool
      baseCommand: sort
      inputs:
        data:
          type: File
          inputBinding: {position: 1}
      stdout: sorted.txt
      outputs:
        sorted: {type: stdout}
  compress:
    in: {data: sort/sorted}
    out: [compressed]
    run:
      class: CommandLineTool
      # -n leaves the time out: the same input gives the same file.
      baseCommand: [gzip, -c, -n]
      inputs:
        data:
          type: File
          inputBinding: {position: 1}
      stdout: sorted.txt.gz
      outputs:
        compressed: {type: stdout}
