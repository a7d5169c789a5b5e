"""DIRAC's Registry: the VOs with their identity providers, groups and users; names are the CS's own."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from diracx_tasks.core.faults import unknown
from diracx_tasks.core.sections import SORTED, Names, Section, names_in

# DIRAC's properties; an extension's `tasks` or `tables` module adds its own.
PROPERTIES = {
    "AccountingMonitor",
    "AlarmsManagement",
    "BookkeepingManagement",
    "CSAdministrator",
    "FileCatalogManagement",
    "FullDelegation",
    "GenericPilot",
    "JobAdministrator",
    "JobMonitor",
    "JobSharing",
    "LimitedDelegation",
    "NormalUser",
    "Operator",
    "PPGAuthority",
    "Pilot",
    "PrivateLimitedDelegation",
    "ProductionManagement",
    "ProxyManagement",
    "ServiceAdministrator",
    "SiteManager",
    "StageAllowed",
    "TrustedHost",
    "UserManager",
}


def _known(name: str) -> str:
    if name not in PROPERTIES:
        words = f"{name!r} is no property{unknown(name, sorted(PROPERTIES))}"
        raise PydanticCustomError("unknown_property", "{words}", {"words": words})
    return name


Property = Annotated[str, AfterValidator(_known)]
KnownProperties = Annotated[frozenset[Property], SORTED]


class Provider(Section):
    """The OpenID Connect provider of a VO; we are its public client."""

    URL: str = Field(pattern=r"^https?://[^\s?#]+$", max_length=1024)
    ClientID: str = Field(min_length=1, max_length=255)


class SupportContact(Section):
    """Whom the VO's users may ask."""

    Email: str | None = None
    Webpage: str | None = None
    Message: str = "Please contact system administrator"


class UserEntry(Section):
    """A user; the key in `Users` is his subject at the VO's provider. DIRAC's own spelling."""

    PreferedUsername: str = Field(min_length=1, max_length=64, pattern=r"^[^\s/:]+$")
    DNs: list[str] = Field([])
    Email: str | None = Field(None, pattern=r"^[^@\s]+@[^@\s]+$", max_length=320)
    Suspended: list[str] = Field([])
    Quota: int | None = None


class Group(Section):
    """A group: who is in it (subjects), and what its members may do."""

    Properties: KnownProperties
    Users: Names = frozenset()
    JobShare: int = Field(1000, ge=0)
    Quota: int | None = None
    AutoAddVOMS: bool = False
    AutoUploadPilotProxy: bool = False
    AutoUploadProxy: bool = False
    AutoSyncVOMS: bool = False
    AllowBackgroundTQs: bool = False
    VOMSRole: str | None = None


Place = tuple[str | int, ...]


class VirtualOrganization(Section):
    """A VO. Without an IdP nobody can log in but through the embedded login page."""

    IdP: Provider | None = None
    Support: SupportContact = SupportContact()
    DefaultGroup: str = ""
    DefaultStorageQuota: float = 0
    DefaultProxyLifeTime: int = 43200
    VOMSName: str | None = None
    Users: dict[str, UserEntry] = Field({})
    Groups: dict[str, Group] = Field({})

    @model_validator(mode="wrap")
    @classmethod
    def _consistent(
        cls, given: Any, build: ModelWrapValidatorHandler["VirtualOrganization"]
    ) -> "VirtualOrganization":
        """Complaints about names that are nowhere stand beside those about values, each at its place."""
        wrong = [] if not isinstance(given, dict) else list(_inconsistencies(given))
        try:
            if made := build(given):
                found: list[InitErrorDetails] = []
        except ValidationError as error:
            found = [_detail(one["type"], one["msg"], one["loc"], one["input"]) for one in error.errors()]
        if not found and not wrong:
            return made
        found += [_detail("inconsistent", words, place, given) for place, words in wrong]
        raise ValidationError.from_exception_data(cls.__name__, found)

    def subject_of(self, username: str) -> str | None:
        """The subject of a PreferedUsername; None when there is no such user."""
        found = (subject for subject, user in self.Users.items() if user.PreferedUsername == username)
        return next(found, None)

    def groups_of(self, subject: str) -> dict[str, Group]:
        """The groups that a subject is in."""
        return {name: group for name, group in self.Groups.items() if subject in group.Users}


Registry = dict[str, VirtualOrganization]


def described(vo: VirtualOrganization) -> dict[str, Any]:
    """What everybody may know of a VO: groups with their properties, support, default group."""
    groups = {name: {"properties": sorted(vo.Groups[name].Properties)} for name in sorted(vo.Groups)}
    support = {name.lower(): value for name, value in vo.Support.model_dump().items()}
    return {"groups": groups, "support": support, "default_group": vo.DefaultGroup}


def _detail(kind: str, words: str, place: Place, given: Any) -> InitErrorDetails:
    error = PydanticCustomError(kind, "{words}", {"words": words})
    return InitErrorDetails(type=error, loc=place, input=given)


def _inconsistencies(given: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """What names something that is nowhere, or is there twice."""
    users, groups = _mapping(given.get("Users")), _mapping(given.get("Groups"))
    default = given.get("DefaultGroup", "")
    if (default or groups) and default not in groups:
        words = "it is not stated" if default == "" else f"{default!r} is none of the groups"
        yield ("DefaultGroup",), f"{words}; there are {', '.join(map(str, groups)) or 'none'}"
    for name, group in groups.items():
        for position, subject in enumerate(names_in(_mapping(group).get("Users"))):
            if isinstance(subject, str) and subject not in users:
                yield ("Groups", name, "Users", position), f"{subject!r} is no subject in Users"
    names = {subject: _mapping(user).get("PreferedUsername") for subject, user in users.items()}
    often = Counter(alike(name) for name in names.values() if isinstance(name, str))
    for subject, name in names.items():
        if isinstance(name, str) and (count := often[alike(name)]) > 1:
            words = f"{name!r} is the name of {count} users"
            yield ("Users", subject, "PreferedUsername"), f"{words}; capitals and accents make no difference"


# MariaDB takes the eszett and the i without a dot for other letters than Python does.
LIKE_ASCII = {0xDF: "s", 0x1E9E: "s", 0x131: "i"}


def alike(name: str) -> str:
    """The name without capitals and accents: the database takes names for one that are alike so."""
    plain = unicodedata.normalize("NFKD", name).translate(LIKE_ASCII)
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).casefold().strip()


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
