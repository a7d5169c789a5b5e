"""Evaluation of a document's expressions: step inputs, `when`, ExpressionTools; and the border around it."""

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

    def __init__(self, bundle: Bundle, contents: dict[str, str]) -> None:
        self._bundle = bundle
        self._base = base_uri(bundle)
        self._places = Places(bundle)
        self._access = BundleAccess(Files(bundle, self._base), contents)

    @property
    def unread(self) -> list[str]:
        """Stored files that were read without their contents: nothing evaluated so far counts then."""
        return sorted(set(self._access.unread))

    def inward(self, values: Values) -> Values:
        """Values from outside as cwltool takes them."""
        found: Values = to_internal(values, self._base)
        return found

    def outward(self, values: Values) -> Values:
        """Values of cwltool as they are stored."""
        found: Values = to_external(values, self._base)
        return found

    def explained(self, error: Exception) -> InvalidCwl:
        """An error of an evaluation, at its place in the documents."""
        return explain(error, self._base, self._bundle.entrypoint, self._places)

    def words(self, error: Exception) -> str:
        """What an error says, in one line, with its place if that is known."""
        found = self.explained(error)
        first = found.diagnostics[0] if found.diagnostics else None
        if first is None or first["line"]:
            return str(found)
        return str(first["message"])

    def context(self, *, toplevel: bool = False) -> RuntimeContext:
        """cwltool's runtime context without containers, folders or a network."""

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
            adjustDirObjs(given.get(key), lambda folder: get_listing(self._access, folder, recursive=True))
            chosen[key] = self._value(text, plain, parent, given.get(key))
        if "when" in step.tool:
            wanted = self._value(step.tool["when"], {shortname(k): v for k, v in chosen.items()}, parent)
            if not isinstance(wanted, bool):
                raise WorkflowException(
                    f"`when` of step {shortname(step.id)} gave {wanted!r}, not true or false"
                )
            if not wanted:
                return None
        return chosen

    def express(self, tool: Process, inputs: Values) -> Values:
        """The outputs of an ExpressionTool.

        The same as cwltool's `ExpressionJob.run`, which only logs what went wrong.
        """
        builder = tool._init_job(self.inward(inputs), self.context())
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

    def _value(self, text: Any, inputs: Values, parent: Process, this: Any = None) -> Any:
        return expression.do_eval(
            text,
            inputs,
            parent.requirements,
            None,
            None,
            {},
            context=this,
            timeout=self.context().eval_timeout,
        )

    def _load_contents(self, step: WorkflowStep, given: Values) -> None:
        for parameter in step.tool["inputs"]:
            if not parameter.get("loadContents"):
                continue
            for file in aslist(given.get(parameter["id"]) or []):
                if file.get("contents") is None:
                    with self._access.open(file["location"], "rb") as stream:
                        file["contents"] = content_limit_respected_read(stream)
