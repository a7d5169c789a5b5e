"""What the matcher says of itself: why a job waits, what waits, which nodes ask, what holds jobs back."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from diracx_api.models.fields import stated


class Unmet(BaseModel):
    """Something that a job asks for and that no node of the last hour has, or not with all the rest."""

    requirement: str = stated("What: cores, ram, site, platform, tags, ...", "cores")
    wanted: Any = stated("What the job asks for: a number, a name or names.", 64)
    nearest: Any = stated("The nearest that a node has; null: none says that it has any.", 8)
    site: str | None = stated("Where that is.", "LCG.CERN.ch")


class Ahead(BaseModel):
    """How many jobs are before one."""

    same: int = stated("Older jobs of its class: they ask for the same.", 3)
    is_more: bool = stated("Whether there are more than that.", False)
    sooner: int = stated("About so many of the same owner and group with a higher priority go first.", 12)
    competing: int = stated("About so many jobs of other classes want the same nodes.", 1200)
    classes: int = stated("So many other classes.", 17)


class Why(BaseModel):
    """Why a job is where it is."""

    job_id: int = stated("The job's number.", 17)
    status: str = stated("Its status.", "Waiting")
    reasons: list[str] = stated("In words.", ["3 jobs of its class are ahead."])
    advice: list[str] = stated("What to change, or to do.", ["Wait: nodes that fit are there."])
    ahead: Ahead | None = Field(
        description="What is before it, while it waits and some nodes fit.", examples=[None]
    )
    last_asked_seconds: float | None = stated(
        "Seconds since a node that fits asked for work; null: none did within the last hour.", 4.2
    )
    unmet: list[Unmet] = stated("What no node of the last hour has; empty when some fit.", [])


class WaitingClass(BaseModel):
    """Waiting jobs that ask for the same, of the same type, group, owner and priority."""

    class_no: int = stated("Its number.", 12)
    job_type: str = stated("The jobs' type.", "MCSimulation")
    group: str = stated("Their owner's group.", "lhcb_prod")
    owner: str = stated("Their owner.", "alice")
    priority: int = stated("Their priority, from 0 to 10.", 5)
    jobs: int = stated("How many wait.", 3141)
    is_exact: bool = stated("False of very many: those killed a moment ago may be among them.", True)
    oldest_job: int = stated("The number of the one that comes first.", 17)
    oldest_seconds: float = stated("How long that one has been waiting, in s.", 5400.0)
    asks: list[str] = stated("What they ask for, in words; any of several will do.", ["8 cores; the tag gpu"])
    requirements: list[dict[str, Any]] = stated("The same by field.", [{"cores": 8, "tags": "gpu"}])
    last_asked_seconds: float | None = stated(
        "Seconds since a node that fits asked for work; null: none did within the last hour.", 4.2
    )
    blocked: list[str] = stated(
        "What holds them back wherever nodes fit.",
        ["LCG.CERN.ch is full of jobs of the type User: 5 run, 5 may"],
    )


class NodeKind(BaseModel):
    """Nodes that offer the same and asked for work within the last hour."""

    site: str = stated("Where they are.", "LCG.CERN.ch")
    ce: str = stated("Their computing element; empty when they do not say.", "ce01.cern.ch")
    last_asked_seconds: float = stated("Seconds since one of them asked.", 4.2)
    offers: str = stated("What they offer, in words.", "8 cores; 16000 MB of RAM; x86_64-el9")
    values: dict[str, Any] = stated("The same by field; no limit is left out.", {"cores": 8, "ram": 16000})
    tags: list[str] = stated("Their tags.", ["gpu"])
    required_tags: list[str] = stated("Only jobs with all of these may run there.", [])
    only: dict[str, list[str]] = stated("Only jobs of these types, groups, owners.", {"group": ["lhcb_prod"]})
    banned: str | None = stated("Why they run jobs of the type Test only; null: they may be used.", None)


class Limit(BaseModel):
    """A limit or a delay of the configuration, and how far it is used up."""

    kind: Literal["limit", "delay"] = stated("What it is.", "limit")
    scope: str = stated("Site, or site and computing element with a slash between them.", "LCG.CERN.ch")
    attribute: Literal["type", "group", "owner"] = stated("What it tells jobs apart by.", "type")
    value: str = stated("Which jobs.", "User")
    running: int | None = stated("Of a limit: how many run; null: not counted lately, all wait.", 5)
    most: int | None = stated("Of a limit: how many may run.", 5)
    seconds: float | None = stated("Of a delay: seconds between two starts.", None)
    burst: int | None = stated("Of a delay: how many may start at once after a quiet while.", None)
    is_full: bool = stated("Whether no more of these may start now.", True)


class Slowed(BaseModel):
    """A site or node on which jobs fail and that gets fewer of them."""

    site: str = stated("The site.", "LCG.CERN.ch")
    node: str = stated("The node; empty: every node of the site.", "b6s001.cern.ch")
    seconds: float = stated("It gets a job every so many seconds at most.", 120.0)
    failed: float = stated("So many failed there lately; older ones count less.", 14.5)
    done: float = stated("So many were Done there lately.", 0.5)


class Release(BaseModel):
    """A site or node that is good again."""

    site: str = stated("The site.", "LCG.CERN.ch", min_length=1, max_length=100)
    node: str = stated(
        "The node; empty: the site and all of its nodes.", "b6s001.cern.ch", default="", max_length=255
    )


class Released(BaseModel):
    """What became of a release."""

    is_released: bool = stated("False when it was not slowed.", True)
