"""One process of a workflow, run by cwltool in a child of the warm process; not for import by the pilot."""

import copy
import ctypes
import json
import logging
import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import py_mini_racer
from cwltool.context import RuntimeContext
from cwltool.errors import UnsupportedRequirement, WorkflowException
from cwltool.executors import SingleJobExecutor
from cwltool.job import ContainerCommandLineJob, JobBase
from cwltool.loghandler import _logger as cwltool_log
from cwltool.process import Process, _names
from schema_salad.exceptions import ValidationException

from diracx_tasks.core.errors import DiracXError, UnsupportedCwl
from diracx_tasks.cwl import copies, javascript
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.diagnostics import explain
from diracx_tasks.cwl.load import base_uri, load, process_at, walk
from diracx_tasks.cwl.phrases import said
from diracx_tasks.node import contained, program, work_dir
from diracx_tasks.node.container import ENGINES
from diracx_tasks.node.order import INPUTS, WORK_FOLDERS, Order, Result, visible

LOAD_SECONDS = 60
MAX_WORDS = 250
WARM_UP = b"cwlVersion: v1.2\nclass: ExpressionTool\ninputs: []\noutputs: []\nexpression: ${return {};}\n"
NO_ENGINE = (
    "the tool requires a container (DockerRequirement), "
    f"and this node has none of {', '.join(ENGINES)} that works"
)
# The inputs of processes as they are declared.
_SCHEMAS: WeakKeyDictionary[Process, Any] = WeakKeyDictionary()
# What cwltool puts before its words: where in a document, which job.
NOISE = re.compile(r"\S+:\d+:\d+:\s|^\[job [^]]*\]\s|^Job error:\s*")


@dataclass(frozen=True)
class Prepared:
    """What is done before the fork: the bundle and its process tree, or the error that loading ended with."""

    bundle: Bundle | None = None
    root: Process | None = None
    error: Exception | None = None


class Number(float):
    """A float of the job order, written on command lines without an exponent, as CWL wants it."""

    def __str__(self) -> str:
        """Digits only."""
        return format(Decimal(repr(float(self))), "f")


class Executor(SingleJobExecutor):
    """Runs a process whose inputs are complete, and remembers the exit code of the tool that failed."""

    exit_code: int | None = None

    def __init__(self, order: Order) -> None:
        super().__init__()
        self._order = order

    def run_jobs(
        self, process: Process, job_order_object: Any, logger: logging.Logger, runtime_context: RuntimeContext
    ) -> None:
        """As cwltool, without looking for secondary files: they came with the inputs (Toil does the same)."""
        runtime_context.toplevel = False
        for job in process.job(job_order_object, self.output_callback, runtime_context):
            if job is None:
                raise WorkflowException("Workflow cannot make any more progress.")
            if isinstance(job, JobBase):
                job.collect_outputs = partial(self._collect, job, job.collect_outputs)
            if isinstance(job, ContainerCommandLineJob):
                contained.adapt(job, self._order)
            job.run(runtime_context)
        # Outputs stay where they are until they have been uploaded.
        self.output_dirs.clear()

    def _collect(self, job: JobBase, collect: Any, outdir: str, code: int) -> Any:
        if code and code not in job.successCodes:
            self.exit_code = code
        return collect(outdir, code)


class Errors(logging.Handler):
    """Keeps what cwltool says in its log only: the last error, and that a time limit was exceeded."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        self.limit = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep its text."""
        text = words(record.getMessage())
        if "exceeded time limit" in text:
            self.limit = text
        elif record.levelno >= logging.ERROR:
            self.last = text


@lru_cache(1)
def _engine() -> javascript.V8Engine:
    return javascript.install()


def warm_up() -> None:
    """Do once what every payload needs: the JavaScript engine, the schemas of CWL."""
    _engine()
    copies.install()
    # V8's library is mapped, not initialised: that would start threads, and this process is to be forked.
    for library in Path(py_mini_racer.__file__).parent.glob("libmini_racer.*"):
        ctypes.CDLL(str(library))
    load(Bundle.of({"warm.cwl": WARM_UP}, "warm.cwl"))


def prepare(order: Order) -> Prepared:
    """The loaded documents of an order; an error is kept for the payload's result."""
    if order.program:
        return Prepared()
    try:
        with _limit(LOAD_SECONDS):
            return Prepared(*_loaded(order.entrypoint, Path(order.bundle_file), Path(order.bundle_folder)))
    except Exception as error:
        return Prepared(error=error)


