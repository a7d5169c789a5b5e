"""How many logins may be under way: anybody may begin one, without a token."""

from sqlalchemy import func, literal, select
from sqlalchemy.orm import Session

from diracx_tasks.auth.tables import AuthorizationFlow, DeviceFlow, Flow
from diracx_tasks.core.database import utc_now
from diracx_tasks.core.errors import Unavailable
from diracx_tasks.core.remembered import remembered
from diracx_tasks.core.settings import settings

MOST = 100_000


def must_be_left(db: Session, table: type[DeviceFlow] | type[AuthorizationFlow]) -> None:
    """Unavailable when MOST logins of a kind wait for their users; a few more may slip in."""
    found = remembered(("logins", settings().database, table.__tablename__), lambda: _open(db, table))
    if found >= MOST:
        raise Unavailable(f"{found} logins are under way, which is as many as there may be: try again later")


def seconds_of(table: type[DeviceFlow] | type[AuthorizationFlow]) -> float:
    """How long a login of a kind may take."""
    is_device = table is DeviceFlow
    return settings().device_flow_seconds if is_device else settings().authorization_flow_seconds


def _open(db: Session, table: type[DeviceFlow] | type[AuthorizationFlow]) -> int:
    is_open = (table.status == Flow.PENDING, table.created_at > utc_now(-seconds_of(table)))
    some = select(literal(1).label("one")).select_from(table).where(*is_open).limit(MOST).subquery()
    return db.scalar(select(func.count()).select_from(some)) or 0
