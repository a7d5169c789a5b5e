"""cwltool's view of a process with its inputs, made so that the process stays as it is."""

import copy
from typing import Any

from cwltool.builder import Builder
from cwltool.context import RuntimeContext
from cwltool.process import Process


def built(process: Process, inputs: dict[str, Any], context: RuntimeContext) -> Builder:
    """The inputs with defaults, checked by the schema; ValidationException when they are wrong.

    cwltool writes the types that it finds for `Any` into the schema: the next inputs may have others.
    """
    kept = process.inputs_record_schema
    process.inputs_record_schema = copy.deepcopy(kept)
    try:
        return process._init_job(inputs, context)
    finally:
        process.inputs_record_schema = kept
