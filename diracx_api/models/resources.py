"""The status of resources as DiracX tells it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from diracx_api.models.fields import stated


class AllowedStatus(BaseModel):
    """It may be used."""

    allowed: Literal[True] = stated("It may be used.", True)
    warnings: str | None = stated("What is wrong with it all the same.", None, default=None)


class BannedStatus(BaseModel):
    """It must not be used."""

    allowed: Literal[False] = stated("It must not be used.", False)
    reason: str = stated("Why.", "maintenance until Friday", default="Unknown")


ResourceStatus = Annotated[AllowedStatus | BannedStatus, Field(discriminator="allowed")]
_ACTIVE = {"allowed": True, "warnings": None}


class StorageElementStatus(BaseModel):
    """What a storage element may be used for."""

    read: ResourceStatus = stated("Reading.", _ACTIVE)
    write: ResourceStatus = stated("Writing.", _ACTIVE)
    check: ResourceStatus = stated("Looking whether a file is there.", _ACTIVE)
    remove: ResourceStatus = stated("Removing.", _ACTIVE)


class ComputeElementStatus(BaseModel):
    """Whether a computing element may be used."""

    all: ResourceStatus = stated("For everything.", _ACTIVE)


class SiteStatus(BaseModel):
    """Whether a site may be used."""

    all: ResourceStatus = stated("For everything.", _ACTIVE)


class FTSStatus(BaseModel):
    """Whether an FTS server may be used."""

    all: ResourceStatus = stated("For everything.", _ACTIVE)
