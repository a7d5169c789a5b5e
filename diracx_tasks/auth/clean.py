"""Removing logins that nobody can finish any more, and refresh tokens that have expired."""

from datetime import UTC, timedelta
from uuid import UUID

from sqlalchemy import and_, delete, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from diracx_tasks.auth.legacy import MOST_MINUTES
from diracx_tasks.auth.room import seconds_of
from diracx_tasks.auth.tables import AuthorizationFlow, DeviceFlow, Flow, RefreshToken
from diracx_tasks.core.database import changed, database_time, utc_now
from diracx_tasks.core.settings import settings

AT_ONCE = 1000
# So long a code that was used is still answered with that it was used.
KEPT_SECONDS = 3600


def clean_flows(db: Session) -> int:
    """Remove up to AT_ONCE logins of each kind: unused ones that expired, others an hour later; how many."""
    devices = _remove(db, DeviceFlow, DeviceFlow.user_code)
    pages = _remove(db, AuthorizationFlow, AuthorizationFlow.uuid)
    return devices + pages


def clean_tokens(db: Session) -> int:
    """Remove up to AT_ONCE refresh tokens that cannot hold any more; answers how many."""
    minutes = max(settings().refresh_minutes, MOST_MINUTES)
    oldest = database_time(db).replace(tzinfo=UTC) - timedelta(minutes=minutes, days=1)
    first = str(UUID(int=int(oldest.timestamp() * 1000) << 80))
    expired = select(RefreshToken.jti).where(RefreshToken.jti < first).order_by(RefreshToken.jti)
    keys = list(db.scalars(expired.limit(AT_ONCE)))
    return changed(db, delete(RefreshToken).where(RefreshToken.jti.in_(keys))) if keys else 0


def _remove(
    db: Session,
    table: type[DeviceFlow] | type[AuthorizationFlow],
    key: InstrumentedAttribute[str],
) -> int:
    seconds = seconds_of(table)
    is_old = or_(
        and_(table.status == Flow.PENDING, table.created_at < utc_now(-seconds)),
        table.created_at < utc_now(-seconds - KEPT_SECONDS),
    )
    keys = list(db.scalars(select(key).where(is_old).order_by(key).limit(AT_ONCE)))
    return changed(db, delete(table).where(key.in_(keys))) if keys else 0
