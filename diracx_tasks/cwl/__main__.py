"""The isolate: a process without credentials that answers questions about CWL, one a line, on its pipes.

`python -m diracx_tasks.cwl` reads requests `{"op", "hash", "bundle"?, "contents", ...}` and writes answers
`{"ok": ...}`, `{"error": ...}`, `{"unread": [locations]}` or `{"unknown": hash}`. Its parent kills it when an
answer is late (`workflows/isolate.py`).
"""

import json
import logging
import os
import resource
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from cwltool.errors import WorkflowException
from cwltool.process import Process
from schema_salad.exceptions import ValidationException

from diracx_tasks.core.errors import InvalidCwl, TooLarge
from diracx_tasks.cwl import check, diagnostics, javascript
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.evaluate import Evaluation
from diracx_tasks.cwl.load import Unread, base_uri
from diracx_tasks.cwl.plan import Plan

KEPT = 32
MAX_FILES = 64


class Desk:
    """Answers requests; keeps the documents that were asked about last."""

    def __init__(self) -> None:
        self._engine = javascript.install()
        self._roots: OrderedDict[str, tuple[Bundle, Process]] = OrderedDict()

    @property
    def is_poisoned(self) -> bool:
        """Whether this process must be replaced."""
        return self._engine.is_poisoned

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer, whatever happens: an unforeseen error is an answer too."""
        try:
            return self._answer(request)
        except Unread as unread:
            return {"unread": unread.locations}
        except (InvalidCwl, TooLarge) as error:
            return {"error": str(error), "class": type(error).__name__, **_detail(error)}
        except Exception as error:
            words = str(error) or type(error).__name__
            return {"error": words, "class": "InvalidCwl", "diagnostics": []}

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        key = request["hash"]
        if key not in self._roots and "bundle" not in request:
            return {"unknown": key}
        self._engine.belong_to(key)
        bundle, root = self._known(key, request.get("bundle"))
        if request["op"] == "check":
            inputs = request["inputs"]
            given = check.parsed_inputs(inputs) if isinstance(inputs, str) else inputs
            return {"ok": check.checked(root, bundle, given, request["contents"])}
        plan = Plan(root, Evaluation(bundle, request["contents"]))
        operation: Callable[..., Any] = getattr(plan, request["op"])
        try:
            return {"ok": operation(**request["arguments"])}
        except (WorkflowException, ValidationException) as error:
            raise diagnostics.explain(error, base_uri(bundle), bundle.entrypoint) from error

    def _known(self, key: str, sent: dict[str, Any] | None) -> tuple[Bundle, Process]:
        if key not in self._roots:
            bundle = Bundle.from_json(sent or {})
            self._roots[key] = bundle, check.loaded(bundle)
        self._roots.move_to_end(key)
        while len(self._roots) > KEPT:
            self._roots.popitem(last=False)
        return self._roots[key]


def _detail(error: Exception) -> dict[str, Any]:
    return {"diagnostics": error.diagnostics if isinstance(error, InvalidCwl) else []}


def main() -> None:
    """Serve until the pipe closes or the process is spoilt."""
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_FILES, MAX_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Whatever cwltool prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    desk = Desk()
    for line in sys.stdin:
        answers.write(json.dumps(desk.answer(json.loads(line)), default=str) + "\n")
        answers.flush()
        if desk.is_poisoned:
            os._exit(3)


if __name__ == "__main__":
    main()
