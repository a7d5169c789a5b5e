"""What a submission sends: a document with all that it refers to, and inputs whose files are in the store."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from diracx_tasks.cli.jobs import FILE, Storing
from diracx_tasks.cli.main import PLACES
from diracx_tasks.cli.output import bytes_of
from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import BadRequest, InvalidCwl, TooLarge
from diracx_tasks.cwl.bundle import MAX_BYTES, MAX_FILES, Bundle

# What loadContents may read; of the other files a check only needs the names.
READ_IN_CHECKS = 64 * 1024
SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")
DOCUMENT = ("run", "$import", "$mixin")


def read_submission(
    client: Client, workflow: Path | str, inputs: Path | None, given: Sequence[str], *, is_check: bool = False
) -> dict[str, Any]:
    """The body of a submission of `x.cwl` or `x.cwl#id`. The inputs' files are uploaded.

    In a check only small ones are, and without any inputs only the documents are checked. `given` are further
    inputs as `name=value`.
    Raises InvalidCwl and BadRequest for what cannot be read.
    """
    documents = Documents.of(str(workflow))
    if context := click.get_current_context(silent=True):
        context.meta[PLACES] = documents.places() | ({"inputs": inputs} if inputs else {})
    if is_check and inputs is None and not given:
        return {**documents.body(), "inputs": None}
    storing = Storing(client, READ_IN_CHECKS if is_check else None)
    return {**documents.body(), "inputs": read_values(documents, inputs, given, storing)}


def read_values(
    documents: "Documents", inputs: Path | None, given: Sequence[str], storing: Storing
) -> dict[str, Any] | str:
    """The inputs with their files in the store; text that is no mapping as it is."""
    parameters = documents.parameters()
    values = _read_values(inputs, given, parameters)
    if isinstance(values, str):
        return values
    whole = {name: _with_secondary(one, (parameters or {}).get(name)) for name, one in values.items()}
    return storing.store(whole)


@dataclass
class Documents:
    """The files of a submission by absolute path; `add` follows what a document refers to.

    `.cwl` files may lie anywhere; all other files must be in or below the folder that these have in common,
    so that a workflow from elsewhere cannot send one's keys away.
    """

    main: Path
    fragment: str
    files: dict[Path, bytes] = field(default_factory=dict)
    parsed: dict[Path, Any] = field(default_factory=dict)
    _later: list[tuple[Path, Any, str, Path]] = field(default_factory=list)

    @classmethod
    def of(cls, workflow: str) -> "Documents":
        """All files of a workflow; InvalidCwl for a reference that is missing or leads outside."""
        name, _, fragment = workflow.partition("#")
        found = cls(Path(os.path.abspath(name)), fragment)
        if not found.main.is_file():
            raise BadRequest(f"there is no file {name}")
        found.add(found.main)
        while found._later:
            found._bring(*found._later.pop(0))
        return found

    @property
    def root(self) -> Path:
        """The folder that names in the submission are relative to."""
        cwl = [path.parent for path in self.parsed if path.suffix == ".cwl"]
        return Path(os.path.commonpath([self.main.parent, *cwl]))

    def bundle(self) -> Bundle:
        """All files, and the document to start from."""
        main = self._name(self.main) + (f"#{self.fragment}" if self.fragment else "")
        return Bundle.of({self._name(path): content for path, content in self.files.items()}, main)

    def body(self) -> dict[str, Any]:
        """The submission's `files` and `main`."""
        sent = self.bundle().to_json()
        return {"files": sent["files"], "main": sent["entrypoint"]}

    def places(self) -> dict[str, Path]:
        """The files' names as the server knows them, and their paths as the user would write them."""
        return {self._name(path): Path(os.path.relpath(path)) for path in self.files}

    def parameters(self) -> Mapping[str, Any] | None:
        """The main process's input parameters by name; None when they cannot be found."""
        document = self.parsed.get(self.main)
        if isinstance(document, dict) and isinstance(graph := document.get("$graph"), list):
            wanted = self.fragment or "main"
            processes = (one for one in graph if isinstance(one, dict))
            document = next((one for one in processes if str(one.get("id")).lstrip("#") == wanted), None)
        inputs = document.get("inputs") if isinstance(document, dict) else None
        if isinstance(inputs, dict) and "$import" not in inputs:
            return inputs
        if isinstance(inputs, list) and all(isinstance(one, dict) and "id" in one for one in inputs):
            return {re.split("[#/]", str(one["id"]))[-1]: one for one in inputs}
        return None

    def add(self, document: Path) -> None:
        """Take a document and the documents that it refers to; other files are brought later."""
        if document in self.parsed:
            return
        self.parsed[document] = None
        self._take(document)
        try:
            self.parsed[document] = _parse(self.files[document].decode(), "rt")
        except (YAMLError, UnicodeDecodeError, RecursionError):
            return  # The server says what is wrong with it, and where.
        self._follow(self.parsed[document], document, set())

    def _follow(self, node: Any, document: Path, seen: set[int]) -> None:
        if not isinstance(node, (dict, list)) or id(node) in seen:
            return
        seen.add(id(node))
        for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
            if isinstance(value, str) and isinstance(node, dict) and _is_reference(node, key):
                name = value if node.get("class") in FILE else value.partition("#")[0]
                path = _local(name, document.parent) if name else None
                if path and key in DOCUMENT and path.suffix == ".cwl" and path.is_file():
                    self.add(path)
                elif path:
                    self._later.append((path, node, key, document))
            self._follow(value, document, seen)

    def _bring(self, path: Path, node: Any, key: str, document: Path) -> None:
        reference = node[key]
        if not path.exists():
            # A default File that is missing matters only when it is used.
            if node.get("class") not in FILE:
                raise _wrong(node, key, document, f"there is no file {reference}")
            return
        # With the home folder as root, one stray .cwl file would open everything.
        allowed = self.main.parent if Path(os.path.expanduser("~")).is_relative_to(self.root) else self.root
        for file in [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file()):
            if not file.resolve().is_relative_to(allowed.resolve()):
                raise _wrong(node, key, document, f"{reference}: {file} lies outside {allowed}")
            if key in DOCUMENT:
                self.add(file)
            else:
                self._take(file)
        if os.path.isabs(reference) or SCHEME.match(reference):
            raise _wrong(node, key, document, f"{reference}: write the path relative to this document")

    def _take(self, path: Path) -> None:
        if path in self.files:
            return
        size = sum(map(len, self.files.values())) + path.stat().st_size
        if len(self.files) >= MAX_FILES or size > MAX_BYTES:
            most = f"{MAX_FILES} files and {bytes_of(MAX_BYTES)}"
            raise TooLarge(f"{path}: documents may bring {most}; give large data as inputs")
        self.files[path] = path.read_bytes()

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _parse(text: str, kind: str = "safe") -> Any:
    """A YAML or JSON text with dates as strings; kind `rt` knows places. Raises YAMLError."""
    yaml = YAML(typ=kind, pure=True)
    yaml.allow_duplicate_keys = True
    made = yaml.constructor.yaml_constructors
    made["tag:yaml.org,2002:timestamp"] = made["tag:yaml.org,2002:str"]
    return yaml.load(text)


