"""What the jobs of a VO have used, and in which states they were, as plots on a page of Flower."""

import base64
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from diracx_flower import Page
from sqlalchemy.orm import Session
from tornado import web

from diracx_tasks.accounting import pictures
from diracx_tasks.accounting.report import DIMENSIONS, Question
from diracx_tasks.auth.rights import ADMIN
from diracx_tasks.auth.tokens import User
from diracx_tasks.core.config import vos
from diracx_tasks.core.database import database_time
from diracx_tasks.core.errors import BadRequest

PERIODS = {"day": 1, "week": 7, "month": 31}


@dataclass(frozen=True)
class Picture:
    """A plot as an address for `img`, where nothing in it is carried out; or why there is none."""

    title: str
    address: str = ""
    words: str = ""


class Usage(Page):
    """Use over time by site, owner, ..., and jobs by state; whoever sees Flower sees all jobs of all VOs."""

    @web.authenticated
    async def get(self) -> None:
        """Two plots of one VO."""
        known = sorted(vos())
        chosen = {
            "vo": self._one_of("vo", known),
            "by": self._one_of("by", DIMENSIONS),
            "measure": self._one_of("measure", list(pictures.MEASURES)),
            "period": self._one_of("period", list(PERIODS), "week"),
        }
        choices = {"vo": known, "by": DIMENSIONS, "measure": list(pictures.MEASURES), "period": list(PERIODS)}

        def read(db: Session) -> list[Picture]:
            return _pictures(db, **chosen)

        await self.show("diracx-usage.html", read, chosen=chosen, choices=choices)

    def _one_of(self, name: str, known: Any, usual: str = "") -> str:
        stated = str(self.get_argument(name, usual))
        return stated if stated in known else str(known[0])


def _pictures(db: Session, vo: str, by: str, measure: str, period: str) -> list[Picture]:
    since = database_time(db) - timedelta(days=PERIODS[period])
    everybody = User("flower", "", vo, "", frozenset({ADMIN}))
    used, states = Question((by,), since), Question(("status",), since)
    return [
        _picture(
            f"What jobs of {vo} used, by {by}", lambda: pictures.of_usage(db, used, measure, by=everybody)
        ),
        _picture(f"Jobs of {vo} by status", lambda: pictures.of_states(db, states, by=everybody)),
    ]


def _picture(title: str, draw: Any) -> Picture:
    try:
        drawn = base64.b64encode(draw().encode()).decode()
    except BadRequest as error:
        return Picture(title, words=str(error))
    return Picture(title, f"data:image/svg+xml;base64,{drawn}")
