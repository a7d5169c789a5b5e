"""What was said of sites and resources long ago is forgotten, as DIRAC's SummarizeLogsAgent does."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import changed, utc_now
from diracx_tasks.resources.tables import ResourceHistory, ResourceLog, SiteHistory, SiteLog

# 36 months of 30 days, as DIRAC's agent has them.
KEPT_DAYS = 1080
PAGE = 900
Spoken = type[SiteLog] | type[SiteHistory] | type[ResourceLog] | type[ResourceHistory]
SPOKEN: tuple[Spoken, ...] = (SiteLog, SiteHistory, ResourceLog, ResourceHistory)


def forget(db: Session, table: Spoken) -> int:
    """Forget a page of what is older than KEPT_DAYS; answers how many rows, 0 when the oldest are younger.

    Rows are numbered as time goes by: only the first ones are looked at.
    """
    first = select(table.row_id, table.effective_at < utc_now(-KEPT_DAYS * 86400))
    rows = db.execute(first.order_by(table.row_id).limit(PAGE)).all()
    old = [row_id for row_id, is_old in rows if is_old]
    return changed(db, delete(table).where(table.row_id.in_(old))) if old else 0
