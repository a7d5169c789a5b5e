"""What a JDL job leaves: its output sandbox, and its output data in storage elements and in the catalogue."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from diracx_tasks.node.command import inside
from diracx_tasks.node.jdl_inputs import LFN
from diracx_tasks.node.outgoing import Outgoing, measure
from diracx_tasks.node.report import Report
from diracx_tasks.node.transfer import StagingError, Transfers
from diracx_tasks.node.upload import Upload, archives, files_of

# DIRAC's OutputSandboxLimit, in bytes: larger ones become output data.
SANDBOX_BYTES = 10 << 20
WILD = frozenset("*?[")
Facts = Callable[[dict[str, str]], None]


class JdlOutputs:
    """Takes the files of one job out of its `folder`; `facts` become parameters of the job."""

    def __init__(
        self, transfers: Transfers, report: Report, matched: Mapping[str, Any], folder: Path, facts: Facts
    ) -> None:
        self._transfers, self._report, self._folder, self._facts = transfers, report, folder, facts
        self._payload, self._job_id = matched["payload"], int(matched["job_id"])
        vo, owner = matched["vo"], matched["owner"]
        self._vo, self._home = vo, f"/{vo}/user/{owner[:1]}/{owner}"

    def keep(self) -> None:
        """Have the files that the description names kept as the job's sandbox; what is missing is told.

        Raises StagingError, Halted, and ApiError when the server refuses.
        """
        found, missing = self._matching(self._payload.get("output_sandbox") or [])
        if missing:
            self._facts({"OutputSandboxMissingFiles": ", ".join(missing)})
        with archives(list(found.values()), self._folder.parent) as made:
            for archive in made:
                if archive.size > SANDBOX_BYTES:
                    archive.format, archive.lfn = "file", f"{self._below()}/Sandbox_{self._job_id}.tar.bz2"
                    archive.ses = self._payload.get("output_ses") or []
            self._store(made)
            if lfns := [archive.lfn for archive in made if archive.lfn]:
                self._facts(
                    {"OutputSandbox": "Sandbox uploaded to grid storage", "OutputSandboxLFN": lfns[0]}
                )

    def store(self) -> list[dict[str, Any]]:
        """The output data of a job that went well, as CWL's Files, stored and registered; StagingError."""
        files = self._data(self._payload.get("output_data") or [])
        for file in files:
            measure(file)
            file.ses = self._payload.get("output_ses") or []
        self._store(files)
        if files:
            self._facts({"UploadedOutputData": ", ".join(file.lfn for file in files)})
        return [{**file.value, "location": file.location} for file in files]

    def _store(self, files: Sequence[Outgoing]) -> None:
        upload = Upload(self._transfers, lambda size: None)
        upload.send(files)
        upload.register(files)

    def _matching(self, patterns: Sequence[str]) -> tuple[dict[str, Outgoing], list[str]]:
        """Files by their places in the job's folder, and the names for which there is none."""
        found: dict[str, Outgoing] = {}
        missing = []
        for pattern in patterns:
            paths = list(files_of(self._folder, pattern, with_folders=True)) if inside(pattern) else []
            if not paths and not WILD.intersection(pattern):
                missing.append(pattern)
            for path in paths:
                place = str(path.relative_to(self._folder))
                found[place] = Outgoing({"class": "File", "basename": path.name}, path, place)
        for file in found.values():
            measure(file)
        return found, missing

    def _data(self, stated: Sequence[str]) -> list[Outgoing]:
        path = self._path()
        found: dict[str, Outgoing] = {}
        missing = []
        for name in stated:
            lfn = name[len(LFN) :] if name.upper().startswith(LFN) else ""
            pattern = lfn.rpartition("/")[2] if lfn else name
            paths = list(files_of(self._folder, pattern)) if inside(pattern) else []
            if not paths:
                missing.append(name)
            for one in paths:
                value = {"class": "File", "basename": one.name}
                place = lfn or f"{path}/{one.name}"
                if place in found and found[place].path != one:
                    raise StagingError(f"two files of OutputData would be {place}")
                found[place] = Outgoing(value, one, one.name, lfn=place)
        if missing:
            self._facts({"OutputData": f"MissingFiles: {', '.join(missing)}"})
            raise StagingError(f"OutputData is not there: {', '.join(missing)}")
        return list(found.values())

    def _path(self) -> str:
        """The folder of LFNs for files that are not named by one: OutputPath is below the owner's."""
        stated = str(self._payload.get("output_path") or "").removeprefix(LFN).strip("/")
        if not stated:
            return self._below()
        is_whole = stated == self._vo or stated.startswith(f"{self._vo}/")
        return f"/{stated}" if is_whole else f"{self._home}/{stated}"

    def _below(self) -> str:
        return f"{self._home}/{self._job_id // 1000}/{self._job_id}"
