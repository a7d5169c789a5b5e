"""The configuration is looked at whenever somebody asks for it."""

import pytest

from diracx_tasks.core import config


@pytest.fixture
def looking_at_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the pause between two looks."""
    monkeypatch.setattr(config, "CHECK_SECONDS", 0.0)
    monkeypatch.setattr(config, "FETCH_SECONDS", 0.0)
