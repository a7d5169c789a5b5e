"""Indexes of the stand-in for OpenSearch: mappings, coercion, versions, and what a search sees when.

A test double. What it imitates, and where that is said: dynamic mapping and coercion in the documentation
(docs.opensearch.org/latest/mappings, .../mapping-parameters/coerce), the words of mapper_parsing_exception
in OpenMetadata #14811, Graylog2 #15171 and OpenSearch #14911, the limit of fields in OpenSearch's
MappingLookup.checkFieldLimit (search-relevance #71), conditions on `if_seq_no` in UpdateRequest.validate.
"""

import copy
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

FIELD_LIMIT = 1000
TERM_BYTES = 32_766
LONG = range(-(2**63), 2**63)
DATE = re.compile(r"\d{4}(-\d{2}(-\d{2}(T\d{2}(:\d{2}(:\d{2}([.,]\d{1,9})?)?)?(Z|[+-]\d{2}:?\d{2})?)?)?)?")
NAMES = re.compile(r"[^A-Z\\/*?\"<>| ,#:]+")
METADATA = ("_id", "_index", "_source", "_routing", "_field_names", "_version", "_seq_no")
TERM = 1


class Failure(Exception):
    """An answer with an error."""

    def __init__(self, status: int, kind: str, reason: str, cause: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.error: dict[str, Any] = {"type": kind, "reason": reason}
        if cause:
            self.error["caused_by"] = cause

    def body(self) -> dict[str, Any]:
        """The whole answer."""
        return {"error": {"root_cause": [self.error], **self.error}, "status": self.status}


def argument(reason: str) -> dict[str, str]:
    """A cause as OpenSearch gives it."""
    return {"type": "illegal_argument_exception", "reason": reason}


def check_index_name(name: str) -> None:
    """Refuse what cannot be an index's name."""
    is_good = NAMES.fullmatch(name) and not name.startswith(("_", "-", "+")) and len(name.encode()) <= 255
    if not is_good or name in (".", ".."):
        raise Failure(400, "invalid_index_name_exception", f"Invalid index name [{name}]")


@dataclass
class Stored:
    """A document and its version."""

    source: dict[str, Any]
    version: int
    number: int


@dataclass
class Index:
    """One index: `fields` by path, `documents` as they are, `visible` as a search sees them."""

    name: str
    fields: dict[str, str] = field(default_factory=dict)
    documents: dict[str, Stored] = field(default_factory=dict)
    visible: dict[str, Stored] = field(default_factory=dict)
    numbers: int = 0

    def refresh(self) -> None:
        """Show searches what has been written."""
        self.visible = copy.deepcopy(self.documents)

    def write(self, key: str, source: dict[str, Any]) -> dict[str, Any]:
        """Store a whole document if the mapping takes it."""
        fields = dict(self.fields)
        for path, value in _flat(source, ""):
            _map(fields, path, value, key)
        # Texts have a second field for exact matches, unless the template says otherwise.
        count = sum(2 if kind == "text+keyword" else 1 for kind in fields.values())
        if count > FIELD_LIMIT and fields != self.fields:
            reason = f"Limit of total fields [{FIELD_LIMIT}] has been exceeded"
            raise Failure(400, "illegal_argument_exception", reason)
        before = self.documents.get(key)
        self.fields = fields
        self.documents[key] = Stored(copy.deepcopy(source), before.version + 1 if before else 1, self.numbers)
        self.numbers += 1
        return self.told(key, "updated" if before else "created")

    def create(self, key: str, source: dict[str, Any]) -> dict[str, Any]:
        """Store a document that is not there yet."""
        if before := self.documents.get(key):
            raise conflict(key, f"document already exists (current version [{before.version}])")
        return self.write(key, source)

    def update(self, key: str, body: dict[str, Any], condition: dict[str, Any]) -> dict[str, Any]:
        """Merge a part into a document, or make it of what is to be inserted."""
        before = self.documents.get(key)
        if before is None:
            new = body.get("doc") if body.get("doc_as_upsert") else body.get("upsert")
            if new is None:
                raise Failure(404, "document_missing_exception", f"[{key}]: document missing")
            return self.write(key, dict(new))
        self.check(key, condition)
        merged = _merged(before.source, dict(body.get("doc") or {}))
        if merged == before.source and body.get("detect_noop", True):
            return self.told(key, "noop")
        return self.write(key, merged)

    def delete(self, key: str, condition: dict[str, Any]) -> dict[str, Any]:
        """Remove a document; 404 when it is not there."""
        self.check(key, condition)
        number, self.numbers = self.numbers, self.numbers + 1
        found = self.documents.pop(key, None)
        status, result = (200, "deleted") if found else (404, "not_found")
        return self._told(key, result, (found.version if found else 0) + 1, number) | {"status": status}

    def check(self, key: str, condition: dict[str, Any]) -> None:
        """Refuse a write whose condition does not hold."""
        if "if_seq_no" not in condition:
            return
        wanted = (int(condition["if_seq_no"]), int(condition["if_primary_term"]))
        now = self.documents.get(key)
        if now is None or wanted != (now.number, TERM):
            is_at = f"seqNo [{now.number}]" if now else "no document"
            raise conflict(key, f"required seqNo [{wanted[0]}], primary term [{wanted[1]}]. but {is_at}")

    def told(self, key: str, result: str) -> dict[str, Any]:
        """What is answered to a write."""
        now = self.documents[key]
        status = 201 if result == "created" else 200
        return self._told(key, result, now.version, now.number) | {"status": status}

    def _told(self, key: str, result: str, version: int, number: int) -> dict[str, Any]:
        where = {"_index": self.name, "_id": key, "_version": version}
        return {**where, "result": result, "_seq_no": number, "_primary_term": TERM}


def conflict(key: str, reason: str) -> Failure:
    """The answer to a write that comes too late."""
    return Failure(409, "version_conflict_engine_exception", f"[{key}]: version conflict, {reason}")


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    found = dict(old)
    for name, value in new.items():
        before = found.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            found[name] = _merged(before, value)
        else:
            found[name] = value
    return found


def _flat(source: dict[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for name, value in source.items():
        if not above and name in METADATA:
            reason = f"Field [{name}] is a metadata field and cannot be added inside a document."
            raise Failure(400, "mapper_parsing_exception", reason)
        if not name.strip() or any(not part.strip() for part in name.split(".")):
            reason = f"object field starting or ending with a [.] makes object resolution ambiguous: [{name}]"
            raise Failure(400, "mapper_parsing_exception", "failed to parse", argument(reason))
        yield f"{above}{name}", value
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                yield from _flat(one, f"{above}{name}.")


def _map(fields: dict[str, str], path: str, value: Any, key: str) -> None:
    parents = path.split(".")[:-1]
    for depth in range(1, len(parents) + 1):
        parent = ".".join(parents[:depth])
        if fields.setdefault(parent, "object") != "object":
            reason = f"Could not dynamically add mapping for field [{path}]. Existing mapping for [{parent}] "
            reason += f"must be of type object but found [{fields[parent]}]."
            raise Failure(400, "mapper_parsing_exception", reason)
    for one in _scalars(value):
        kind = fields.setdefault(path, _kind_of(one))
        if (cause := _trouble(kind, path, one)) is None:
            continue
        if kind == "object":
            reason = f"object mapping for [{path}] tried to parse field [{path}] as object, "
            reason += "but found a concrete value"
            raise Failure(400, "mapper_parsing_exception", reason)
        if cause.startswith("Document contains"):
            raise Failure(400, "illegal_argument_exception", cause)
        name = kind.partition("+")[0]
        reason = f"failed to parse field [{path}] of type [{name}] in document with id '{key}'. "
        raise Failure(
            400, "mapper_parsing_exception", f"{reason}Preview of field's value: '{one}'", argument(cause)
        )


def _scalars(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for one in value:
            yield from _scalars(one)
    elif value is not None:
        yield value


def _kind_of(value: Any) -> str:
    """The type that a new field gets from its first value."""
    if isinstance(value, dict):
        return "object"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "long"
    if isinstance(value, float):
        return "float"
    return "date" if _is_date(value) and not value.isdigit() else "text+keyword"


def _is_date(text: str) -> bool:
    if not DATE.fullmatch(text):
        return False
    try:
        date(int(text[:4]), int(text[5:7] or 1), int(text[8:10] or 1))
    except ValueError:
        return False
    return True


def _trouble(kind: str, path: str, value: Any) -> str | None:
    """Why a field of this type does not take a value; None when it does."""
    if isinstance(value, dict) or kind == "object":
        return None if isinstance(value, dict) and kind == "object" else "Can't get text on a START_OBJECT"
    if kind in ("long", "float"):
        return _number_trouble(kind, value)
    if kind == "boolean" and value not in (True, False, "true", "false", ""):
        return f"Failed to parse value [{value}] as only [true] or [false] are allowed."
    if kind == "date" and (isinstance(value, bool) or not _is_moment(value)):
        return f"failed to parse date field [{value}] with format [strict_date_optional_time||epoch_millis]"
    if kind == "keyword" and len(str(value).encode()) > TERM_BYTES:
        return f'Document contains at least one immense term in field="{path}"'
    return None


def _is_moment(value: Any) -> bool:
    return isinstance(value, int | float) or bool(re.fullmatch(r"-?\d+", value)) or _is_date(value)


def _number_trouble(kind: str, value: Any) -> str | None:
    if isinstance(value, bool):
        return f"Current token (VALUE_{str(value).upper()}) not numeric, can not use numeric value accessors"
    if value == "":
        return None
    try:
        number = float(value)
    except ValueError:
        return f'For input string: "{value}"'
    if not math.isfinite(number):
        return f"[{kind}] supports only finite values, but got [{value}]"
    if kind == "long" and int(number) not in LONG:
        return f"Value [{value}] is out of range for a long"
    return None
