"""`diracx pilots pack`: the pilot as one file, also for other Pythons than the server's."""

import sys
from importlib import import_module
from pathlib import Path

import click

DEFAULT_PLATFORM = "manylinux_2_28_x86_64"


@click.command()
@click.option(
    "--output",
    "-o",
    "to",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("diracx-pilot.pyz"),
    show_default=True,
    help="Where to write it.",
)
@click.option(
    "--python", "pythons", multiple=True, help="Another Python of nodes, such as 3.12; may be repeated."
)
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    help=f"What the nodes of those Pythons are, as wheels name it [default: {DEFAULT_PLATFORM}].",
)
def pack(to: Path, pythons: tuple[str, ...], platforms: tuple[str, ...]) -> None:
    """Make the pilot's one file, for this Python and for others; DIRACX_PILOT_FILE has a server use it.

    For this Python no network is needed. Wheels for others come from a package index, with pip.
    """
    # Servers' modules, by name: the users' commands do not load them.
    package = import_module("diracx_tasks.pilots.package")
    if platforms and not pythons:
        pythons = (f"{sys.version_info[0]}.{sys.version_info[1]}",)
    wanted = [
        package.Target(python, platform)
        for python in pythons
        for platform in platforms or (DEFAULT_PLATFORM,)
    ]
    digest = package.build(to.absolute(), wanted)
    click.echo(f"{digest}  {to}")
    click.echo(f"{to.stat().st_size / 1e6:.0f} MB for {', '.join(package.runs_on(to))}", err=True)
