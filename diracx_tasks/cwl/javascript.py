"""JavaScript of CWL expressions in a V8 isolate: no file system, no network, a time and a memory limit."""

import json
import re
from typing import Any

from cwl_utils.errors import JavascriptException
from cwl_utils.sandboxjs import NodeJSEngine, set_js_engine
from cwl_utils.types import CWLOutputType
from py_mini_racer import JSEvalException, JSOOMException, JSTimeoutException, MiniRacer

MAX_SECONDS = 10.0
SHOWN = 200
PLACE = re.compile(r"^\S+:\d+: ")
MAX_MEMORY = 256 * 1024 * 1024


class V8Engine(NodeJSEngine):
    """Evaluates in mini-racer; parameter references stay with cwl-utils (`regex_eval`)."""

    def __init__(self) -> None:
        super().__init__()
        self._isolate: MiniRacer | None = None
        self._spent: list[MiniRacer] = []
        self.is_poisoned = False

    def renew(self) -> None:
        """Start afresh: what was evaluated so far may have changed built-ins, or kept what it was given."""
        self._isolate = None
        self._spent.clear()

    def eval(
        self, scan: str, jslib: str = "", timeout: float = MAX_SECONDS, *_: Any, **__: Any
    ) -> CWLOutputType:
        """The value of one expression; JavascriptException says what went wrong."""
        # One function around library and expression: a second `const` of the same name is no error.
        body = scan if scan.startswith("{") else f"{{return ({scan});}}"
        inner = f'"use strict";{jslib}\nreturn (function(){body})()'
        shown = f"${scan[:SHOWN]}" if scan.startswith(("{", "(")) else f"$({scan[:SHOWN]})"
        # Libraries look for the global object in `this`.
        code = f"JSON.stringify((function(){{{inner}}}).call(globalThis))"
        found = self._run(code, min(timeout, MAX_SECONDS), shown)
        try:
            value: CWLOutputType = json.loads(found) if isinstance(found, str) else None  # type: ignore[assignment]
        except RecursionError as error:
            raise JavascriptException(f"the value is nested too deeply: {shown}") from error
        return value

    def _run(self, code: str, seconds: float, shown: str) -> object:
        if self._isolate is None:
            self._isolate = MiniRacer()
        try:
            return self._isolate.eval(code, timeout_sec=seconds, max_memory=MAX_MEMORY)
        except JSTimeoutException as error:
            # Not dropped at once: mini-racer still gets the news that it was stopped.
            self._spent.append(self._isolate)
            self._isolate = None
            raise JavascriptException(f"the expression ran longer than {seconds:g} s: {shown}") from error
        except JSOOMException as error:
            # An isolate that ran out of memory can hang at exit (mini-racer 0.14): the process must go.
            self.is_poisoned = True
            words = f"the expression used more than {MAX_MEMORY >> 20} MB: {shown}"
            raise JavascriptException(words) from error
        except JSEvalException as error:
            first = str(error).partition("\n")[0]
            raise JavascriptException(f"{PLACE.sub('', first)} in {shown}") from error


def install() -> V8Engine:
    """Make V8 the JavaScript engine of cwl-utils and cwltool in this process."""
    engine = V8Engine()
    set_js_engine(engine)
    return engine
