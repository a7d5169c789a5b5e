"""An installation with a real Redis."""

from tests.builders import db, installation, template

__all__ = ["db", "installation", "template"]
