"""The files of a submission: a document with all that it refers to."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml.error import YAMLError

from diracx_tasks.cli.local_files import SCHEME, anchored, local, parse
from diracx_tasks.cli.secondary import Types, mappings, named_types, short_name, with_secondary
from diracx_tasks.cli.storing import FILE
from diracx_tasks.core.errors import BadRequest, InvalidCwl, TooLarge
from diracx_tasks.core.words import size
from diracx_tasks.cwl.bundle import MAX_BYTES, MAX_FILES, Bundle

DOCUMENT = ("run", "$import", "$mixin")
SCHEMAS = "$schemas"
# A folder whose files documents in and below it may bring: its user trusts them all.
TRUSTED = "DIRACX_CWL_FOLDER"


class Reference(NamedTuple):
    """A path that a document names, the text, and where it stands."""

    path: Path
    text: str
    node: Any
    key: Any
    document: Path
    is_document: bool = False
    # What is missing matters only when it is used.
    may_be_missing: bool = False


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
    _later: list[Reference] = field(default_factory=list)

    @classmethod
    def of(cls, workflow: str) -> "Documents":
        """All files of a workflow; InvalidCwl for a reference that is missing or leads outside."""
        name, _, fragment = workflow.partition("#")
        found = cls(Path(os.path.abspath(name)), fragment)
        if not found.main.is_file():
            raise BadRequest(f"there is no file {name}")
        found.add(found.main)
        while found._later:
            found._bring(found._later.pop(0))
        for reference in list(found._beside_defaults()):
            found._bring(reference)
        return found

    @property
    def root(self) -> Path:
        """The folder that the documents have in common."""
        cwl = [path.parent for path in self.parsed if path.suffix == ".cwl"]
        return Path(os.path.commonpath([self.main.parent, *cwl]))

    def bundle(self) -> Bundle:
        """All files, and the document to start from."""
        names = self._names()
        main = names[self.main] + (f"#{self.fragment}" if self.fragment else "")
        return Bundle.of({names[path]: content for path, content in self.files.items()}, main)

    def body(self) -> dict[str, Any]:
        """The submission's `files` and `main`."""
        sent = self.bundle().to_json()
        return {"files": sent["files"], "main": sent["entrypoint"]}

    def places(self) -> dict[str, Path]:
        """The files' names as the server knows them, and their paths as the user would write them."""
        return {name: Path(os.path.relpath(path)) for path, name in self._names().items()}

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
            return {short_name(one["id"]): one for one in inputs}
        return None

    def types(self) -> Types:
        """The types by name that the documents define."""
        return named_types(list(self.parsed.values()))

    def add(self, document: Path) -> None:
        """Take a document and the documents that it refers to; other files are brought later."""
        if document in self.parsed:
            return
        self.parsed[document] = None
        self._take(document)
        try:
            self.parsed[document] = parse(self.files[document].decode(), "rt")
        except (YAMLError, UnicodeDecodeError, RecursionError):
            return  # The server says what is wrong with it, and where.
        for reference in _references(self.parsed[document], document):
            if reference.is_document and reference.path.suffix == ".cwl" and reference.path.is_file():
                self.add(reference.path)
            else:
                self._later.append(reference)

    def _bring(self, reference: Reference) -> None:
        path = reference.path
        if not path.exists():
            if not reference.may_be_missing:
                raise _wrong(reference, f"there is no file {reference.text}")
            return
        allowed = self._allowed()
        for file in [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file()):
            if not any(file.resolve().is_relative_to(folder.resolve()) for folder in allowed):
                raise _wrong(reference, f"{reference.text}: {file} lies outside {allowed[0]}")
            if reference.is_document:
                self.add(file)
            else:
                self._take(file)
        if os.path.isabs(reference.text) or SCHEME.match(reference.text):
            raise _wrong(reference, f"{reference.text}: write the path relative to this document")

    def _allowed(self) -> list[Path]:
        """The folders whose files may be brought."""
        # With the home folder as root, one stray .cwl file would open everything.
        is_wide = Path(os.path.expanduser("~")).is_relative_to(self.root)
        found = [self.main.parent if is_wide else self.root]
        if stated := os.environ.get(TRUSTED):
            trusted = Path(os.path.abspath(stated))
            found += [trusted] if self.main.resolve().is_relative_to(trusted.resolve()) else []
        return found

    def _beside_defaults(self) -> Iterator[Reference]:
        """The files beside default Files that the parameters' `secondaryFiles` name."""
        types = self.types()
        for document, parsed in self.parsed.items():
            for node in mappings(parsed, set()):
                for path in _beside_default(node, document, types):
                    yield Reference(path, path.name, node, "default", document, may_be_missing=True)

    def _take(self, path: Path) -> None:
        if path in self.files:
            return
        whole = sum(map(len, self.files.values())) + path.stat().st_size
        if len(self.files) >= MAX_FILES or whole > MAX_BYTES:
            most = f"{MAX_FILES} files and {size(MAX_BYTES)}"
            raise TooLarge(f"{path}: documents may bring {most}; give large data as inputs")
        self.files[path] = path.read_bytes()

    def _names(self) -> dict[Path, str]:
        """The names in the submission, relative to a folder that has all files."""
        top = os.path.commonpath([self.root, *(path.parent for path in self.files)])
        return {path: path.relative_to(top).as_posix() for path in self.files}


