"""Locks that are held, and how much of each limit is used."""

from typing import Annotated

from fastapi import Form, Request, Response

from diracx_api.ui import render
from diracx_api.ui.operate.away import told
from diracx_api.ui.router import Me, Pages
from diracx_api.ui.words import plural
from diracx_tasks.auth import rights
from diracx_tasks.engine import operate, overview

router = Pages("/operate/locks")
EVERY = 10


@router.get("", right=rights.operate)
def list_locks(request: Request, me: Me) -> Response:
    """Who holds what now."""
    locks = told(overview.held_locks)
    limits = told(overview.limits) if not locks.trouble else locks
    return render.page(request, "operate/locks.html", every=EVERY, locks=locks, limits=limits)


@router.post("/release", right=rights.operate)
def release_lock(request: Request, me: Me, name: Annotated[str, Form(max_length=255)]) -> Response:
    """Take a lock from whoever holds it; the holder is told when it asks."""
    count = operate.release_lock(name)
    return render.onwards(request, "/ui/operate/locks", f"{name} was taken from {plural(count, 'holder')}.")
