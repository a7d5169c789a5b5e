"""What the pilot tells a payload, and what it hears back; both stand in the attempt's folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

INPUTS = "inputs.json"
RESULT = "result.json"
LOG = "log"
# The beginning of the names of folders in which tools run.
WORK_FOLDERS = "out-"
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Program:
    """A program with its arguments and its whole environment, its folder, and files there for its output."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Order:
    """Which process of which bundle to run; its inputs are in the folder's INPUTS.

    `engine` runs containers, '' for none; one that is outside of the slot's limits is held to `cores` and
    `ram_mb`. Inputs of the `input_sandbox` are placed in folders, see `work_dir`. `whose` job it is decides,
    with the bundle, which payloads may share a process.
    """

    folder: str
    entrypoint: str
    bundle_file: str
    bundle_folder: str
    path: str
    name: str
    engine: str = ""
    cores: int = 1
    ram_mb: int = 0
    input_sandbox: Sequence[dict[str, str]] = ()
    whose: str = ""
    # In a process that nobody had before.
    is_fresh: bool = False
    # A `Program` to run instead of a process of a bundle.
    program: dict[str, Any] | None = None
    # The devices that are its own; None where there are none at all.
    gpus: Sequence[str] | None = None

    @classmethod
    def of_program(cls, folder: Path, program: "Program", whose: str) -> "Order":
        """The order to run a program."""
        return cls(str(folder), "", "", "", "", "", whose=whose, program=asdict(program))

    @property
    def kin(self) -> tuple[str, ...]:
        """The same for orders that may share a process."""
        return self.whose, self.bundle_file, self.entrypoint, *visible(self.gpus).values()


def visible(gpus: Sequence[str] | None) -> dict[str, str]:
    """Environment by which CUDA shows a payload these GPUs only; nothing for None."""
    return {} if gpus is None else {VISIBLE: ",".join(gpus)}


class Exit(NamedTuple):
    """How a payload ended: its exit code (128 + signal) and all the CPU time spent on it."""

    code: int
    cpu_seconds: float


@dataclass(frozen=True)
class Result:
    """How a payload ended: outputs with local files, or why there are none."""

    status: str
    outputs: dict[str, Any] | None = None
    exit_code: int | None = None
    reason: str = ""
    is_unsupported: bool = False

    @property
    def is_success(self) -> bool:
        """Whether there are outputs."""
        return self.status == "success"

    def write_to(self, folder: Path) -> None:
        """Put it into the folder in one step. Raises ValueError for numbers that JSON does not have."""
        part = folder / f"{RESULT}.part"
        part.write_text(json.dumps(asdict(self), allow_nan=False))
        part.rename(folder / RESULT)

    @property
    def is_temporary(self) -> bool:
        """Whether the tool says that another attempt may succeed: one of its `temporaryFailCodes`."""
        return self.status == "temporaryFail"

    @classmethod
    def read_from(cls, folder: Path) -> "Result | None":
        """None if the payload ended before it could write one."""
        try:
            return cls(**json.loads((folder / RESULT).read_text()))
        except FileNotFoundError:
            return None
