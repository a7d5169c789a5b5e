"""What a pilot says of the slot that it asks for: in our words, or as DIRAC's pilots describe it."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, StringConstraints, model_validator
from pydantic import Tag as Kind

from diracx_api.models.fields import stated
from diracx_tasks.core.settings import settings
from diracx_tasks.cwl.record import CAPABILITY, GLIBC, version
from diracx_tasks.matching.dirac import node_of_description
from diracx_tasks.matching.node import Node, node_of

Name = Annotated[str, StringConstraints(max_length=255)]
Names = list[Name] | None
LARGEST_COUNT = 2**31 - 1
LARGEST_AMOUNT = 2**53 - 1
MAX_NAMES = 1000
LONGEST_INTERVAL = 86400
# Of all names of one slot together, in bytes.
MAX_LENGTH = 16 * 1024
GLIBC_VERSION = r"^[0-9]{1,6}(\.[0-9]{1,3})?$"
CAPABILITY_VERSION = r"^[0-9]{1,6}(\.[0-9]{1,2})?$"


def amount(description: str, example: Any, most: int = LARGEST_AMOUNT) -> Any:
    """A whole number that need not be said."""
    return stated(description, example, default=None, ge=0, le=most)


def names(description: str, example: Any, default: Any = None) -> Any:
    """A list of names that need not be said."""
    return stated(description, example, default=default, max_length=MAX_NAMES)


def check_length(*lists: Iterable[str] | None) -> None:
    """Raise ValueError if the names together are longer than a description of one slot may be."""
    length = sum(len(name.encode()) for one in lists for name in one or ())
    if length > MAX_LENGTH:
        raise ValueError(f"tags, types and groups have {length} bytes, {MAX_LENGTH} are the most")


class Slot(BaseModel):
    """A pilot asks for work for a slot; what it does not say of it is not known, times are not limited."""

    stamp: str = stated("The pilot's stamp.", "0f3c9a…", max_length=64)
    site: str = stated("The site it runs at.", "LCG.CERN.ch", min_length=1, max_length=100)
    ce: str = stated("The computing element.", "ce01.cern.ch", default="", max_length=128)
    name: str = stated("The host.", "wn17.cern.ch", default="", max_length=128)
    queue: str = stated("The computing element's queue.", "long", default="", max_length=128)
    cores: int = stated("Free cores.", 1, ge=1, le=LARGEST_COUNT)
    ram_mb: int = stated("Free memory in MB.", 4096, ge=1, le=LARGEST_COUNT)
    platform: str | None = stated("The platform.", "x86_64-el9", default=None, max_length=128)
    system: str | None = stated("The operating system.", "Linux", default=None, max_length=128)
    glibc: str | None = stated("The C library's version.", "2.34", default=None, pattern=GLIBC_VERSION)
    user_namespaces: bool = stated("Whether containers can be made without privileges.", True, default=False)
    wall_time: int | None = amount("Seconds left.", 86400)
    cpu_time: int | None = amount("Seconds of CPU left.", 86400)
    cpu_work: int | None = amount("CPU work left in DB12 s.", 1_000_000)
    architecture: str | None = stated("The kind of processor.", "x86_64", default=None, max_length=128)
    level: int | None = amount("Its microarchitecture level.", 3, LARGEST_COUNT)
    gpus: int = stated("Free GPUs.", 1, default=0, ge=0, le=LARGEST_COUNT)
    gpu_ram_mb: int | None = amount("Memory of one GPU in MB.", 40_960)
    gpu_vendor: str | None = stated("Who made the GPUs.", "nvidia", default=None, max_length=128)
    compute_capability: str | None = stated(
        "What the GPUs can do, as CUDA counts it.", "8.6", default=None, pattern=CAPABILITY_VERSION
    )
    scratch_mb: int | None = amount("Free space for files in MB.", 20_480)
    lan_mbits: int | None = amount("Network to the site's storage in Mbit/s.", 1000)
    tags: list[Name] = names("What the node offers.", ["cvmfs:lhcb"], [])
    required_tags: list[Name] = names("Of these, what a job must ask for to run here.", ["GPU"], [])
    job_types: Names = names("Run only jobs of these types.", ["Test"])
    groups: Names = names("Run only jobs of these groups.", ["lhcb_mc"])
    owner: str | None = stated("Run only jobs of this user.", "alice", default=None, max_length=255)
    count: int = stated("How many jobs at most.", 1, default=1, ge=1, le=100)
    in_turn: bool = stated(
        "Whether several jobs run one after the other: then each may use the whole slot.", True, default=False
    )

    heartbeat_seconds: float | None = stated(
        "Seconds between its reports on a job; without it the answer says how often to report.",
        30,
        default=None,
        ge=1,
        le=LONGEST_INTERVAL,
    )

    @model_validator(mode="after")
    def _short(self) -> "Slot":
        check_length(self.tags, self.required_tags, self.job_types, self.groups)
        return self

    def pace(self) -> float:
        """Seconds between its reports on a job."""
        return self.heartbeat_seconds or settings().heartbeat_seconds

    def node(self) -> Node:
        """What it offers to jobs; raises BadRequest."""
        about = {"stamp", "count", "in_turn", "heartbeat_seconds"}
        values = self.model_dump(exclude={*about, "glibc", "compute_capability"})
        return node_of(
            **values,
            glibc=version(self.glibc or "", GLIBC),
            capability=version(self.compute_capability or "", CAPABILITY),
        )


class Description(BaseModel):
    """A slot as DIRAC's pilots describe it; what its computing element says besides does not count."""

    Site: str = stated("The site it runs at.", "LCG.CERN.ch", min_length=1, max_length=100)
    CPUTime: int = stated("Seconds of CPU left.", 86400, ge=0, le=LARGEST_AMOUNT)
    GridCE: str | None = stated("The computing element.", "ce01.cern.ch", default=None, max_length=128)
    Queue: str | None = stated("Its queue.", "long", default=None, max_length=128)
    NumberOfProcessors: int | None = amount("Free processors; one when it is not said.", 8, LARGEST_COUNT)
    MaxRAM: int | None = amount("Free memory in MB; any when it is not said.", 16_000)
    NumberOfGPUs: int | None = amount("Free GPUs.", 1, LARGEST_COUNT)
    Platform: str | None = stated("The platform.", "x86_64-el9", default=None, max_length=128)
    Architecture: str | None = stated(
        "The platform, unless `Platform` says it.", "x86_64-el9", default=None, max_length=128
    )
    Tag: list[Name] | str | None = names("What the node offers.", ["GPU"])
    RequiredTag: list[Name] | str | None = names("Of these, what a job must ask for to run here.", ["GPU"])
    WholeNode: Any = stated("Anything: the slot is a whole node.", True, default=None)
    JobType: list[Name] | str | None = names("Run only jobs of these types.", ["Test"])
    OwnerGroup: list[Name] | str | None = names("Run only jobs of these groups.", ["lhcb_mc"])
    Owner: str | None = stated("Run only jobs of this user.", "alice", default=None, max_length=255)
    JobID: Any = stated("Refused: a pilot gets the job whose turn it is.", None, default=None)

    @model_validator(mode="after")
    def _short(self) -> "Description":
        check_length(self.Tag, self.RequiredTag, self.JobType, self.OwnerGroup)
        return self

    @property
    def stamp(self) -> None:
        """The pilot's token says who asks."""

    @property
    def count(self) -> int:
        """DIRAC's pilots ask for one job."""
        return 1

    @property
    def in_turn(self) -> bool:
        """There is one job only."""
        return False

    def pace(self) -> float:
        """Seconds between the reports of DIRAC's wrapper."""
        return settings().dirac_heartbeat_seconds

    def node(self) -> Node:
        """What it offers to jobs; raises BadRequest."""
        return node_of_description(self.model_dump(exclude_none=True))


def _kind(body: Any) -> str:
    is_dirac = "Site" in body if isinstance(body, dict) else isinstance(body, Description)
    return "dirac" if is_dirac else "slot"


# Either body; which one it is shows in the spelling of the site.
Asking = Annotated[
    Annotated[Slot, Kind("slot")] | Annotated[Description, Kind("dirac")], Discriminator(_kind)
]
