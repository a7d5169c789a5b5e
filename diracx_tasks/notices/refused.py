"""A message that is not taken, whoever sends it again."""

from diracx_tasks.core.errors import DiracXError


class Refused(DiracXError):
    """Whoever was to get a message does not take it: no other try can cure that; the words say why."""