def _read_values(
    path: Path | None, given: Sequence[str], parameters: Mapping[str, Any] | None
) -> dict[str, Any] | str:
    """Inputs with absolute paths; the text itself when it is no mapping: the server says what is wrong."""
    text = path.read_text(errors="replace") if path else "{}"
    try:
        found = _parse(text)
    except (YAMLError, RecursionError):
        found = text
    if found is not None and not isinstance(found, dict):
        if given:
            raise BadRequest(f"{path} is no mapping of input names to values: --input cannot be added")
        return text
    values: dict[str, Any] = _anchored(found or {}, path.absolute().parent if path else Path.cwd())
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise BadRequest(f"--input {one}: write name=value")
        if parameters is not None and name not in parameters:
            raise BadRequest(f"there is no input {name!r}, only {', '.join(parameters) or 'none'}")
        values[name] = _anchored(_typed(value, _kinds((parameters or {}).get(name))), Path.cwd())
    return values


def _typed(text: str, kinds: set[str]) -> Any:
    """A value from the command line as its parameter's type wants it."""
    if kinds == {"string"} or (len(kinds) == 1 and kinds <= set(FILE) and not text.startswith("{")):
        return text if kinds == {"string"} else {"class": kinds.pop(), "path": text}
    try:
        value = _parse(text)
    except YAMLError as error:
        raise BadRequest(f"--input: {text} is not YAML") from error
    if kinds in ({"array", "File"}, {"array", "Directory"}) and isinstance(value, list):
        kind = (kinds - {"array"}).pop()
        return [{"class": kind, "path": one} if isinstance(one, str) else one for one in value]
    return value


