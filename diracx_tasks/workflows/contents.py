"""What the isolate may ask for while it evaluates: small stored files, and arrays of the workflow."""

from collections.abc import Callable
from typing import Any

from diracx_tasks.core.database import reading
from diracx_tasks.core.errors import BadRequest, TooLarge
from diracx_tasks.cwl.access import EXISTS
from diracx_tasks.cwl.arrays import CLASS, reference_of
from diracx_tasks.sandboxes import metadata
from diracx_tasks.storage import read as storage
from diracx_tasks.storage.names import is_lfn
from diracx_tasks.workflows import collections
from diracx_tasks.workflows.tables import Workflow


def contents_for(workflow: Workflow) -> Callable[[str], Any]:
    """Gives the text of a file of the workflow's owner, or the elements of an array of the workflow."""
    files = files_of(metadata.Owner(workflow.owner, workflow.group, workflow.vo))

    def contents(wanted: str) -> Any:
        if wanted.startswith(f"{CLASS}:"):
            return _elements(workflow.workflow_id, wanted)
        return files(wanted)

    return contents


def files_of(owner: metadata.Owner) -> Callable[[str], str]:
    """Gives the text of a small stored file; of `exists:<LFN>` a word when it is there, and else none."""

    def contents(wanted: str) -> str:
        if wanted.startswith(EXISTS):
            with reading() as db:
                return "yes" if storage.existing(db, owner.vo, [wanted.removeprefix(EXISTS)]) else ""
        return storage.contents(wanted, owner.vo) if is_lfn(wanted) else metadata.contents(wanted, owner)

    return contents


def _elements(workflow_id: int, wanted: str) -> Any:
    with reading() as db:
        try:
            return collections.whole(db, workflow_id, reference_of(wanted))
        except TooLarge as error:
            raise BadRequest(f"{error}: scatter over them, or give them to a tool") from error
