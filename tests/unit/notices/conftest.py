"""An installation on SQLite or MariaDB that sends mail to a real server, and may call webhooks here."""

import os
from collections.abc import Iterator

import pytest

from diracx_tasks.core.settings import settings
from tests.api.conftest import api, isolates
from tests.builders import Installation, db, template
from tests.unit.notices.receivers import Hook, Post, hooking, posting

__all__ = ["api", "db", "isolates", "template"]


def state(**stated: str) -> None:
    """State settings of the installation; its fixture forgets them."""
    os.environ.update({f"DIRACX_{name.upper()}": value for name, value in stated.items()})
    settings.cache_clear()


@pytest.fixture(scope="session")
def mail_server() -> Iterator[Post]:
    """One mail server for all tests."""
    with posting() as found:
        yield found


@pytest.fixture
def post(mail_server: Post, installation: Installation) -> Post:
    """The mail server, empty, which the installation sends to."""
    mail_server.mails.clear()
    mail_server.raw.clear()
    mail_server.to_recipients = mail_server.to_data = ""
    state(mail_url=mail_server.url, mail_from="diracx@example.org", url="https://diracx.example.org")
    return mail_server


@pytest.fixture
def hook(installation: Installation) -> Iterator[Hook]:
    """A webhook in the installation's own network, which its operator has named."""
    with hooking() as found:
        state(webhook_hosts=f'["127.0.0.1:{found.port}"]')
        yield found
