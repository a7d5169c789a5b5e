"""The jobs of a workflow's steps go where their input data is, as jobs of their own do."""

import pytest
from sqlalchemy import select

from diracx_tasks.core.database import reading, session
from diracx_tasks.jobs.tables import InputFile, Payload
from diracx_tasks.storage.catalogue import catalogue
from diracx_tasks.storage.entries import Content, Entry, Replica
from diracx_tasks.workflows.submit import Options
from tests.api.stores import installation, migrated
from tests.builders import VO, template
from tests.unit.workflows.lives import Temporary, Values, begun, done, moved
from tests.unit.workflows.test_failures import due

__all__ = ["installation", "migrated", "template"]
pytestmark = pytest.mark.usefixtures("installation")
TOOL = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: cat
inputs: {data: File, other: File}
outputs: {log: stdout}
hints: {dirac:Job: {input_data: [{source: data}]}}
$namespaces: {dirac: "https://diracgrid.org/cwl#"}
"""
WORKFLOW = """cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {files: "File[]", other: File}
outputs: []
steps:
  read: {run: tool.cwl, scatter: data, in: {data: files, other: other}, out: [log]}
"""
FILES = ("/lhcb/user/a/alice/1", "/lhcb/user/a/alice/2")
OTHER = "/lhcb/user/a/alice/other"
INPUTS = {
    "files": [{"class": "File", "location": f"lfn:{lfn}"} for lfn in FILES],
    "other": {"class": "File", "location": f"lfn:{OTHER}"},
}


def input_data(workflow_id: int) -> list[str]:
    """The LFNs of a workflow's jobs, in the order of their numbers."""
    mine = select(InputFile.lfn).join(Payload, Payload.job_id == InputFile.job_id)
    with reading() as db:
        query = mine.where(Payload.owner_id == workflow_id).order_by(InputFile.job_id)
        return list(db.scalars(query))


def unlucky(path: str, inputs: Values) -> Values:
    raise Temporary("the disk was full")


def test_steps_have_the_input_data_that_their_hint_names_also_when_they_are_tried_again() -> None:
    with session() as db:
        entries = [
            Entry(lfn, Content(3, adler32="0badc0de"), "", "alice", "user", (Replica("SE-USER", lfn),))
            for lfn in (*FILES, OTHER)
        ]
        catalogue(db, VO).register(entries)
    workflow_id = begun(WORKFLOW, INPUTS, Options(retries=1), tool__cwl=TOOL)
    moved(workflow_id)
    assert input_data(workflow_id) == list(FILES)
    done(workflow_id, unlucky)
    moved(workflow_id)
    due(workflow_id)
    moved(workflow_id)
    assert input_data(workflow_id) == [*FILES, *FILES]
