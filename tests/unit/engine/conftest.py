"""An installation with a real Redis, and a task whose body a test chooses."""

from tests.builders import db, installation, template
from tests.unit.engine.scheduled import configure, tasks
from tests.unit.engine.work import work

__all__ = ["configure", "db", "installation", "tasks", "template", "work"]
