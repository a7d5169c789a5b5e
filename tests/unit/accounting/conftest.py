"""Installations on SQLite and on a real MariaDB."""

from tests.api.stores import installation, migrated
from tests.builders import db, template

__all__ = ["db", "installation", "migrated", "template"]
