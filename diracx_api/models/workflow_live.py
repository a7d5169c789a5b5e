"""What is told of a running workflow, of the outputs of its jobs, and of what its steps have used."""

from pydantic import BaseModel

from diracx_api.models.fields import stated

TIME = "2026-11-23T10:00:00.123456Z"


class Output(BaseModel):
    """The end of what a job has printed."""

    job_id: int = stated("The job's number.", 17)
    attempt: int = stated("Its newest attempt.", 1)
    place: str = stated("Its step, with its place in scatters.", "outer[3]/simulate[7]")
    step: str = stated("The step's path; empty for a workflow that is one tool.", "outer/simulate")
    slot: int | None = stated("Which element of the step's scatter.", 7)
    status: str = stated("DIRAC's status.", "Running")
    text: str = stated("At most 64 KiB.", "event 1000")
    updated_at: str | None = stated("When the pilot sent it, UTC.", TIME)
    final: bool = stated("Whether the job has ended.", False)


class Outputs(BaseModel):
    """What jobs have printed."""

    status: str = stated("The workflow's status.", "Running")
    outputs: list[Output] = stated("Failed jobs as they failed, then running ones, then the newest.", [])


class Asked(BaseModel):
    """The smallest and the largest that the jobs of a step asked for."""

    least: float = stated("The smallest.", 2048)
    most: float = stated("The largest.", 4096)


class Spread(BaseModel):
    """What the jobs of a step used."""

    least: float = stated("The smallest.", 310.5)
    mean: float = stated("The mean.", 350.2)
    most: float = stated("The largest.", 812.0)


class AllAsked(BaseModel):
    """What was asked for; null: nothing was said."""

    cores: Asked | None = stated("Cores.", {"least": 1, "most": 1})
    ram_mb: Asked | None = stated("Memory in MB.", {"least": 2048, "most": 4096})
    wall_time: Asked | None = stated("Wall time in s.", {"least": 3600, "most": 3600})
    scratch_mb: Asked | None = stated("Disk in MB.", {"least": 2048, "most": 2048})


class AllUsed(BaseModel):
    """What was used; null before the first attempt has told."""

    cpu_seconds: Spread | None = stated("CPU time in s.", {"least": 8.1, "mean": 9.5, "most": 14.2})
    wall_seconds: Spread | None = stated("Wall time in s.", {"least": 9.0, "mean": 10.2, "most": 15.1})
    memory_mb: Spread | None = stated(
        "The peak of the memory in MB.", {"least": 310.5, "mean": 350.2, "most": 812.0}
    )
    disk_mb: Spread | None = stated(
        "The peak of the job's folder in MB.", {"least": 1.0, "mean": 1.5, "most": 2.0}
    )


class StepResources(BaseModel):
    """What the jobs of a step asked for and what they used."""

    path: str = stated("The step's place.", "simulate")
    name: str = stated("The last part of the path.", "simulate")
    scatter: bool = stated("Whether it is scattered.", True)
    jobs: int = stated("Its jobs so far.", 8)
    measured: int = stated("Those whose last attempt has told what it used.", 7)
    asked: AllAsked = stated("What was asked for.", {})
    used: AllUsed = stated("What was used.", {})
    efficiency: float | None = stated("CPU time as a share of wall time times cores.", 0.93)
    remarks: list[str] = stated("Where the two are far apart.", [])


class Resources(BaseModel):
    """What a workflow's steps asked for and what they used."""

    steps: list[StepResources] = stated("Steps with jobs.", [])
