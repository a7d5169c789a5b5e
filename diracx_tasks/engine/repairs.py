"""How often something was found that should never be, by invariant: in the database, shown as a metric."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from diracx_tasks.core.database import plain
from diracx_tasks.engine.tables import Repair


def note(db: Session, found: Mapping[str, int], *, until: datetime | None = None) -> None:
    """Count what was found in this transaction; 0 makes an invariant known that has never been broken.

    What happened before `until` need not be looked at again.
    """
    rows = [{"Invariant": name, "Total": found[name], "LookedUntil": until} for name in sorted(found)]
    if not rows:
        return
    table = plain(Repair)
    if db.get_bind().dialect.name == "sqlite":
        made = sqlite.insert(table)
        values = {
            "Total": table.c.Total + made.excluded.Total,
            "LookedUntil": func.coalesce(made.excluded.LookedUntil, table.c.LookedUntil),
        }
        db.execute(made.on_conflict_do_update(index_elements=["Invariant"], set_=values), rows)
    else:
        stated = mysql.insert(table)
        new = {
            "Total": table.c.Total + stated.inserted.Total,
            "LookedUntil": func.coalesce(stated.inserted.LookedUntil, table.c.LookedUntil),
        }
        db.execute(stated.on_duplicate_key_update(new), rows)


def totals(db: Session) -> dict[str, int]:
    """How often each invariant was found broken, since the installation was made."""
    return dict(db.execute(select(Repair.invariant, Repair.total)).all())


def looked_until(db: Session, invariant: str) -> datetime | None:
    """The moment before which nothing need be looked at again; None: it never was."""
    return db.scalar(select(Repair.looked_until).where(Repair.invariant == invariant))
