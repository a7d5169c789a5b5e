"""DiracX on Celery: everything that is not HTTP. `celery -A diracx_tasks` finds the application here."""

from typing import Any


def __getattr__(name: str) -> Any:
    # Late, so that the pilot and `diracx --help` do not pay for Celery's import.
    if name == "celery":
        from diracx_tasks.app import app

        return app
    raise AttributeError(name)