def _kinds(parameter: Any) -> set[str]:
    """The names in a parameter's type, `array` beside the names of items; null is left out."""
    if isinstance(parameter, list):
        return {name for one in parameter for name in _kinds(one)}
    if isinstance(parameter, dict):
        inner = {"enum": "string", "array": parameter.get("items")}.get(str(parameter.get("type")))
        return _kinds(inner or parameter.get("type")) | (
            {"array"} if parameter.get("type") == "array" else set()
        )
    text = str(parameter).removesuffix("?")
    if text.endswith("[]"):
        return _kinds(text.removesuffix("[]")) | {"array"}
    return {text} - {"null", "None"}


def _anchored(value: Any, folder: Path) -> Any:
    """A value in which local Files and Directories have an absolute `path` and no location."""
    if isinstance(value, list):
        return [_anchored(one, folder) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: _anchored(one, folder) for key, one in value.items()}
    reference = value.get("location") or value.get("path")
    if value.get("class") in FILE and isinstance(reference, str):
        path = _local(reference, folder)
        found = {key: one for key, one in found.items() if key not in ("path", "location")}
        found |= {"path": str(path)} if path else {"location": reference}
    return found


def _local(reference: str, folder: Path) -> Path | None:
    """Where a path or URI points on this machine; None for other places (sandbox:, lfn:, http:, ...)."""
    literal = Path(os.path.normpath(folder / reference))
    scheme = SCHEME.match(reference)
    if literal.exists():
        return literal
    if reference.startswith("_:") or (scheme and scheme[1] != "file"):
        return None
    decoded = Path(os.path.normpath(folder / unquote(urlsplit(reference).path if scheme else reference)))
    return decoded if scheme or decoded.exists() else literal


def _is_reference(node: Mapping[str, Any], key: str) -> bool:
    # An input may be called `run` as well; only steps have `in` and `out` beside it.
    if key == "run":
        return "in" in node and "out" in node
    return key in (*DOCUMENT, "$include") or (key in ("location", "path") and node.get("class") in FILE)


def _wrong(node: Any, key: str, document: Path, words: str) -> InvalidCwl:
    try:
        line, column = (count + 1 for count in node.lc.value(key))
    except (AttributeError, KeyError, TypeError):
        line = column = None
    place = {"file": os.path.relpath(document), "line": line, "column": column}
    return InvalidCwl(words, [{"severity": "error", **place, "message": words}])


def _with_secondary(value: Any, parameter: Any) -> Any:
    """Files with those beside them that the parameter's patterns name, as cwltool finds them."""
    if isinstance(value, list):
        return [_with_secondary(one, parameter) for one in value]
    given = parameter.get("secondaryFiles") if isinstance(parameter, dict) else None
    if not given or not isinstance(value, dict) or "path" not in value or "secondaryFiles" in value:
        return value
    found = []
    for entry in given if isinstance(given, list) else [given]:
        pattern = str(entry.get("pattern") if isinstance(entry, dict) else entry).removesuffix("?")
        path, suffix = Path(value["path"]), pattern.lstrip("^")
        for _ in pattern.removesuffix(suffix):
            path = path.with_suffix("")
        path = path.with_name(path.name + suffix)
        if path.exists():
            found.append({"class": "Directory" if path.is_dir() else "File", "path": str(path)})
    return {**value, "secondaryFiles": found} if found else value
