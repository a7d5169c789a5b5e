"""What goes in and comes out of the routes of jobs that run a CWL process."""

from typing import Any

from pydantic import BaseModel

from diracx_api.models.fields import stated
from diracx_api.models.workflows import DOCUMENT, FILE


class CwlJobs(BaseModel):
    """A process with inputs; each input object makes a job."""

    files: dict[str, str | dict[str, str]] = stated(
        'The documents and the files they refer to, by relative path: a text, or {"base64": ...}.',
        {"workflow.cwl": DOCUMENT},
    )
    main: str = stated("The document to start from, with `#id` for one process of several.", "workflow.cwl")
    inputs: list[dict[str, Any] | str] | dict[str, Any] | str | None = stated(
        "Input objects, or one; each may be its YAML text; files by a `sandbox:` or `lfn:` location.",
        [{"points": 1000}, {"points": 2000}],
        default=None,
    )
    range: str | None = stated(
        "NAME=STOP, NAME=START:STOP or NAME=START:STOP:STEP, as Python counts: a job for each value.",
        None,
        default=None,
        max_length=300,
    )
    name: str = stated("A name for people; the process's label by default.", "pi", default="", max_length=128)


class JobOutputs(BaseModel):
    """The outputs of a job that runs a CWL process."""

    job_id: int = stated("The job's number.", 17)
    status: str = stated("Its status.", "Done")
    outputs: dict[str, Any] | None = stated("Its outputs once it is Done; null before.", {"result": FILE})
