"""What a job description comes to: the columns, the requirements, the payload and the text to be stored."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from diracx_tasks.core.operations import Operations
from diracx_tasks.core.sections import names_in
from diracx_tasks.jobs.ad import Ad, Expression, InvalidJdl, render
from diracx_tasks.jobs.requirements import requirements, segments_of

COLUMNS = {"JobName": 128, "JobGroup": 32, "JobType": 32, "InputData": 255}
MAX_STORED = 4 << 20
# JDL's name and the payload's, of what a pilot gets when it is stated.
TEXTS = {
    "InputDataModule": "input_data_module",
    "InputDataPolicy": "input_data_policy",
    "JobConfigArgs": "config_arguments",
    "LogLevel": "log_level",
    "OutputPath": "output_path",
    "SoftwareDistModule": "software_module",
    "ProcessingType": "processing_type",
    "StopSigRegex": "stop_regex",
    "StopSigNumber": "stop_signal",
    "StopSigStartWork": "stop_start_work",
    "StopSigFinishWork": "stop_finish_work",
    "DisableCPUCheck": "disable_cpu_check",
    "MaxRAM": "max_ram_mb",
    "WholeNode": "whole_node",
    "Memory": "memory",
}
LISTS = {"OutputData": "output_data", "OutputSE": "output_ses", "OutputSandbox": "output_sandbox"}

_sandbox = re.compile(r"SB:[A-Za-z0-9_.-]+\|/\S+").fullmatch
_variable = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch
_separator = re.compile(r"[;,]")
# NUL is in no description: it keeps the place of the job's number.
_HOLE = "\0"
_job_id = re.compile(r"%j(?![A-Za-z])")


@dataclass(frozen=True)
class Manifest:
    """A job to be stored. `site` is one name, Multiple or ANY; `%j` in the payload is the pilot's."""

    job_name: str
    job_type: str
    job_group: str
    site: str
    priority: int
    cpu_seconds: int
    input_data: list[str]
    input_sandbox: list[str]
    requirements: dict[str, Any]
    payload: dict[str, Any]
    template: str

    def jdl(self, job_id: int | str) -> str:
        """The description with what DIRAC adds to it, and with the job's number, or a mark, for every %j."""
        return self.template.replace(_HOLE, str(job_id))


def describe(
    ad: Ad,
    *,
    owner: str,
    group: str,
    vo: str,
    operations: Operations,
    platforms: Mapping[str, Collection[str]],
) -> Manifest:
    """What is stored of a description that is not parametric; `platforms` is the CS's OSCompatibility.

    Raises InvalidJdl in words of the description's own fields.
    """
    if (stated := ad.text("VirtualOrganization", vo)) not in ("", vo):
        raise InvalidJdl(f"VirtualOrganization: {stated[:40]} is not yours, which is {vo}")
    cpu_seconds, priority = _cpu_seconds(ad, operations), _priority(ad, operations)
    intervals = (operations.JobScheduling or {}).get("taskQueueCPUTimeIntervals")
    segments = segments_of(tuple(names_in(intervals)))
    needs = requirements(ad, priority, platforms, cpu_seconds=cpu_seconds, segments=segments)
    job_type = needs.record["job_type"] = _job_type(ad, operations)
    stored = _stored(ad, operations, CPUTime=cpu_seconds, Priority=priority)
    stored |= {"Owner": owner, "OwnerGroup": group, "VirtualOrganization": vo}
    stored["JobRequirements"] = _job_requirements(stored, needs.platforms)
    input_data, sandbox = _input_data(ad, operations.JobDescription.MaxInputData), _input_sandbox(ad)
    return Manifest(
        job_name=_column(ad, "JobName", "Unknown"),
        job_type=job_type,
        job_group=_column(ad, "JobGroup", "00000000"),
        site=needs.site,
        priority=priority,
        cpu_seconds=cpu_seconds,
        input_data=input_data,
        input_sandbox=[entry for entry in sandbox if entry.startswith(("SB:", "LFN:"))],
        requirements=needs.record,
        payload=_payload(stored, input_data=input_data, input_sandbox=sandbox, cpu_seconds=cpu_seconds),
        template=_template(stored),
    )


def _column(ad: Ad, name: str, default: str) -> str:
    return _fitting(name, ad.text(name) or default)


def _fitting(name: str, text: str) -> str:
    if len(text) > COLUMNS[name]:
        raise InvalidJdl(f"{name}: {len(text)} characters, {COLUMNS[name]} at most are kept: {text[:40]}...")
    return text


