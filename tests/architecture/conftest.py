"""The API for walking its routes."""

from tests.api.conftest import api, isolates
from tests.builders import db, installation, template

__all__ = ["api", "db", "installation", "isolates", "template"]
