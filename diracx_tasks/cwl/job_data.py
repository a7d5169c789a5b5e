"""The data of a job in DIRAC's hints: which inputs and outputs are meant, and where they go."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from posixpath import dirname
from typing import Any
from urllib.parse import unquote

from cwltool.process import Process, shortname

from diracx_tasks.cwl.record import MAX_NAME, MAX_NAMES, InvalidRequirements, Record

# The mapping or list that holds it, its key there, and words.
Fault = tuple[Any, Any, str]
Entry = dict[str, Any]

# The fields of `dirac:Job` about data, and those of their entries.
ENTRIES = {
    "input_sandbox": ("source", "path"),
    "input_data": ("source",),
    "output_sandbox": ("source",),
    "output_data": ("source", "output_path", "output_se"),
}
# The fields of `dirac:ExecutionHooks`, and those of its `configuration`, of which a job needs nothing.
HOOKS = ("hook_plugin", "configuration", "output_paths", "output_sandbox", "output_se")
QUERY = ("query_root", "site", "campaign", "data_type")
FILES = ("File", "Directory", "Any")

_lfn = re.compile("^lfn:", re.IGNORECASE)
_no_path = re.compile(r"(?:^|/)\.\.(?:/|$)|//|[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search


def of(job: Mapping[str, Any], hooks: Mapping[str, Any], process: Process) -> dict[str, list[Any]]:
    """The entries of a process's `dirac:Job` and `dirac:ExecutionHooks` by field; empty fields are left out.

    Of `output_sandbox` the names of outputs; patterns of files are in `output_globs`. Names that the process
    does not have are an outer process's, from which the hint is inherited.
    """
    reader = Reader(process)
    older = reader.of_hooks(hooks)
    found: dict[str, list[Any]] = {
        name: _laid_over(older.get(name, []), reader.of_job(job, name)) for name in ENTRIES
    }
    kept = found.pop("output_sandbox")
    found["output_sandbox"] = [entry["source"] for entry in kept if "source" in entry]
    found["output_globs"] = [entry["glob"] for entry in kept if "glob" in entry]
    return {name: entries for name, entries in found.items() if entries}


def faults(hint: Any, process: Process) -> Iterator[Fault]:
    """What is wrong with the data of a `dirac:Job` that is about this process."""
    reader = Reader(process)
    for name in ENTRIES:
        reader.of_job(hint, name)
    yield from reader.faults


def hook_faults(hint: Any, process: Process) -> Iterator[Fault]:
    """The same of a `dirac:ExecutionHooks`."""
    reader = Reader(process)
    reader.of_hooks(hint)
    yield from reader.faults


@dataclass
class Reader:
    """Reads entries about the inputs and outputs of one process, and keeps what is wrong with them."""

    process: Process
    faults: list[Fault] = field(default_factory=list)

    def of_job(self, hint: Any, name: str) -> list[Entry]:
        """The entries of one field."""
        items = self._listed(hint, name)
        found = [self._entry(items, place, name) for place in range(len(items))]
        template = hint.get("requirements_template")
        storage = self._names(template, "output_se") if isinstance(template, Mapping) else []
        for entry in filter(None, found):
            if name == "output_data" and not entry["output_se"]:
                entry["output_se"] = storage
        return [entry for entry in found if entry]

    def of_hooks(self, hint: Any) -> dict[str, list[Entry]]:
        """Entries in the words of `dirac:Job`."""
        paths = hint.get("output_paths") or {}
        if not isinstance(paths, Mapping):
            self._fault(hint, "output_paths", "output_paths: this is no mapping of outputs to LFNs")
            paths = {}
        storage = self._names(hint, "output_se")
        data = []
        for key in paths:
            source = self._parameter(paths, key, key, "output_paths")
            folder = self._folder(paths, key, "output_paths")
            if source and folder:
                data.append({"source": source, "output_path": folder, "output_se": storage})
        items = self._listed(hint, "output_sandbox")
        named = [self._parameter(items, place, one, "output_sandbox") for place, one in enumerate(items)]
        return {"output_data": data, "output_sandbox": [{"source": one} for one in named if one]}

    def _entry(self, items: Any, place: int, name: str) -> Entry | None:
        item = items[place]
        if name == "output_sandbox" and isinstance(item, str):
            return self._pattern(items, place)
        if not isinstance(item, Mapping) or "source" not in item:
            self._fault(items, place, f"{name}: an entry is a mapping with a `source`")
            return None
        for key in item.keys() - set(ENTRIES[name]):
            self._fault(item, key, f"{name}: there is no field {key}, only {', '.join(ENTRIES[name])}")
        entry: Entry = {"source": self._parameter(item, "source", item["source"], name)}
        if "path" in item and name == "input_sandbox":
            entry["path"] = self._inside(item)
        if name == "output_data":
            if "output_path" not in item:
                self._fault(item, "source", f"{name}: output_path is missing: the LFN of a folder")
                return None
            entry["output_path"] = self._folder(item, "output_path", name)
            entry["output_se"] = self._names(item, "output_se")
        return None if None in entry.values() else entry

    def _parameter(self, holder: Any, key: Any, given: Any, name: str) -> str | None:
        """The short name of the input or output that is meant; its files are a job's data."""
        kind = "inputs" if name.startswith("input") else "outputs"
        known = {shortname(one["id"]): one for one in self.process.tool[kind]}
        wanted = _short(given, known) if isinstance(given, str) else None
        if wanted is None:
            said = str(given).rpartition("#")[2][:80]
            near = get_close_matches(said, known, 1)
            advice = f"; is {near[0]} meant?" if near else ""
            self._fault(holder, key, f"{name}: there is no {kind[:-1]} {said!r}{advice}")
        elif not _holds_files(known[wanted]["type"]):
            self._fault(holder, key, f"{name}: the {kind[:-1]} {wanted!r} has no files")
            return None
        return wanted

    def _listed(self, hint: Any, name: str) -> Any:
        found = hint.get(name)
        if not isinstance(found, list | None):
            self._fault(hint, name, f"{name}: this is no list")
            return []
        if found and len(found) > MAX_NAMES:
            self._fault(hint, name, f"{name}: {len(found)} entries, {MAX_NAMES} are the most")
            return []
        return found or []

    def _names(self, holder: Any, key: str) -> list[str]:
        try:
            return list(Record(holder).names(key))
        except InvalidRequirements as error:
            self._fault(holder, key, str(error))
            return []

    def _folder(self, holder: Any, key: Any, name: str) -> str | None:
        """An LFN of a folder: a path from the root, without `lfn:` and without a slash at the end."""
        given = holder[key]
        path = _lfn.sub("", given).rstrip("/") if isinstance(given, str) else ""
        if path.startswith("/") and _is_path(path):
            return path
        words = f"{str(given)[:80]!r} is no LFN of a folder, such as /lhcb/user/a/alice"
        self._fault(holder, key, f"{name}: {words}")
        return None

    def _inside(self, item: Any) -> str | None:
        """A folder below the job's own."""
        given = item["path"]
        bases = [str(one["id"]) for one in self.process.tool["inputs"]]
        path = _relative(given, bases).rstrip("/") if isinstance(given, str) else ""
        if _is_path(path) and not path.startswith(("/", "file:")):
            return path
        self._fault(item, "path", "input_sandbox: the path is no folder below the job's own")
        return None

    def _pattern(self, items: Any, place: int) -> Entry | None:
        pattern = str(items[place])
        parts = [part for part in pattern.split("/") if part not in ("", ".")]
        has_stars = any("**" in part and part != "**" for part in parts)
        if parts and not has_stars and _is_path(pattern) and not pattern.startswith("/"):
            return {"glob": pattern}
        words = f"{pattern[:80]!r} is no pattern of files below the job's own folder"
        self._fault(items, place, f"output_sandbox: {words}")
        return None

    def _fault(self, holder: Any, key: Any, words: str) -> None:
        self.faults.append((holder, key, words))


