"""Jobs whose inputs hold long arrays."""

import pytest
from sqlalchemy import select

from diracx_tasks.core.database import reading
from diracx_tasks.core.packed import unpacked
from diracx_tasks.jobs.tables import Payload
from diracx_tasks.workflows.job_inputs import whole_inputs
from tests.builders import installation
from tests.unit.workflows.lives import begun, moved

__all__ = ["installation"]
pytestmark = pytest.mark.usefixtures("installation")
TEXT = """cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {xs: 'int[]', words: 'string[]'}
outputs: []
steps:
  one:
    run: {class: CommandLineTool, baseCommand: 'true', inputs: {x: string, all: 'int[]'}, outputs: []}
    scatter: x
    in: {x: words, all: xs}
    out: []
"""


def test_a_long_array_is_not_copied_into_each_payload() -> None:
    workflow_id = begun(TEXT, {"xs": list(range(3000)), "words": ["a", "b"]})
    moved(workflow_id)
    with reading() as db:
        payloads = {one.job_id: unpacked(one.payload) for one in db.scalars(select(Payload))}
        assert [payload["arrays"] for payload in payloads.values()] == [True, True]
        assert all(payload["inputs"]["all"]["length"] == 3000 for payload in payloads.values())
        wanted = [{"x": word, "all": list(range(3000))} for word in ("a", "b")]
        assert [whole_inputs(db, job_id) for job_id in payloads] == wanted
