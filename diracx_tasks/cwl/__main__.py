"""The isolate: a process without credentials that answers questions about CWL, one a line, on its pipes.

`python -m diracx_tasks.cwl` reads requests `{"op", "hash", "bundle"?, "contents", ...}` and writes answers
`{"ok": ...}`, `{"error": ...}`, `{"unread": [locations]}` or `{"unknown": hash}`. Its parent kills it when an
answer is late (`workflows/isolate.py`).
"""

import json
import logging
import os
import signal
import sys
from collections import OrderedDict
from typing import Any, NoReturn

from cwltool.errors import WorkflowException
from cwltool.process import Process
from schema_salad.exceptions import ValidationException

from diracx_tasks.core.errors import InvalidCwl, TooLarge
from diracx_tasks.cwl import check, javascript
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.confine import confine
from diracx_tasks.cwl.evaluate import Evaluation
from diracx_tasks.cwl.graph import graph
from diracx_tasks.cwl.inputs import parsed
from diracx_tasks.cwl.plan import Plan
from diracx_tasks.cwl.starts import starts

KEPT = 32
# Later than any deadline of a parent: only an orphan lives to see it.
ALARM_SECONDS = 300
MAX_ANSWER = 400 << 20
MAX_WORDS = 300
OPERATIONS = ("start", "release", "expand", "restart", "repeat", "collect", "express")


class Desk:
    """Answers requests; keeps the documents that were asked about last."""

    def __init__(self) -> None:
        self._engine = javascript.install()
        self._roots: OrderedDict[str, tuple[Bundle, Process]] = OrderedDict()
        self._is_out_of_memory = False

    @property
    def is_poisoned(self) -> bool:
        """Whether this process must be replaced."""
        return self._engine.is_poisoned or self._is_out_of_memory

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
        key = request["hash"]
        if key not in self._roots and "bundle" not in request:
            return {"unknown": key}
        # Two users may run the same document: nothing of one may be left for the other.
        self._engine.renew()
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
        inputs = request["inputs"]
        if inputs is None:
            return {"graph": graph(root), "warnings": []}
        given = parsed(inputs) if isinstance(inputs, str) else inputs
        return check.checked(root, bundle, given, evaluation)
    if request["op"] == "starts":
        return starts(root, bundle, evaluation, **request["arguments"])
    if request["op"] not in OPERATIONS:
        raise InvalidCwl(f"there is no operation {request['op']!r}")
    try:
        return getattr(Plan(root, evaluation), request["op"])(**request["arguments"])
    except (WorkflowException, ValidationException) as error:
        raise evaluation.explained(error) from error


def _refusal(words: str) -> dict[str, Any]:
    return {"error": words, "class": "InvalidCwl", "diagnostics": []}


def _detail(error: Exception) -> dict[str, Any]:
    return {"diagnostics": error.diagnostics if isinstance(error, InvalidCwl) else []}


def _start_over(answers: int) -> NoReturn:
    """Become a new process with the same pipes: an exit would meet the parent's next request."""
    os.dup2(answers, 1)
    os.execv(sys.executable, [sys.executable, "-m", "diracx_tasks.cwl"])


def main() -> None:
    """Serve until the pipe closes."""
    logging.disable(logging.CRITICAL)
    # Whatever cwltool prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    confine()
    desk = Desk()
    for line in sys.stdin:
        signal.alarm(ALARM_SECONDS)
        answer = json.dumps(desk.answer(json.loads(line)), default=str)
        if len(answer) > MAX_ANSWER:
            answer = json.dumps(_refusal(f"the values have more than {MAX_ANSWER >> 20} MB as JSON"))
        answers.write(answer + "\n")
        answers.flush()
        signal.alarm(0)
        if desk.is_poisoned:
            _start_over(answers.fileno())


if __name__ == "__main__":
    main()