def _laid_over(below: list[Entry], above: list[Entry]) -> list[Entry]:
    """Entries, of which one about the same source counts that is above; repeats are left out."""
    found = {str(entry.get("source") or entry): entry for entry in [*below, *above]}
    return list(found.values())


def _short(given: str, known: Mapping[str, Any]) -> str | None:
    """The name that is meant: where DIRAC's namespace is declared, cwltool has made an address of it."""
    fragment = given.rpartition("#")[2]
    ids = {str(one["id"]).rpartition("#")[2]: name for name, one in known.items()}
    return fragment if fragment in known else ids.get(fragment)


def _relative(path: str, bases: Iterable[str]) -> str:
    """The path as it was written: where DIRAC's namespace is declared, cwltool has resolved it."""
    folders = (f"{dirname(base.partition('#')[0])}/" for base in bases)
    found = next((folder for folder in folders if path.startswith(folder)), None)
    return unquote(path.removeprefix(found)) if found and found != "/" else path


def _is_path(text: str) -> bool:
    return bool(text) and len(text) <= MAX_NAME and not _no_path(text)


def _holds_files(kind: Any) -> bool:
    """Whether values of a CWL type may hold files."""
    if isinstance(kind, str):
        # An address is the name of a type that is declared elsewhere.
        return kind in FILES or "#" in kind
    if isinstance(kind, Mapping):
        inner = [kind.get("items"), kind.get("type"), *(one.get("type") for one in kind.get("fields") or [])]
        return any(map(_holds_files, filter(None, inner)))
    return isinstance(kind, list) and any(map(_holds_files, kind))
