"""The entities of an RO-Crate, above all those of values: files by their locations, others as properties."""

import hashlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

PARAMETER = "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"
# CWL's types in schema.org's words.
TYPES = {
    **{"File": "File", "Directory": "Dataset", "string": "Text", "boolean": "Boolean"},
    **{"int": "Integer", "long": "Integer", "float": "Float", "double": "Float"},
}
# What a location may hold besides letters and digits.
SAFE = "/:+=@,~-._"
Entity = dict[str, Any]


class Entities:
    """Entities by their ids.

    `data` are the ids of files, `literals` the contents of those without a place, by their names.
    """

    def __init__(self) -> None:
        self.by_id: dict[str, Entity] = {}
        self.data: list[str] = []
        self.literals: dict[str, bytes] = {}

    def put(self, key: str, kind: str | list[str], **facts: Any) -> Entity:
        """An entity; facts that are None or empty texts are left out."""
        known = {name: fact for name, fact in facts.items() if fact not in (None, "")}
        entity = self.by_id[key] = {"@id": key, "@type": kind, **known}
        return entity

    def parameter(self, side: str, name: str, kind: str) -> str:
        """The id of an input or output parameter, of a CWL type as people write it."""
        key = f"#{side}/{quoted(name)}"
        plain = kind.removesuffix("?").replace("[]", "")
        self.put(
            key,
            "FormalParameter",
            conformsTo=to(PARAMETER),
            name=name,
            additionalType=TYPES.get(plain, "PropertyValue"),
            valueRequired=str(not kind.endswith("?")),
            multipleValues="True" if "[]" in kind else None,
        )
        return key

    def values(self, place: str, values: dict[str, Any], side: str = "") -> Iterator[Entity]:
        """References to the entities of values; with `side`, as examples of the workflow's parameters."""
        for name, value in values.items():
            parameter = to(f"#{side}/{quoted(name)}") if side else None
            files = list(_files(value))
            if files:
                yield from (to(self.file(one, parameter)) for one in files)
            elif value is not None:
                key = f"{place}/{quoted(name)}"
                self.put(key, "PropertyValue", name=name, value=_text(value), exampleOfWork=parameter)
                yield to(key)

    def file(self, file: Entity, parameter: Entity | None) -> str:
        """The id of a file, which is one entity however often it is used."""
        key = self._id_of(file)
        if key not in self.by_id:
            facts = {"contentSize": str(file["size"]) if "size" in file else None, "sha1": _sha1(file)}
            facts |= {"encodingFormat": file.get("format"), "identifier": file.get("location")}
            self.put(key, "File", name=str(file.get("basename") or key), **facts)
            self.data.append(key)
        if parameter:
            works = self.by_id[key].setdefault("exampleOfWork", [])
            works += [] if parameter in works else [parameter]
        return key

    def _id_of(self, file: Entity) -> str:
        location = str(file.get("location") or "_:")
        if not location.startswith("_:"):
            return quoted(location.removeprefix("bundle:"))
        content = str(file.get("contents") or "").encode()
        basename = str(file.get("basename") or "file").replace("/", "_")
        name = f"literals/{hashlib.sha256(content).hexdigest()[:16]}-{basename}"
        self.literals[name] = content
        return quoted(name)


def to(key: str) -> Entity:
    """A reference to an entity."""
    return {"@id": key}


def kind_of(value: Any) -> str:
    """The CWL type that a value looks like."""
    if isinstance(value, list):
        return f"{kind_of(value[0]) if value else 'Any'}[]"
    if isinstance(value, dict):
        return str(value.get("class", "record"))
    words = {bool: "boolean", int: "int", float: "double", str: "string"}
    return words.get(type(value), "Any")


def quoted(name: str) -> str:
    """A name as it stands in ids."""
    return quote(name, safe=SAFE)


def _files(value: Any) -> Iterator[Entity]:
    """All files of a value, those of folders and secondary ones too."""
    if isinstance(value, list):
        for one in value:
            yield from _files(one)
    elif isinstance(value, dict):
        if value.get("class") == "File":
            yield value
        for one in value.values():
            if isinstance(one, list | dict):
                yield from _files(one)


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(one) for one in value]
    return str(value) if isinstance(value, bool | dict) else value


def _sha1(file: Entity) -> str | None:
    kind, _, digest = str(file.get("checksum") or "").partition("$")
    return digest if kind == "sha1" else None
