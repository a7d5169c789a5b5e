"""Evaluation of a document's expressions: step inputs, `when`, ExpressionTools; and the border around it."""

from collections.abc import Mapping
from typing import Any

from cwl_utils import expression
from cwltool.builder import content_limit_respected_read
from cwltool.context import RuntimeContext
from cwltool.errors import WorkflowException
from cwltool.process import Process, shortname
from cwltool.stdfsaccess import StdFsAccess
from cwltool.utils import adjustDirObjs, aslist, get_listing, normalizeFilesDirs
from cwltool.workflow import WorkflowStep

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl.access import BundleAccess, Files
from diracx_tasks.cwl.arrays import Held, key_of, looked_into, opened
from diracx_tasks.cwl.builder import built
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.diagnostics import explain
from diracx_tasks.cwl.load import base_uri
from diracx_tasks.cwl.places import Places
from diracx_tasks.cwl.values import to_external, to_internal

Values = dict[str, Any]
# Names only: cwltool would make folders for a tool that is not run here.
FOLDERS = {"outdir": "/cwl/out", "tmpdir": "/cwl/tmp", "stagedir": "/cwl/stage"}


class Evaluation:
    """Evaluates with the files of one bundle and the contents of stored files that were given."""

    def __init__(self, bundle: Bundle, contents: dict[str, Any]) -> None:
        self.bundle = bundle
        self._contents = contents
        self._unread_arrays: list[str] = []
        self._base = base_uri(bundle)
        self._places = Places(bundle)
        self._contexts: dict[bool, RuntimeContext] = {}
        self._access = BundleAccess(Files(bundle, self._base), contents)

    @property
    def unread(self) -> list[str]:
        """What was read without its contents, files and arrays: nothing evaluated so far counts then."""
        return sorted({*self._access.unread, *self._unread_arrays})

    def inward(self, values: Values) -> Values:
        """Values from the database as cwltool takes them."""
        found: Values = to_internal(values, self._base, self._held)
        return found

    def from_user(self, values: Values) -> Values:
        """The same of values that a user has sent."""
        found: Values = to_internal(values, self._base)
        return found

    def _held(self, reference: Mapping[str, Any]) -> Held:
        elements = self._contents.get(key_of(reference))
        given = None if elements is None else to_internal(elements, self._base, self._held)
        return Held(reference, self._unread_arrays.append, given)

    def outward(self, values: Values) -> Values:
        """Values of cwltool as they are stored."""
        found: Values = to_external(values, self._base)
        return found

    def explained(self, error: Exception) -> InvalidCwl:
        """An error of an evaluation, at its place in the documents."""
        return explain(error, self._base, self.bundle.entrypoint, self._places)

    def words(self, error: Exception) -> str:
        """What an error says, in one line, with its place if that is known."""
        found = self.explained(error)
        first = found.diagnostics[0] if found.diagnostics else None
        if first is None or first["line"]:
            return str(found)
        return str(first["message"])

    def context(self, *, toplevel: bool = False) -> RuntimeContext:
        """cwltool's runtime context without containers, folders or a network."""
        if toplevel not in self._contexts:
            self._contexts[toplevel] = self._context(toplevel=toplevel)
        return self._contexts[toplevel]

    def _context(self, *, toplevel: bool) -> RuntimeContext:
        def access(basedir: str) -> StdFsAccess:
            return self._access

        return RuntimeContext(
            {
                "make_fs_access": access,
                "use_container": False,
                "toplevel": toplevel,
                "basedir": self._base,
                **FOLDERS,
            }
        )

    def step_inputs(self, parent: Process, step: WorkflowStep, given: Values) -> Values | None:
        """The inputs after loadContents and valueFrom, or None when `when` says to skip.

        The same as cwltool's `postScatterEval`, which is a closure inside `WorkflowJob.try_make_job`.
        """
        value_from = {inp["id"]: inp["valueFrom"] for inp in step.tool["inputs"] if "valueFrom" in inp}
        self._load_contents(step, given)
        plain = {shortname(key): value for key, value in given.items()}
        chosen = dict(given)
        for key, text in value_from.items():
            this = given.get(key)
            if isinstance(this, Held):
                this = this.read() if "self" in str(text) else None
            chosen[key] = self.value(text, plain, parent.requirements, this)
        return chosen if self.is_wanted(step, chosen, parent.requirements) else None

    def is_wanted(self, step: WorkflowStep, given: Values, requirements: Any) -> bool:
        """What `when` says of the inputs of a step; True without it."""
        if "when" not in step.tool:
            return True
        named = {shortname(key): value for key, value in given.items()}
        wanted = self.value(step.tool["when"], named, requirements)
        if not isinstance(wanted, bool):
            raise WorkflowException(f"`when` of step {shortname(step.id)} gave {wanted!r}, not true or false")
        return wanted

    def express(self, tool: Process, inputs: Values) -> Values:
        """The outputs of an ExpressionTool.

        The same as cwltool's `ExpressionJob.run`, which only logs what went wrong.
        """
        builder = built(tool, opened(self.inward(inputs)), self.context())
        normalizeFilesDirs(builder.job)
        outputs: Any = builder.do_eval(tool.tool["expression"])
        if not isinstance(outputs, dict):
            raise WorkflowException("the expression did not give an object")
        normalizeFilesDirs(outputs)
        for parameter in tool.tool["outputs"]:
            name = shortname(parameter["id"])
            if name not in outputs and "null" not in aslist(parameter["type"]):
                raise WorkflowException(f"the expression gave no {name!r}")
        return self.outward(outputs)

    def value(self, text: Any, inputs: Values, requirements: Any, this: Any = None) -> Any:
        """The value of an expression; `this` is its `self`, whose folders are listed."""
        adjustDirObjs(this, lambda folder: get_listing(self._access, folder, recursive=True))
        timeout, inputs = self.context().eval_timeout, looked_into(text, inputs, _library(requirements))
        return expression.do_eval(text, inputs, requirements, None, None, {}, context=this, timeout=timeout)

    def _load_contents(self, step: WorkflowStep, given: Values) -> None:
        for parameter in step.tool["inputs"]:
            if not parameter.get("loadContents"):
                continue
            if isinstance(array := given.get(parameter["id"]), Held):
                # What is read into the files is not in the stored array.
                given[parameter["id"]] = array.read()
            for file in aslist(given.get(parameter["id"]) or []):
                if file.get("contents") is None:
                    with self._access.open(file["location"], "rb") as stream:
                        file["contents"] = content_limit_respected_read(stream)


def _library(requirements: Any) -> str:
    """The functions that expressions may call."""
    asked = (one.get("expressionLib", ()) for one in requirements if "expressionLib" in one)
    return "\n".join(str(text) for texts in asked for text in texts)