def _cpu_seconds(ad: Ad, operations: Operations) -> int:
    limits, seconds = operations.JobDescription, ad.integer("CPUTime")
    if seconds is None:
        seconds = limits.DefaultCPUTime
    if seconds < 0:
        raise InvalidJdl(f"CPUTime: {seconds} is no number of seconds")
    return max(limits.MinCPUTime, min(seconds, limits.MaxCPUTime))


def _priority(ad: Ad, operations: Operations) -> int:
    limits, priority = operations.JobDescription, ad.integer("Priority")
    if priority is None:
        priority = limits.DefaultPriority
    return max(limits.MinPriority, min(priority, limits.MaxPriority))


def _job_type(ad: Ad, operations: Operations) -> str:
    found = _column(ad, "JobType", "User")
    if found not in (allowed := operations.JobDescription.AllowedJobTypes):
        raise InvalidJdl(f"JobType: {found} is not allowed, only {', '.join(allowed)}")
    return found


def _input_data(ad: Ad, most: int) -> list[str]:
    if "InputData" not in ad:
        return []
    found = list(dict.fromkeys([lfn.removeprefix("LFN:") for lfn in ad.strings("InputData")]))
    for lfn in found:
        if not lfn.startswith("/") or "//" in lfn:
            raise InvalidJdl(f"InputData: {lfn[:80]} is no LFN, which is LFN:/ and a path without //")
        _fitting("InputData", lfn)
    if len(found) > most:
        raise InvalidJdl(f"Number of Input Data Files ({len(found)}) greater than current limit: {most}")
    return found


def _input_sandbox(ad: Ad) -> list[str]:
    found = ad.strings("InputSandbox")
    for entry in found:
        if entry.startswith("SB:") and not _sandbox(entry):
            raise InvalidJdl(f"InputSandbox: {entry[:80]} is no sandbox, which is SB:, a store, | and a path")
        if entry.startswith("LFN:") and not entry.startswith("LFN:/"):
            raise InvalidJdl(f"InputSandbox: {entry[:80]} is no LFN, which begins with LFN:/")
    return found


def _stored(ad: Ad, operations: Operations, **checked: int) -> Ad:
    """The description with defaults, and with numbers as they are in force."""
    found = Ad(ad)
    found.update(checked, JobID=Expression(_HOLE))
    if (module := operations.InputDataPolicy.InputDataModule) and "InputDataModule" not in ad:
        found["InputDataModule"] = module
    if (module := operations.SoftwareDistModule) and "SoftwareDistModule" not in ad:
        found["SoftwareDistModule"] = module
    return found


def _job_requirements(stored: Ad, platforms: list[str]) -> Ad:
    found = Ad({name: stored[name] for name in ("Owner", "OwnerGroup", "VirtualOrganization", "CPUTime")})
    found["UserPriority"] = stored["Priority"]
    if platforms:
        found["Platforms"] = list(platforms)
    return found


def _template(stored: Ad) -> str:
    text = render(stored)
    if len(text) > MAX_STORED:
        raise InvalidJdl(f"the description is {len(text)} characters when laid out, {MAX_STORED} are kept")
    return _job_id.sub(_HOLE, text) if "%j" in text else text


def _payload(ad: Ad, **known: Any) -> dict[str, Any]:
    """What a pilot needs to run it; what is not stated and has no default is left out."""
    payload = {
        "kind": "jdl",
        "executable": _executable(ad),
        "arguments": ad.text("Arguments"),
        "environment": _environment(ad) if "ExecutionEnvironment" in ad else {},
        "stdout": ad.text("StdOutput") or "std.out",
        "stderr": ad.text("StdError") or "std.err",
        **known,
    }
    payload |= {key: ad.text(name) for name, key in TEXTS.items() if name in ad}
    payload |= {key: ad.strings(name) for name, key in LISTS.items() if name in ad}
    return payload


def _executable(ad: Ad) -> str:
    if found := ad.text("Executable").strip():
        return found
    alike = [name for name in ad if name != "Executable" and name.lower() == "executable"]
    hint = f" ({alike[0]} is not it: upper and lower case matter)" if alike else ""
    raise InvalidJdl(f"Executable is missing{hint}")


def _environment(ad: Ad) -> dict[str, str]:
    """Variables from NAME=value in a list, or in a text between ; or commas; values quoted as in URLs."""
    name = "ExecutionEnvironment"
    is_list = isinstance(ad[name], list)
    parts = ad.strings(name) if is_list else _separator.split(ad.text(name))
    found = {}
    for part in filter(None, map(str.strip, parts)):
        variable, equals, value = part.partition("=")
        if not equals or not _variable(variable.strip()):
            raise InvalidJdl(f"{name}: {part[:80]} is not NAME=value")
        found[variable.strip()] = unquote(value)
    return found