def _beside_default(parameter: Mapping[str, Any], document: Path, types: Types) -> list[Path]:
    if "default" not in parameter or not parameter.get("type"):
        return []
    try:
        default = with_secondary(anchored(parameter["default"], document.parent), parameter, types)
    except RecursionError:
        return []  # A value that holds itself is no value: the server says so.
    files = (one for one in mappings(default, set()) if one.get("class") == "File")
    beside = [one for file in files for one in mappings(file.get("secondaryFiles"), set())]
    return [Path(one["path"]) for one in beside if isinstance(one.get("path"), str)]


def _references(parsed: Any, document: Path) -> Iterator[Reference]:
    """What a document refers to on this machine."""
    for node in mappings(parsed, set()):
        is_file = node.get("class") in FILE
        for key, value in list(node.items()):
            if key == SCHEMAS:
                yield from _schemas(node, value, document)
            elif isinstance(value, str) and _is_reference(node, key):
                name = value if is_file else value.partition("#")[0]
                if name and (path := local(name, document.parent)):
                    yield Reference(path, value, node, key, document, key in DOCUMENT, is_file)


def _schemas(node: Any, value: Any, document: Path) -> Iterator[Reference]:
    """Ontologies, which are read where formats are compared; cwltool does without those that are missing."""
    places = enumerate(value) if isinstance(value, list) else [(SCHEMAS, value)]
    for key, text in places:
        path = local(text, document.parent) if isinstance(text, str) and text else None
        if path and path.is_file():
            at = value if isinstance(value, list) else node
            yield Reference(path, text, at, key, document, may_be_missing=True)


def _is_reference(node: Mapping[str, Any], key: str) -> bool:
    # An input may be called `run` as well; only steps have `in` and `out` beside it.
    if key == "run":
        return "in" in node and "out" in node
    return key in (*DOCUMENT, "$include") or (key in ("location", "path") and node.get("class") in FILE)


def _wrong(reference: Reference, words: str) -> InvalidCwl:
    try:
        lc = reference.node.lc
        place = lc.value(reference.key) if isinstance(reference.node, dict) else lc.item(reference.key)
        line, column = (count + 1 for count in place)
    except (AttributeError, KeyError, TypeError):
        line = column = None
    where = {"file": os.path.relpath(reference.document), "line": line, "column": column}
    return InvalidCwl(words, [{"severity": "error", **where, "message": words}])