def is_plain(order: Order, prepared: Prepared) -> bool:
    """Whether an order leaves nothing behind in its process that others would notice: no container."""
    if prepared.root is None or order.input_sandbox:
        return False
    try:
        return not (order.engine and contained.wants(process_at(prepared.root, order.path))[0])
    except (WorkflowException, ValidationException, DiracXError):
        # Its own process says what is wrong.
        return False


def run(order: Order, prepared: Prepared) -> bool:
    """Write the result of an order into its folder; whether it went well, so that another may follow."""
    if order.program:
        program.run(order)
        return False
    folder = Path(order.folder)
    # Nothing of an earlier payload: evaluated JavaScript, names that cwltool has used.
    _engine().renew()
    _names.clear()
    try:
        result = _run(order, prepared)
        result.write_to(folder)
    except Exception as error:
        result = _failure(error)
        result.write_to(folder)
    return result.is_success and not _engine().is_poisoned


def words(error: object) -> str:
    """One short line for a job's ApplicationStatus, without the places that cwltool puts before."""
    lines = (NOISE.sub("", line.strip()) for line in str(error).splitlines())
    return said(" ".join(lines)).words[:MAX_WORDS]


def _run(order: Order, prepared: Prepared) -> Result:
    if prepared.error:
        raise prepared.error
    assert prepared.bundle is not None and prepared.root is not None
    bundle_folder = Path(order.bundle_folder)
    shutil.rmtree(bundle_folder, ignore_errors=True)
    prepared.bundle.write_to(bundle_folder)
    process = process_at(prepared.root, order.path)
    is_wanted, is_required = contained.wants(process)
    if is_required and not order.engine:
        raise UnsupportedCwl(NO_ENGINE)
    if is_wanted:
        contained.prepare(order)
    os.environ.update(visible(order.gpus))
    inputs = json.loads((Path(order.folder) / INPUTS).read_text(), parse_float=Number)
    _forget_types(process)
    work_dir.put(process, inputs, order.input_sandbox)
    errors, executor = Errors(), Executor(order)
    cwltool_log.addHandler(errors)
    try:
        outputs, status = executor.execute(process, inputs, _context(order))
    finally:
        cwltool_log.removeHandler(errors)
    if status == "success":
        return Result(status, dict(outputs or {}))
    return Result(status, None, executor.exit_code, _reason(executor.exit_code, errors))


def _forget_types(process: Process) -> None:
    """Of inputs of type `Any` cwltool writes into the schema what they were; the next may differ."""
    for one in (process, *(step.embedded_tool for _, step in walk(process))):
        if one not in _SCHEMAS:
            _SCHEMAS[one] = copy.deepcopy(one.inputs_record_schema)
        one.inputs_record_schema = copy.deepcopy(_SCHEMAS[one])


def _context(order: Order) -> RuntimeContext:
    return RuntimeContext(
        {
            "basedir": order.folder,
            "tmpdir_prefix": f"{order.folder}/tmp-",
            "tmp_outdir_prefix": f"{order.folder}/{WORK_FOLDERS}",
            "cidfile_dir": order.folder,
            "name": order.name,
            "preserve_environment": list(visible(order.gpus)),
            **contained.settings(order.engine),
        }
    )


def _reason(code: int | None, errors: Errors) -> str:
    if code is None or errors.limit:
        return errors.limit or errors.last
    return f"exit code {code}" if code > 0 else f"ended by signal {-code}"


def _failure(error: Exception) -> Result:
    is_unsupported = isinstance(error, (UnsupportedRequirement, UnsupportedCwl))
    if not isinstance(error, (WorkflowException, ValidationException, DiracXError, TimeoutError)):
        cwltool_log.error("the payload failed", exc_info=error)
    return Result("permanentFail", None, None, words(error) or type(error).__name__, is_unsupported)


@lru_cache(maxsize=16)
def _loaded(entrypoint: str, bundle_file: Path, bundle_folder: Path) -> tuple[Bundle, Process]:
    # One folder for all payloads of a bundle, so that the loaded tree can be kept; filled anew for each.
    files = json.loads(bundle_file.read_text())["files"]
    bundle = Bundle.from_json({"files": files, "entrypoint": entrypoint})
    try:
        return bundle, load(bundle, folder=bundle_folder)
    except (WorkflowException, ValidationException) as error:
        raise explain(error, base_uri(bundle, bundle_folder), entrypoint) from error


@contextmanager
def _limit(seconds: int) -> Iterator[None]:
    def too_long(*_: object) -> None:
        raise TimeoutError(f"loading the documents took longer than {seconds} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
