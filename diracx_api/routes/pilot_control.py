"""Single pilots: all that is known of one, and the end of some."""

from typing import Any

from diracx_api.deps import Db, Me, ReadDb, Router
from diracx_api.models import pilot_control as models
from diracx_tasks.auth import rights
from diracx_tasks.pilots import history
from diracx_tasks.pilots import kill as killing

router = Router("pilots", "/api/pilots")


@router.post("/kill", right=rights.operate, response_model=list[models.KilledPilot])
def kill_pilots(db: Db, me: Me, body: models.PilotsToKill) -> Any:
    """End pilots of your VO, all or none: what they hold goes to others at once.

    Their computing elements are told in the background, again and again until they have heard it.
    """
    return killing.kill(db, body.stamps, by=me)


@router.get("/{stamp}/history", right=rights.not_a_pilot, response_model=models.PilotHistory)
def get_history(db: ReadDb, me: Me, stamp: models.OfPilot) -> Any:
    """One pilot of your VO: how it came to its queue, its jobs, its end."""
    return history.history(db, stamp, by=me)
