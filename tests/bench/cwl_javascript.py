"""JavaScript of CWL expressions, evaluations a second: V8 in the process as here, node as cwltool has it."""

import shutil
import time
from collections.abc import Callable
from typing import Any

from cwl_utils import expression, sandboxjs
from cwl_utils.sandboxjs import JSEngine, NodeJSEngine

from diracx_tasks.cwl import javascript

SECONDS = 2.0
# As cwl-utils has it, before ours is put into its place.
JSHEAD = expression.jshead
LIBRARY = "function double(x) { return 2 * x; }"
REQUIREMENTS: list[Any] = [{"class": "InlineJavascriptRequirement", "expressionLib": [LIBRARY]}]
FILE = {"class": "File", "location": "sandbox:/S3/store/vo/group/owner/sha256:00.file", "basename": "x"}
EXPRESSIONS = {
    "a sum": "$(self * 2 + inputs.number)",
    "a function of the library": "${return double(inputs.number);}",
    "a name of two parts": "part_$(self + 1)_of_$(inputs.number * 2).txt",
    "a parameter reference": "$(inputs.file.basename)",
}


def rate(text: str, seconds: float = SECONDS) -> float:
    """Evaluations of a text a second, each with other inputs, by the engine in force."""
    inputs: dict[str, Any] = {"number": 0, "file": FILE, "weights": [0.5] * 5}
    _evaluate(text, inputs, 0)
    count, started = 0, time.perf_counter()
    while (took := time.perf_counter() - started) < seconds:
        for _ in range(20):
            count += 1
            inputs["number"] = count
            _evaluate(text, inputs, count)
    return count / took


def main() -> None:
    """Print both engines' rates in one table."""
    engines: dict[str, Callable[[], JSEngine]] = {"ours": javascript.install}
    if shutil.which("node") or shutil.which("nodejs"):
        engines["cwltool's node"] = _node
    print(f"{'expressions evaluated a second':32}" + "".join(f"{name:>18}" for name in engines))
    for words, text in EXPRESSIONS.items():
        rates = []
        for install in engines.values():
            sandboxjs.set_js_engine(install())
            rates.append(rate(text))
        print(f"{words:32}" + "".join(f"{one:>18,.0f}" for one in rates), flush=True)


def _node() -> JSEngine:
    setattr(expression, "jshead", JSHEAD)  # noqa: B010 - mypy: the module does not export it
    setattr(expression, "scanner", javascript.SCANNER)  # noqa: B010
    return NodeJSEngine()


def _evaluate(text: str, inputs: dict[str, Any], this: int) -> Any:
    return expression.do_eval(text, inputs, REQUIREMENTS, None, None, {}, context=this, timeout=20)


if __name__ == "__main__":
    main()
