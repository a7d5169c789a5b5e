"""Logical file names: which are allowed, and who may write where."""

import re
from dataclasses import dataclass

from diracx_tasks.auth.tokens import User
from diracx_tasks.core.config import config
from diracx_tasks.core.errors import BadRequest, Forbidden

SCHEME = "lfn:"
# What DIRAC's table of input data has room for.
LONGEST = 255
ALLOWED = "letters, digits and . _ - + = @ , ~"
PART = re.compile(r"[A-Za-z0-9._+=@,~-]+\Z")
# Whose groups may write anywhere below their VO.
MANAGER = "FileCatalogManagement"


@dataclass(frozen=True)
class Writer:
    """Somebody who stores files; a manager of the catalogue may do so anywhere in his VO."""

    name: str
    group: str
    vo: str
    is_manager: bool = False

    @classmethod
    def of(cls, user: User) -> "Writer":
        """The bearer of a token."""
        return cls(user.name, user.group, user.vo, MANAGER in user.properties)

    @classmethod
    def of_job(cls, owner: str, group: str, vo: str) -> "Writer":
        """The owner of a job, with what the configuration gives his group now."""
        registry = config().Registry
        found = registry[vo].Groups.get(group) if vo in registry else None
        return cls(owner, group, vo, found is not None and MANAGER in found.Properties)

    @property
    def home(self) -> str:
        """The folder in which he may write, with a slash at its end."""
        return f"/{self.vo}/user/{self.name[:1]}/{self.name}/"


def is_lfn(location: str) -> bool:
    """Whether a location of a CWL value is an LFN."""
    return location[: len(SCHEME)].lower() == SCHEME


def location_of(lfn: str) -> str:
    """The LFN as a location of a CWL value."""
    return f"{SCHEME}{lfn}"


def lfn_of(location: str) -> str:
    """The LFN of a location, or of itself; `/lhcb/x//y/` is `/lhcb/x/y`."""
    plain = location[len(SCHEME) :] if is_lfn(location) else location
    return re.sub("/+", "/", plain).rstrip("/")


def checked(name: str, vo: str) -> str:
    """The LFN of a name or location of a VO.

    Raises BadRequest for what is no LFN, and Forbidden for one of another VO.
    """
    lfn = lfn_of(name)
    if not lfn.startswith("/") or len(lfn) > LONGEST:
        raise BadRequest(
            f"{name[:300]!a} is no LFN: one begins with /{vo}/ and has {LONGEST} characters at most"
        )
    parts = lfn[1:].split("/")
    if wrong := next((part for part in parts if not PART.match(part) or part in (".", "..")), None):
        raise BadRequest(f"{name!a} is no LFN: {wrong!a} is no name; names are made of {ALLOWED}")
    if parts[0] != vo:
        raise Forbidden(f"{lfn} is not of the VO {vo}: its LFNs begin with /{vo}/")
    return lfn


def must_write(writer: Writer, lfn: str) -> None:
    """Raise Forbidden unless a checked LFN is where somebody may write or remove."""
    if not writer.is_manager and not lfn.startswith(writer.home):
        raise Forbidden(
            f"{writer.name} may not write {lfn}: his files are below {writer.home}; "
            f"elsewhere only groups with the property {MANAGER} write"
        )
