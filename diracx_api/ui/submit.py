"""Submitting a workflow: documents and inputs are dropped, checked at their lines, looked at, and run."""

import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from anyio import to_thread
from fastapi import Request, Response
from sqlalchemy.orm import Session

from diracx_api.deps import LARGE, Db, ReadDb
from diracx_api.models.fields import WorkflowId
from diracx_api.ui import drawing, render
from diracx_api.ui.draft import READ, Draft, SentDraft, draft_of
from diracx_api.ui.router import FORM_KEY, Me, Pages
from diracx_tasks.auth import rights
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.database import session
from diracx_tasks.core.errors import DiracXError, InvalidCwl, Unavailable
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.given import INPUTS, with_places
from diracx_tasks.sandboxes import metadata
from diracx_tasks.workflows import precheck, search, submit

router = Pages("/submit")
# Of a source line, on both sides of what is wrong.
AROUND = 100


@router.get("", right=rights.submit)
def show_submit(request: Request, me: Me) -> Response:
    """An empty form."""
    return _shown(request, Draft())


@router.get("/again/{workflow_id}", right=rights.submit)
def submit_again(db: ReadDb, request: Request, me: Me, workflow_id: WorkflowId) -> Response:
    """The form with the documents of a workflow that was submitted before."""
    draft = Draft.again(_bundle_of(db, workflow_id, me), workflow_id)
    draft.choices.name = search.find(db, workflow_id, by=me).name
    return _shown(request, draft)


@router.post("", right=rights.submit, max_body_size=LARGE)
def send(db: Db, request: Request, me: Me, draft: SentDraft) -> Response:
    """Check, fill in a template, or run; what is wrong is shown in the form."""
    try:
        _store(draft, me)
        if draft.choices.again is not None:
            draft.carry(_bundle_of(db, draft.choices.again, me))
        if draft.choices.action == "template":
            draft.inputs = precheck.template(draft.bundle)
            return _shown(request, draft)
        wanted = _wanted(draft)
        checked = submit.check(wanted.bundle, wanted.inputs, by=me)
        if draft.choices.action == "run":
            submit.earlier(db, wanted, by=me)
    except InvalidCwl as error:
        return _shown(request, draft, wrong=_placed(error, draft))
    except Unavailable:
        raise
    except DiracXError as error:
        return _shown(request, draft, wrong=[_plain(error)])
    if draft.choices.action != "run":
        return _shown(request, draft, checked=checked)
    found = submit.submit(db, wanted, checked, by=me)
    return render.onwards(
        request, f"/ui/workflows/{found.workflow_id}", f"Workflow {found.workflow_id} is submitted."
    )


@router.again
async def show_again(request: Request, away: str) -> Response | None:
    """What was sent when nothing could be done: to be looked at and sent anew. None of nothing."""
    form = await request.form(max_part_size=LARGE)
    # What was brought can be read once.
    draft = getattr(request.state, "draft", None) or await draft_of(request)
    if not draft.documents and not draft.inputs.strip():
        return None
    lost = [name for name in draft.brought if name not in draft.files]
    draft.remarks += [f"{name} was not stored: bring it once more" for name in lost]
    more: dict[str, Any] = {"form_key": str(form.get(FORM_KEY, "")), "status": 503} if away else {}
    return await to_thread.run_sync(partial(_shown, request, draft, is_again=True, away=away, **more))


def _bundle_of(db: Session, workflow_id: int, me: User) -> Bundle:
    """The files of a workflow of the user's VO; NotFound of another's."""
    workflow = search.find(db, workflow_id, by=me)
    return Bundle.from_json(search.bundle_of(db, workflow.bundle, me.vo))


def _store(draft: Draft, me: User) -> None:
    """Store the input files that were brought: nobody is to wait while documents are checked."""
    owner = metadata.Owner.of(me)
    for name, content in draft.brought.items():
        with session() as db:
            draft.files[name] = metadata.keep(db, owner, content)
        draft.remarks.append(f"{name} is stored: inputs whose path ends with this name get it")


def _wanted(draft: Draft) -> submit.Request:
    chosen = draft.choices
    return submit.Request(draft.bundle, draft.given, chosen.name[:128], chosen.key or None, draft.options)


def _shown(
    request: Request,
    draft: Draft,
    *,
    checked: Mapping[str, Any] | None = None,
    wrong: Sequence[Mapping[str, Any]] = (),
    is_again: bool = False,
    away: str = "",
    **more: Any,
) -> Response:
    # Of this page as it is now: pressed twice it runs once, and what is changed is something else.
    draft.choices.key = secrets.token_hex(16)
    told = [*wrong, *(_with_source(one, draft) for one in (checked or {}).get("warnings", ()))]
    return render.page(
        request,
        "submit.html",
        draft=draft,
        chosen=draft.choices,
        told=told,
        is_again=is_again,
        away=away,
        errors=sum(one.get("severity", "error") == "error" for one in told),
        is_checked=checked is not None,
        graph=drawing.graph(checked["graph"]) if checked else None,
        estimate=checked.get("estimate") if checked else None,
        **more,
    )


def _placed(error: InvalidCwl, draft: Draft) -> list[dict[str, Any]]:
    """The complaints, those about inputs with their lines, each with its source."""
    text = draft.inputs if len(draft.inputs) <= READ else ""
    found = with_places([dict(one) for one in error.diagnostics], text)
    return [_with_source(one, draft) for one in found] or [_plain(error)]


def _plain(error: DiracXError) -> dict[str, Any]:
    place = dict.fromkeys(("file", "line", "column"))
    return {"severity": "error", "message": str(error), "advice": "", **place, "source": "", "caret": ""}


def _with_source(one: Mapping[str, Any], draft: Draft) -> dict[str, Any]:
    """A complaint with the line that it is about, and a caret below it."""
    name, line, column = one.get("file"), one.get("line"), one.get("column") or 0
    text = draft.inputs if name == INPUTS else draft.documents.get(name or "", "")
    lines = text.split("\n")
    if not line or line > len(lines):
        return {**one, "source": "", "caret": ""}
    start = max(0, column - AROUND // 2)
    source = lines[line - 1].expandtabs(1)[start : start + AROUND]
    return {**one, "source": source, "caret": " " * (column - 1 - start) + "^" if column else ""}
