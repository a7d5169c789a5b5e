"""What the section of a computing element may say to our kinds; names are DIRAC's where DIRAC has them."""

import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError

from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.sections import Section


def _words(given: Any) -> Any:
    return shlex.split(given) if isinstance(given, str) else given


def _lines(given: Any) -> Any:
    return given if isinstance(given, list) else str(given).replace("\\n", "\n").splitlines()


def _lower(given: Any) -> Any:
    return given.lower() if isinstance(given, str) else given


Words = Annotated[list[str], BeforeValidator(_words)]
Lines = Annotated[list[str], BeforeValidator(_lines)]
Count = Annotated[int, Field(ge=0)]


class Options(Section):
    """The section of an element, or of an element and one of its queues; the rest of it is others' affair."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    SharedArea: str = Field("diracx-pilots", min_length=1)
    Preamble: str = ""
    Timeout: Annotated[float, Field(gt=0, le=3600)] = 120
    KillWait: Annotated[int, Field(ge=0, le=600)] = 20
    Account: str = ""
    SubmitOptions: Words = Field([])
    ExtraSubmitString: Lines = Field([])
    NumberOfProcessors: Count = 0
    NumberOfGPUs: Count = 0
    MaxRAM: Count = 0
    maxWallClockTime: Count = 0

    @classmethod
    def of(cls, name: str, options: Mapping[str, Any], queue: str = "") -> Self:
        """Read a section; what a queue says counts before the element. SettingsError names what is wrong."""
        queues = options.get("Queues") or {}
        if queue and queues and queue not in queues:
            raise SettingsError(f"the computing element {name} has no queue {queue}: {', '.join(queues)}")
        try:
            return cls.model_validate({**options, **(queues.get(queue) or {})})
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise SettingsError(f"the computing element {name}, option {key}: {first['msg']}") from None


class SshOptions(Options):
    """How a host is reached, and what runs pilots there."""

    SSHHost: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:_-]*$")
    SSHUser: str = Field("", pattern=r"^([A-Za-z0-9_][A-Za-z0-9._-]*)?$")
    SSHPort: Annotated[int, Field(ge=1, le=65535)] = 22
    SSHKey: str = ""
    SSHOptions: Words = Field([])
    BatchSystem: Annotated[
        Literal["host", "local", "slurm", "htcondor", "condor"], BeforeValidator(_lower)
    ] = "host"
