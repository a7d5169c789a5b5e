"""Two transactions on MariaDB at once, of which one waits for the other's lock."""

from concurrent.futures import Future
from typing import Any

from sqlalchemy import text

from diracx_tasks.core.database import reading
from tests.system import wait_for

QUERY = text("SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'")


def wait_until_it_waits(call: Future[Any]) -> None:
    """Return once the call waits for a lock, or has ended without one."""
    wait_for(lambda: call.done() or _is_waited(), 30, lambda: "nobody waits for a lock, and nothing ends")


def _is_waited() -> bool:
    with reading() as db:
        return bool(db.scalar(QUERY))
