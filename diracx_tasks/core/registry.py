"""DIRAC's Registry: the VOs with their identity providers, groups and users; names are the CS's own."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, model_validator

# Sets have no order of their own: what is sent out must not change from process to process.
Names = Annotated[frozenset[str], PlainSerializer(sorted, return_type=list[str])]


class Section(BaseModel):
    """A section of the configuration: only what it knows is allowed in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    Email: str | None = None
    Suspended: list[str] = Field([])
    Quota: int | None = None


class Group(Section):
    """A group: who is in it (subjects), and what its members may do."""

    Properties: Names
    Users: Names = frozenset()
    JobShare: int = Field(1000, ge=0)
    Quota: int | None = None
    AutoAddVOMS: bool = False
    AutoUploadPilotProxy: bool = False
    AutoUploadProxy: bool = False
    AutoSyncVOMS: bool = False
    AllowBackgroundTQs: bool = False
    VOMSRole: str | None = None


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

    @model_validator(mode="after")
    def _consistent(self) -> "VirtualOrganization":
        if self.Groups and self.DefaultGroup not in self.Groups:
            raise ValueError(f"DefaultGroup {self.DefaultGroup!r} is none of its groups")
        for name, group in self.Groups.items():
            if unknown := sorted(group.Users - self.Users.keys()):
                raise ValueError(f"Groups.{name}.Users: {', '.join(unknown)}: no such subject in Users")
        names = [user.PreferedUsername for user in self.Users.values()]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"Users: {', '.join(twice)}: a PreferedUsername of several subjects")
        return self

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
