"""`diracx jobs sandbox`: what a job has kept together, unpacked into a folder."""

import tempfile
from pathlib import Path

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.arguments import job_argument
from diracx_tasks.core.errors import BadRequest, NotFound

ARCHIVES = (".tar", ".tar.bz2", ".tar.gz", ".tar.xz", ".tar.zst", ".tgz")


@click.command()
@job_argument
@click.option("--input", "of_input", is_flag=True, help="The input sandbox instead of the output sandbox.")
@click.option("--outdir", type=click.Path(path_type=Path), help="A folder that is not there yet.  [job-ID]")
def sandbox(job_id: int, *, of_input: bool, outdir: Path | None) -> None:
    """Fetch a job's output sandbox and unpack it.

    Links and devices in it are left out, and archives that would become very large are refused.
    """
    from diracx_tasks.core.unpack import unpack

    kind, folder = "input" if of_input else "output", outdir or Path(f"job-{job_id}")
    if folder.exists():
        raise BadRequest(f"{folder} is there already: choose another --outdir")
    client = output.connect()
    pfns = [pfn for pfn in client.get(f"/api/jobs/{job_id}/sandbox/{kind}") if pfn.endswith(ARCHIVES)]
    if not pfns:
        raise NotFound(f"job {job_id} has no {kind} sandbox")
    for number, pfn in enumerate(pfns, 1):
        # Several become folders beside each other: their files may have the same names.
        target = folder if len(pfns) == 1 else folder / str(number)
        with tempfile.TemporaryDirectory() as made:
            archive = Path(made) / pfn.rpartition("/")[2]
            client.download(client.get("/api/jobs/sandbox", pfn=f"SB:SandboxSE|{pfn}")["url"], archive)
            found = unpack(archive, target)
        for path in found.files:
            click.echo(path)
        for name in found.left_out:
            click.echo(f"left out, because it is no file: {name}", err=True)
