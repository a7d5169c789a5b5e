"""Many inputs of one process, each of which becomes a job: checked with the document loaded once."""

from collections.abc import Iterable, Sequence
from typing import Any

from cwltool.process import Process, shortname

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl import check, hints
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.evaluate import Evaluation
from diracx_tasks.cwl.graph import kind_of
from diracx_tasks.cwl.inputs import parsed

Values = dict[str, Any]
ELSEWHERE = (
    "Submit it as a workflow (`diracx workflows submit`, POST /api/workflows), "
    "or write `dirac:Job: {}` under its `hints`: it is one job then."
)


def starts(
    root: Process,
    bundle: Bundle,
    evaluation: Evaluation,
    *,
    inputs: Sequence[Values | str],
    over: Values | None = None,
    first: int = 0,
    total: int = 1,
) -> Values:
    """`{"name", "facts", "added", "jobs": [{"inputs", "requirements"}]}`: a job for each input object.

    `over` is `{"name", "start", "stop", "step"}`: a job of the only input object for each value of that
    input. `first` and `total` say which of all input objects these are. `added` as in `check.checked`.
    Raises InvalidCwl, which names the one that is wrong.
    """
    if kind_of(root) == "workflow":
        words = "the steps of this workflow are jobs of their own: it is not one job"
        raise InvalidCwl(words, [_complaint(words, ELSEWHERE)])
    jobs, added = [], []
    for place, given in enumerate(_rows(root, inputs, over), first + 1):
        try:
            found = _started(root, bundle, evaluation, given)
        except InvalidCwl as error:
            if total == 1:
                raise
            raise _named(error, place) from error
        jobs.append(found["job"])
        added.append(found["added"])
    if any(one != added[0] for one in added):
        words = "`cwl:requirements` and `cwltool:overrides` must be the same for all jobs of a submission"
        raise InvalidCwl(words, [_complaint(words, "Submit those with others apart.")])
    facts = hints.job_facts(root)
    return {"name": _name(root), "facts": facts, "added": added[0] if added else {}, "jobs": jobs}


def _started(root: Process, bundle: Bundle, evaluation: Evaluation, given: Values | str) -> Values:
    values = parsed(given) if isinstance(given, str) else given
    found = check.checked(root, bundle, values, evaluation)
    inputs, record = found["start"]["inputs"], found["start"].get("requirements")
    if record is None:
        record = hints.requirements(root, evaluation.inward(inputs), evaluation.context())
    return {"job": {"inputs": inputs, "requirements": record}, "added": found["added"]}


def _rows(root: Process, inputs: Sequence[Values | str], over: Values | None) -> Iterable[Values | str]:
    if over is None:
        return inputs
    name, (given,) = over["name"], inputs
    known = [shortname(one["id"]) for one in root.tool["inputs"]]
    if name not in known:
        words = f"range: there is no input {name[:80]!r}, only {', '.join(known)[:200] or 'none'}"
        raise InvalidCwl(words, [_complaint(words, "Write NAME=START:STOP with the name of an input.")])
    fixed = parsed(given) if isinstance(given, str) else given
    return ({**fixed, name: value} for value in range(over["start"], over["stop"], over["step"]))


def _name(root: Process) -> str:
    return str(root.tool.get("label") or shortname(root.tool.get("id", "")) or "")


def _named(error: InvalidCwl, place: int) -> InvalidCwl:
    told = [{**one, "message": f"inputs {place}: {one['message']}"} for one in error.diagnostics]
    return type(error)(f"inputs {place}: {error}", told)


def _complaint(words: str, advice: str) -> Values:
    place = {"severity": "error", "file": None, "line": None, "column": None}
    return {**place, "message": words, "advice": advice}
