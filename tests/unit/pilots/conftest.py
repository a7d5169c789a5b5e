"""An installation with a real Redis, and a grid of spooled batch systems."""

from tests.builders import db, installation, template
from tests.unit.pilots.spool import grid

__all__ = ["db", "grid", "installation", "template"]
