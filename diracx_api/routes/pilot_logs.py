"""What pilots have written: their own logs, and what their batch systems have of them."""

from typing import Any

from fastapi import Response

from diracx_api.deps import Db, Me, ReadDb, Router
from diracx_api.models import pilot_control as models
from diracx_tasks.auth import rights
from diracx_tasks.pilots import logs

router = Router("pilots", "/api/pilots")
# JSON may write six bytes for one.
BODY = 8 << 20


@router.post("/log", right=rights.pilot, status_code=204, max_body_size=BODY)
def upload_log(db: ReadDb, me: Me, body: models.PilotLog) -> None:
    """Keep the end of a pilot's log until the pilot is forgotten; a pilot only sends its own."""
    logs.keep(db, body.stamp, body.text, by=me)


@router.get("/{stamp}/log", right=rights.operate, response_class=Response)
def get_log(db: ReadDb, me: Me, stamp: models.OfPilot) -> Response:
    """The log that a pilot has sent last, as text; 404 when it has sent none."""
    return Response(logs.uploaded(db, me.vo, stamp), media_type="text/plain; charset=utf-8")


@router.post("/{stamp}/output", right=rights.operate, status_code=202)
def ask_for_output(db: Db, me: Me, stamp: models.OfPilot) -> None:
    """Have a pilot's computing element asked for its output; it can be read a moment later."""
    logs.ask_output(db, me.vo, stamp)


@router.get("/{stamp}/output", right=rights.operate, response_model=models.PilotOutput)
def get_output(db: ReadDb, me: Me, stamp: models.OfPilot) -> Any:
    """What a pilot's computing element has given when it was asked last; 404 until it has answered."""
    return logs.output(db, me.vo, stamp)
