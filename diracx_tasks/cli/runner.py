"""`diracx-cwl-runner`: runs one workflow on a server and prints its outputs, as `cwltool` does."""

import json
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from diracx_tasks.cli.arguments import document_argument, input_option, inputs_argument
from diracx_tasks.cli.complaints import PLACES, complaints, headline, one_line
from diracx_tasks.cli.failures import of_files
from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import ApiError, DiracXError, InvalidCwl, Unreachable

# What `cwltest` and other programs take for "this runner lacks a feature".
UNSUPPORTED = 33
FAILED = 1
INTERRUPTED = 130
# The beginning of what a node says of a tool that needs what the node lacks.
MARK = "unsupported: "
FINAL = ("Done", "Failed", "Killed")
# Between two questions, in seconds; a server that is away is asked for so long.
SHORTEST = 0.1
LONGEST = 1.0
PATIENCE = 300.0


class Interrupts:
    """SIGINT and SIGTERM become KeyboardInterrupt; but while `is_held`, the first one waits."""

    def __init__(self) -> None:
        self.is_held = False
        self._is_wanted = False

    def __call__(self, *_: object) -> None:
        """What the signals do."""
        is_first, self._is_wanted = not self._is_wanted, True
        if not (is_first and self.is_held):
            raise KeyboardInterrupt

    def release(self) -> None:
        """Hold no more; raises the one that had to wait."""
        self.is_held = False
        if self._is_wanted:
            raise KeyboardInterrupt


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@document_argument
@inputs_argument
@input_option
@click.option(
    "--outdir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Put the outputs' files there.  [default: here]",
)
@click.option("--no-reuse", "is_new", is_flag=True, help="Run every tool, also those with a known result.")
@click.option("--quiet", is_flag=True, help="Say nothing but the outputs and what went wrong.")
@click.version_option(package_name="diracx-celery", prog_name="diracx-cwl-runner")
@click.pass_context
def main(
    ctx: click.Context,
    *,
    document: str,
    inputs: Path | None,
    given: tuple[str, ...],
    outdir: Path,
    is_new: bool,
    quiet: bool,
) -> None:
    """Run a CWL document on the server that `diracx` uses, and wait.

    The outputs are printed as a JSON object, their files are downloaded. Interrupting it kills the workflow.

    \b
    Exit codes: 0 done, 1 failed, 33 the document needs what is not supported, 130 interrupted.
    """
    try:
        outputs = run(document, inputs, given, outdir, is_new=is_new, quiet=quiet)
    except DiracXError as error:
        click.echo(f"diracx-cwl-runner: {headline(error)}", err=True)
        for complaint in complaints(error, ctx.meta.get(PLACES, {})):
            click.echo(complaint, err=True)
        ctx.exit(UNSUPPORTED if _is_unsupported(error) else FAILED)
    except OSError as error:
        if not (words := of_files(error)):
            raise
        click.echo(f"diracx-cwl-runner: {one_line(words)}", err=True)
        ctx.exit(FAILED)
    except KeyboardInterrupt:
        ctx.exit(INTERRUPTED)
    click.echo(json.dumps(outputs, indent=4, ensure_ascii=False))


def run(
    document: str, inputs: Path | None, given: tuple[str, ...], outdir: Path, *, is_new: bool, quiet: bool
) -> Any:
    """The outputs of a workflow that was submitted and has ended, with local paths.

    With `is_new` no result of earlier jobs is taken.
    Raises InvalidCwl, ApiError, and DiracXError when the workflow has failed; KeyboardInterrupt, also for
    SIGTERM, once the workflow is killed.
    """
    from diracx_tasks.cli.inputs import read_submission
    from diracx_tasks.cli.workflows import download_outputs, post_workflow

    say = _silence if quiet else _say
    with _interrupts() as interrupts:
        client = Client.from_environment()
        body = {**read_submission(client, document, inputs, given), **({"reuse": False} if is_new else {})}
        # A workflow whose number has not come yet could not be killed.
        interrupts.is_held = True
        workflow_id = int(post_workflow(client, body, uuid.uuid4().hex)["workflow_id"])
        with _killed_when_interrupted(client, workflow_id):
            interrupts.release()
            say(f"workflow {workflow_id} was submitted")
            found = _end_of(client, workflow_id)
        say(f"workflow {workflow_id} is {found['status']}")
        if found["status"] != "Done":
            reason = found["reason"] or "no reason is known"
            raise DiracXError(f"workflow {workflow_id} is {found['status']}: {reason}")
        return download_outputs(client, workflow_id, outdir)


def _end_of(client: Client, workflow_id: int) -> dict[str, Any]:
    """The workflow, once it is final."""
    delay, answered_at = SHORTEST, time.monotonic()
    while True:
        try:
            found: dict[str, Any] = client.get(f"/api/workflows/{workflow_id}")
        except Unreachable:
            if time.monotonic() > answered_at + PATIENCE:
                raise
        else:
            answered_at = time.monotonic()
            if found["status"] in FINAL:
                return found
        time.sleep(delay)
        delay = min(delay * 1.3, LONGEST)


@contextmanager
def _killed_when_interrupted(client: Client, workflow_id: int) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        client.post(f"/api/workflows/{workflow_id}/kill")
        _say(f"workflow {workflow_id} is being killed")
        raise


@contextmanager
def _interrupts() -> Iterator[Interrupts]:
    stop = Interrupts()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_unsupported(error: DiracXError) -> bool:
    """Whether it is about a feature: found by the check, or by a node."""
    if isinstance(error, (InvalidCwl, ApiError)):
        return error.exit_code == UNSUPPORTED
    return MARK in str(error)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _silence(words: str) -> None:
    """Nothing."""


if __name__ == "__main__":
    main()
