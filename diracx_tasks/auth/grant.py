"""Tokens for somebody who has logged in, as the configuration stands now."""

import time
from dataclasses import dataclass

from diracx_tasks.auth import scopes
from diracx_tasks.auth.tokens import User, issue
from diracx_tasks.core.config import config
from diracx_tasks.core.errors import Forbidden
from diracx_tasks.core.registry import VirtualOrganization
from diracx_tasks.core.settings import settings

# DIRAC's `Suspended` names VOs; this one means all of them.
EVERYWHERE = "All"
LONGEST_SUBJECT = 256


@dataclass(frozen=True)
class Tokens:
    """An access token, how many seconds it lives, and the refresh token for the next one."""

    access: str
    seconds: int
    refresh: str


def user_of(scope: str, subject: str) -> User:
    """Who a subject is with what a scope asks for; Forbidden says why he may not."""
    wanted = scopes.parse(scope)
    registry = config().Registry[wanted.vo]
    entry = registry.Users.get(subject)
    if entry is None or len(f"{wanted.vo}:{subject}") > LONGEST_SUBJECT:
        contact = registry.Support.Email or registry.Support.Webpage or registry.Support.Message
        raise Forbidden(f"{subject} is not registered in {wanted.vo}: {contact}")
    name = entry.PreferedUsername
    if {wanted.vo, EVERYWHERE}.intersection(entry.Suspended):
        raise Forbidden(f"{name} is suspended in {wanted.vo}")
    if wanted.group not in registry.groups_of(subject):
        raise Forbidden(f"User is not a member of the requested group ({name}, {wanted.group})")
    properties = wanted.properties | registry.Groups[wanted.group].Properties
    _must_be_allowed(registry, subject, name, properties)
    return User(name, wanted.group, wanted.vo, subject, properties)


def access(user: User, refresh: str) -> Tokens:
    """A new access token beside a refresh token."""
    seconds = int(settings().token_minutes * 60)
    return Tokens(issue(user, seconds=seconds), seconds, refresh)


def end_of_login() -> int:
    """When the refresh tokens of a login that begins now expire."""
    return int(time.time() + settings().refresh_minutes * 60)


def _must_be_allowed(
    registry: VirtualOrganization, subject: str, name: str, properties: frozenset[str]
) -> None:
    allowed = frozenset[str]().union(*(one.Properties for one in registry.groups_of(subject).values()))
    if beyond := sorted(properties - allowed):
        available = " ".join(sorted(allowed))
        raise Forbidden(
            f"{' '.join(beyond)} are not valid properties for user {name}, available values: {available}"
        )
