"""A database that does not answer: what one has waited for in vain, others need not wait for as well."""

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

# MySQL's errors of clients that cannot connect; those of connections that were lost SQLAlchemy knows.
CANNOT_CONNECT = (2002, 2003, 2005)


def is_away(error: BaseException) -> bool:
    """Whether the database was not reached, was lost, or kept its answer for too long."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    words = error.orig.args if error.orig else ()
    return error.connection_invalidated or (bool(words) and words[0] in CANNOT_CONNECT)
