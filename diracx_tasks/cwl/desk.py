"""Answers questions about CWL: `{"op", "hash", "bundle"?, "contents", "seconds", ...}`, one a line.

An answer is `{"ok": ...}`, `{"error": ...}`, `{"unread": [locations]}` or `{"unknown": hash}`; with `"last"`
the process must be replaced.
"""

import time
from collections import OrderedDict
from typing import IO, Any

from cwltool.errors import WorkflowException
from cwltool.process import Process
from schema_salad.exceptions import ValidationException

from diracx_tasks.core.errors import InvalidCwl, TooLarge
from diracx_tasks.cwl import check, javascript, lines
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.confine import MAX_CPU_SECONDS
from diracx_tasks.cwl.estimate import estimate
from diracx_tasks.cwl.evaluate import Evaluation
from diracx_tasks.cwl.graph import graph
from diracx_tasks.cwl.inputs import parsed
from diracx_tasks.cwl.load import base_uri
from diracx_tasks.cwl.mentions import mentions
from diracx_tasks.cwl.plan import Plan
from diracx_tasks.cwl.ports import ports
from diracx_tasks.cwl.starts import starts
from diracx_tasks.cwl.template import template

KEPT = 32
MAX_ANSWER = 400 << 20
MAX_WORDS = 300
OPERATIONS = ("start", "release", "expand", "restart", "repeat", "collect", "express")


class Desk:
    """Answers requests; keeps the documents that were asked about last."""

    def __init__(self, held: dict[str, bool] | None = None) -> None:
        self._held = held or {}
        self._engine = javascript.install()
        self._roots: OrderedDict[str, tuple[Bundle, Process]] = OrderedDict()
        self._is_out_of_memory = False

    @property
    def is_spent(self) -> bool:
        """Whether this process must be replaced."""
        is_poisoned = self._engine.is_poisoned or self._is_out_of_memory
        return is_poisoned or time.process_time() > MAX_CPU_SECONDS / 2

    def serve(self, questions: IO[bytes], answers: IO[bytes]) -> None:
        """Answer until there are no more questions."""
        for line in questions:
            answer = self.answer(lines.read(line.strip(b"\n")))
            if self.is_spent:
                answer["last"] = True
            written = lines.written(answer)
            if len(written) > MAX_ANSWER:
                written = lines.written(_refusal(f"the values have more than {MAX_ANSWER >> 20} MB as JSON"))
            answers.write(written + b"\n")
            answers.flush()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer, whatever happens: an unforeseen error is an answer too."""
        try:
            return self._answer(request)
        except (InvalidCwl, TooLarge) as error:
            return {"error": str(error), "class": type(error).__name__, **_detail(error)}
        except MemoryError:
            self._is_out_of_memory = True
            return _refusal("the document or its expressions need too much memory")
        except RecursionError:
            return _refusal("the document or one of its values is nested too deeply, or refers to itself")
        except Exception as error:
            return _refusal(f"this cannot be evaluated: {type(error).__name__}: {str(error)[:MAX_WORDS]}")

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["op"] == "held":
            return {"ok": self._held}
        key = request["hash"]
        if key not in self._roots and "bundle" not in request:
            return {"unknown": key}
        # Two users may run the same document: nothing of one may be left for the other.
        self._engine.renew(request["seconds"] / 2)
        bundle, root = self._known(key, request.get("bundle"))
        evaluation = Evaluation(bundle, request["contents"])
        try:
            found = _operate(request, bundle, root, evaluation)
        except Exception:
            # What went wrong may have gone wrong because a file seemed to be empty.
            if not evaluation.unread:
                raise
        return {"unread": evaluation.unread} if evaluation.unread else {"ok": found}

    def _known(self, key: str, sent: dict[str, Any] | None) -> tuple[Bundle, Process]:
        if key not in self._roots:
            bundle = Bundle.from_json(sent or {})
            self._roots[key] = bundle, check.loaded(bundle)
        self._roots.move_to_end(key)
        while len(self._roots) > KEPT:
            self._roots.popitem(last=False)
        return self._roots[key]


def _operate(request: dict[str, Any], bundle: Bundle, root: Process, evaluation: Evaluation) -> Any:
    if request["op"] == "check":
        return _check(request["inputs"], bundle, root, evaluation)
    if request["op"] == "template":
        return {"template": template(root, base_uri(bundle))}
    if request["op"] == "starts":
        return starts(root, bundle, evaluation, **request["arguments"])
    if request["op"] not in OPERATIONS:
        raise InvalidCwl(f"there is no operation {request['op']!r}")
    try:
        return getattr(Plan(root, evaluation), request["op"])(**request["arguments"])
    except (WorkflowException, ValidationException) as error:
        raise evaluation.explained(error) from error


def _check(inputs: Any, bundle: Bundle, root: Process, evaluation: Evaluation) -> dict[str, Any]:
    named = mentions(root, base_uri(bundle))
    if inputs is None:
        return {"graph": {**graph(root), **ports(root)}, "warnings": [], "mentions": named}
    given = parsed(inputs) if isinstance(inputs, str) else inputs
    found = check.checked(root, bundle, given, evaluation)
    return {**found, "mentions": named, "estimate": estimate(root, found["start"]["inputs"])}


def _refusal(words: str) -> dict[str, Any]:
    return {"error": words, "class": "InvalidCwl", "diagnostics": []}


def _detail(error: Exception) -> dict[str, Any]:
    return {"diagnostics": error.diagnostics if isinstance(error, InvalidCwl) else []}
