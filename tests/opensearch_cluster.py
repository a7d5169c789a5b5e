"""What the stand-in for OpenSearch answers: documents, bulks, searches, templates, and faults on demand.

Imitated besides what `tests.opensearch_indexes` names: a missing index within `_mget` (OpenSearch #4903),
full queues (429 and rejected_execution_exception, indexing back-pressure in the documentation), a full disk
(cluster_block_exception), visibility by refresh, index templates and automatic creation of indexes
(docs.opensearch.org/latest: api-reference, im-plugin), refusals of whole bulks (UpdateRequest.validate).
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

from tests.opensearch_indexes import TERM, Failure, Index, Stored, argument, check_index_name

Answer = tuple[int, Any]


@dataclass
class Faults:
    """What is wrong with the server now."""

    delay: float = 0.0
    # Every request is answered with this.
    status: int = 0
    # Connections end without an answer: before the request is carried out, or after it.
    drops: bool = False
    drops_after: bool = False
    # So many items of `_bulk` are turned away.
    rejects: int = 0
    # Of documents whose index has this in its name, each write is turned away.
    blocked: str = ""
    longest_body: int = 100_000_000


@dataclass
class Cluster:
    """Indexes and templates, and what the API answers."""

    indexes: dict[str, Index] = field(default_factory=dict)
    templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        """Carry out one request."""
        parts = [unquote(part) for part in path.strip("/").split("/") if part]
        last = next((part for part in parts if part.startswith("_")), "")
        known: dict[str, Callable[[str, list[str], bytes], Answer]] = {
            "": self._whole,
            "_index_template": self._template,
            "_bulk": self._bulk,
            "_mget": self._mget,
            "_search": self._search,
            "_refresh": self._refresh,
            "_mapping": self._mapping,
            "_doc": self._document,
            "_update": self._update,
        }
        if last not in known:
            raise Failure(400, "illegal_argument_exception", f"no handler found for uri [{path}]")
        with self.lock:
            found = known[last](method, parts, body)
            if query.get("refresh") in ("true", "wait_for"):
                self._refresh(method, [], b"")
        return found

    def _whole(self, method: str, parts: list[str], body: bytes) -> Answer:
        if not parts:
            version = {"distribution": "opensearch", "number": "2.19.0"}
            return 200, {"name": "stand-in", "version": version, "tagline": "The OpenSearch Project"}
        if method == "DELETE":
            for name in [name for name in self.indexes if fnmatchcase(name, parts[0])]:
                del self.indexes[name]
            return 200, {"acknowledged": True}
        self._index(parts[0])
        return 200, {}

    def _template(self, method: str, parts: list[str], body: bytes) -> Answer:
        name = parts[1]
        if method == "PUT":
            self.templates[name] = json.loads(body)
            return 200, {"acknowledged": True}
        if name not in self.templates:
            raise Failure(404, "resource_not_found_exception", f"index template matching [{name}] not found")
        if method == "DELETE":
            del self.templates[name]
            return 200, {"acknowledged": True}
        return 200, {"index_templates": [{"name": name, "index_template": self.templates[name]}]}

    def _index(self, name: str, *, make: bool = False) -> Index:
        if name not in self.indexes:
            if not make:
                raise Failure(404, "index_not_found_exception", f"no such index [{name}]")
            check_index_name(name)
            self.indexes[name] = Index(name, self._mapped(name))
        return self.indexes[name]

    def _mapped(self, name: str) -> dict[str, str]:
        """The fields that templates give a new index."""
        for template in sorted(self.templates.values(), key=lambda one: -one.get("priority", 0)):
            if any(fnmatchcase(name, pattern) for pattern in template["index_patterns"]):
                mappings = template.get("template", {}).get("mappings", {})
                return {path: one["type"] for path, one in mappings.get("properties", {}).items()}
        return {}

    def _bulk(self, method: str, parts: list[str], body: bytes) -> Answer:
        if not body.endswith(b"\n"):
            raise Failure(
                400, "illegal_argument_exception", "The bulk request must be terminated by a newline"
            )
        lines = iter([json.loads(line) for line in body.splitlines() if line])
        items = []
        for line in lines:
            ((action, target),) = line.items()
            items.append((action, target, {} if action == "delete" else next(lines)))
        for action, target, content in items:
            _validate(action, target, content)
        answers = [self._item(*item) for item in items]
        errors = any("error" in next(iter(one.values())) for one in answers)
        return 200, {"took": 1, "errors": errors, "items": answers}

    def _item(self, action: str, target: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
        name, key = target["_index"], str(target["_id"])
        try:
            self._turn_away(name)
            found = self._write(action, name, key, content, target)
        except Failure as failure:
            found = {"_index": name, "_id": key, "status": failure.status, "error": failure.error}
        return {action: found}

    def _turn_away(self, name: str) -> None:
        if self.faults.rejects:
            self.faults.rejects -= 1
            reason = "rejected execution of primary operation [coordinating_and_primary_bytes=1]"
            raise Failure(429, "rejected_execution_exception", reason)
        if self.faults.blocked and self.faults.blocked in name:
            reason = f"index [{name}] blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];"
            raise Failure(403, "cluster_block_exception", reason)

    def _write(
        self, action: str, name: str, key: str, content: dict[str, Any], condition: dict[str, Any]
    ) -> dict[str, Any]:
        index = self._index(name, make=action != "delete")
        if action == "delete":
            return index.delete(key, condition)
        if action == "update":
            return index.update(key, content, condition)
        if action == "create":
            return index.create(key, content)
        index.check(key, condition)
        return index.write(key, content)

    def _document(self, method: str, parts: list[str], body: bytes) -> Answer:
        name, _, key = parts
        if method in ("PUT", "POST", "DELETE"):
            action = "delete" if method == "DELETE" else "index"
            found = self._write(action, name, key, json.loads(body or b"{}"), {})
            return found["status"], found
        found = _shown(self._index(name), key, self._index(name).documents.get(key), source=True)
        return (200 if found["found"] else 404), found

    def _update(self, method: str, parts: list[str], body: bytes) -> Answer:
        name, _, key = parts
        found = self._write("update", name, key, json.loads(body), {})
        return found["status"], found

    def _mget(self, method: str, parts: list[str], body: bytes) -> Answer:
        answers = []
        for one in json.loads(body)["docs"]:
            name, key = one["_index"], str(one["_id"])
            try:
                index = self._index(name)
            except Failure as failure:
                answers.append({"_index": name, "_id": key, "error": failure.body()["error"]})
            else:
                answers.append(_shown(index, key, index.documents.get(key), one.get("_source", True)))
        return 200, {"docs": answers}

    def _search(self, method: str, parts: list[str], body: bytes) -> Answer:
        wanted = json.loads(body or b"{}").get("query", {"match_all": {}})
        pattern = parts[0] if len(parts) > 1 else "*"
        chosen = [one for name, one in sorted(self.indexes.items()) if fnmatchcase(name, pattern)]
        if not chosen and "*" not in pattern:
            self._index(pattern)
        hits = [
            _shown(index, key, one, source=True)
            for index in chosen
            for key, one in index.visible.items()
            if _matches(wanted, key, one.source)
        ]
        return 200, {"hits": {"total": {"value": len(hits), "relation": "eq"}, "hits": hits}}

    def _refresh(self, method: str, parts: list[str], body: bytes) -> Answer:
        for name, index in self.indexes.items():
            if len(parts) < 2 or fnmatchcase(name, parts[0]):
                index.refresh()
        return 200, {"_shards": {"failed": 0}}

    def _mapping(self, method: str, parts: list[str], body: bytes) -> Answer:
        fields = self._index(parts[0]).fields
        properties = {path: {"type": kind.partition("+")[0]} for path, kind in fields.items()}
        return 200, {parts[0]: {"mappings": {"properties": properties}}}


def _validate(action: str, target: dict[str, Any], content: dict[str, Any]) -> None:
    """Refuse a whole request, as OpenSearch does, for what one of its actions can never be."""
    if action != "update" or "if_seq_no" not in target:
        return
    words = {"can not be retried": target.get("retry_on_conflict"), "can not be used with upsert": None}
    words["can not be used with upsert"] = content.get("doc_as_upsert")
    for reason in [reason for reason, is_wrong in words.items() if is_wrong]:
        whole = f"Validation Failed: 1: compare and write operations {reason};"
        raise Failure(400, "action_request_validation_exception", whole)


def _shown(index: Index, key: str, found: Stored | None, source: bool) -> dict[str, Any]:
    where = {"_index": index.name, "_id": key}
    if found is None:
        return {**where, "found": False}
    shown = {"found": True, "_version": found.version, "_seq_no": found.number, "_primary_term": TERM}
    return {**where, **shown, **({"_source": found.source} if source else {})}


def _matches(wanted: dict[str, Any], key: str, source: dict[str, Any]) -> bool:
    ((kind, what),) = wanted.items()
    if kind == "match_all":
        return True
    if kind == "ids":
        return key in map(str, what["values"])
    if kind == "terms":
        ((name, values),) = what.items()
        return source.get(name) in values
    raise Failure(400, "parsing_exception", f"unknown query [{kind}]", argument(kind))
