"""JavaScript of CWL expressions in a V8 isolate: no file system, no network, a time and a memory limit."""

import json
import re
import time
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

import orjson
from cwl_utils import expression
from cwl_utils.errors import JavascriptException
from cwl_utils.sandboxjs import NodeJSEngine, set_js_engine
from cwl_utils.types import CWLOutputType
from py_mini_racer import JSEvalException, JSOOMException, JSTimeoutException
from schema_salad.utils import json_dumps

from diracx_tasks.cwl.v8 import Context

MAX_SECONDS = 10.0
# What each expression gives back of the time that those of one question may take.
EACH_SECONDS = 0.02
MAX_MEMORY = 256 << 20
MAX_RESULT = 32_000_000
# Text of functions that is kept between expressions.
MAX_KEPT = 16 << 20
MAX_SCANNED = 4096
SCANNER = expression.scanner
SHOWN = 200
PLACE = re.compile(r"^\S+:\d+: ")
# What it needs is taken before any expression can change it.
PRELUDE = """const cwl_functions = [], cwl_call = ((parse, stringify) => (number, text) =>
stringify(cwl_functions[number].call(globalThis, text && parse(text))))(JSON.parse, JSON.stringify);"""
ROOTS = "var inputs = arguments[0].inputs, self = arguments[0].self, runtime = arguments[0].runtime;"


class Head(str):
    """What cwl-utils writes before each expression: the library and the variables, kept apart here."""

    library: str
    variables: Mapping[str, Any]

    @cached_property
    def json(self) -> str:
        """The variables; written once for all expressions of a text."""
        try:
            return orjson.dumps(self.variables, default=_number).decode()
        except TypeError:
            return str(json_dumps(self.variables))


def head(library: list[str], variables: Mapping[str, Any]) -> Head:
    """In the place of `cwl_utils.expression.jshead`, whose text V8 would compile anew for each slot."""
    found = Head()
    found.library, found.variables = "\n".join(library), variables
    return found


class V8Engine(NodeJSEngine):
    """Evaluates in V8; parameter references stay with cwl-utils (`regex_eval`).

    Each expression has its own library scope. Globals and built-ins live until `renew`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._context: Context | None = None
        self._functions: dict[tuple[str, str], int] = {}
        self._kept = 0
        self._most = self._left = MAX_SECONDS
        self.is_poisoned = False

    def renew(self, seconds: float = MAX_SECONDS) -> None:
        """Start afresh: what was evaluated so far may have changed built-ins, or kept what it was given.

        A single expression may then take `seconds`.
        """
        self._forget()
        self._most = self._left = min(seconds, MAX_SECONDS)

    def eval(
        self, scan: str, jslib: str = "", timeout: float = MAX_SECONDS, *_: Any, **__: Any
    ) -> CWLOutputType:
        """The value of one expression; JavascriptException says what went wrong."""
        shown = f"${scan[:SHOWN]}" if scan.startswith(("{", "(")) else f"$({scan[:SHOWN]})"
        seconds = min(timeout, self._left)
        started = time.monotonic()
        try:
            found = self._call(scan, jslib, seconds)
        except JSTimeoutException as error:
            self._forget()
            words = f"the expression ran longer than {seconds:.2g} s: {shown}"
            raise JavascriptException(words) from error
        except JSOOMException as error:
            # An isolate that ran out of memory can hang at exit (mini-racer 0.14): the process must go.
            self.is_poisoned = True
            words = f"the expression used more than {MAX_MEMORY >> 20} MB: {shown}"
            raise JavascriptException(words) from error
        except JSEvalException as error:
            first = str(error).partition("\n")[0]
            raise JavascriptException(f"{PLACE.sub('', first)} in {shown}") from error
        finally:
            self._left = min(self._most, max(0.0, self._left - (time.monotonic() - started)) + EACH_SECONDS)
        if found is not None and len(found) > MAX_RESULT:
            most = f"more than {MAX_RESULT // 10**6} MB"
            raise JavascriptException(f"the expression gave {len(found) // 10**6} MB, {most}: {shown}")
        try:
            value: CWLOutputType = json.loads(found) if found is not None else None  # type: ignore[assignment]
        except RecursionError as error:
            raise JavascriptException(f"the value is nested too deeply: {shown}") from error
        return value

    def _call(self, scan: str, jslib: str, seconds: float) -> str | None:
        if self._context is None:
            self._context = Context(MAX_MEMORY)
            self._context.run(PRELUDE, MAX_SECONDS)
        number = self._function(self._context, scan, jslib, seconds)
        text = f", {orjson.dumps(jslib.json).decode()}" if isinstance(jslib, Head) else ""
        return self._context.run(f"cwl_call({number}{text})", seconds)

    def _function(self, context: Context, scan: str, jslib: str, seconds: float) -> int:
        """The number of the function that the expression is: library, variables and expression in it."""
        library, roots = (jslib.library, ROOTS) if isinstance(jslib, Head) else (jslib, "")
        if (known := self._functions.get((library, scan))) is not None:
            return known
        # One function around library and expression: a second `const` of the same name is no error.
        # Libraries look for the global object in `this`.
        body = scan if scan.startswith("{") else f"{{return ({scan});}}"
        code = f'(function(){{"use strict";{library}\n{roots}\nreturn (function(){body})()}})'
        if self._kept > MAX_KEPT:
            context.run("cwl_functions.length = 0", seconds)
            self._functions, self._kept = {}, 0
        number = len(self._functions)
        context.run(f"cwl_functions[{number}] = {code};", seconds)
        self._functions[library, scan] = number
        self._kept += len(code)
        return number

    def _forget(self) -> None:
        if self._context is not None:
            self._context.close()
        self._context, self._functions, self._kept = None, {}, 0


def install() -> V8Engine:
    """Make V8 the JavaScript engine of cwl-utils and cwltool in this process."""
    engine = V8Engine()
    set_js_engine(engine)
    setattr(expression, "jshead", head)  # noqa: B010 - mypy: the types differ
    setattr(expression, "scanner", scanner)  # noqa: B010
    return engine


def scanner(text: str) -> tuple[int, int] | None:
    """In the place of `cwl_utils.expression.scanner`, which reads a text again for each slot."""
    return _short(text) if len(text) <= MAX_SCANNED else SCANNER(text)


@lru_cache(1024)
def _short(text: str) -> tuple[int, int] | None:
    return SCANNER(text)


def _number(value: object) -> float:
    """The numbers of YAML readers, which orjson does not know."""
    if isinstance(value, float):
        return float(value)
    raise TypeError
