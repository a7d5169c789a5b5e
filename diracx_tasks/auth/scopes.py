"""What a login asks for: `vo:X`, at most one `group:Y`, and properties beside the group's."""

from dataclasses import dataclass

from diracx_tasks.core.config import config
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.core.registry import PROPERTIES

KINDS = ("vo", "group", "property")


@dataclass(frozen=True)
class Scope:
    """A VO, one of its groups, and properties that the group need not have."""

    vo: str
    group: str
    properties: frozenset[str]


def parse(text: str) -> Scope:
    """What a scope asks for, the VO's default group if it names none; BadRequest in DiracX's words."""
    asked: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for one in dict.fromkeys(text.split()):
        kind, colon, value = one.partition(":")
        if not colon or kind not in asked or not value:
            unknown = [one for one in text.split() if not one.startswith(tuple(f"{kind}:" for kind in KINDS))]
            raise BadRequest(f"Unrecognised scopes: {unknown or [one]}")
        asked[kind].append(value)
    vo = _vo(asked["vo"])
    group = _group(vo, asked["group"])
    properties = frozenset(asked["property"])
    if unknown_properties := sorted(properties - PROPERTIES):
        raise BadRequest(f"{{{', '.join(map(repr, unknown_properties))}}} are not valid properties")
    return Scope(vo, group, properties)


def supported() -> list[str]:
    """Every scope that somebody may ask for here."""
    registry = config().Registry
    groups = {name for vo in registry.values() for name in vo.Groups}
    named = (("vo", set(registry)), ("group", groups), ("property", PROPERTIES))
    return [f"{kind}:{name}" for kind, names in named for name in sorted(names)]


def _vo(asked: list[str]) -> str:
    known = config().Registry
    if not asked:
        available = " ".join(repr(f"vo:{name}") for name in sorted(known))
        raise BadRequest(f"No vo scope requested, available values: {available}")
    if len(asked) > 1:
        raise BadRequest(f"Only one vo is allowed but got {asked}")
    if asked[0] not in known:
        raise BadRequest(f"VO {asked[0]} is not known to this installation")
    return asked[0]


def _group(vo: str, asked: list[str]) -> str:
    registry = config().Registry[vo]
    if len(asked) > 1:
        raise BadRequest(f"Only one DIRAC group allowed but got {asked}")
    group = asked[0] if asked else registry.DefaultGroup
    if group not in registry.Groups:
        raise BadRequest(f"{group} not in {vo} groups")
    return group
