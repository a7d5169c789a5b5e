"""`diracx admin config`: checking, showing and changing the configuration."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from diracx_tasks.cli.groups import Group
from diracx_tasks.core.errors import NotFound

if TYPE_CHECKING:
    from diracx_tasks.core.config import Text
    from diracx_tasks.core.edit import Change

F = TypeVar("F", bound=Callable[..., Any])


@click.group("config", cls=Group)
def config() -> None:
    """Check, show and change the configuration: VOs, groups, users, operations.

    It is the one of DIRACX_CONFIG_BACKEND_URL: a file, or default.yml in a git repository.
    """


def source_option(command: F) -> F:
    """Add `--source`: another configuration than the environment's."""
    option = click.option("--source", help="A file or address.  [default: DIRACX_CONFIG_BACKEND_URL]")
    return option(command)


@config.command()
@click.argument("source", required=False)
def check(source: str | None) -> None:
    """Say everything that is wrong, each with file, line and path; exit code 1 when something is.

    SOURCE is a file, a folder with default.yml, an address such as git+file:///srv/config, or - for stdin.
    """
    _prepare()
    from diracx_tasks.core import document

    text = _stated(source)
    found, faults = document.check(text.text)
    for fault in faults:
        click.echo(fault.at(text.name, text.revision))
    if found is None:
        click.echo(f"{len(faults)} wrong", err=True)
        raise SystemExit(1)
    users = sum(len(vo.Users) for vo in found.Registry.values())
    place = f"{text.name} at {text.revision}" if text.revision else text.name
    click.echo(f"{place}: good; VOs: {', '.join(found.Registry) or 'none'}; users: {users}")


@config.command()
@click.option("--vo", help="Only what concerns this VO.")
@click.option("--path", default="", help="Only what stands there: Registry.lhcb.Groups.")
@click.option("--effective", is_flag=True, help="With every default filled in, as the API shows it.")
def show(vo: str | None, path: str, effective: bool) -> None:
    """Print what is in force as YAML."""
    _prepare()
    import yaml

    from diracx_tasks.core.config import in_force, problem
    from diracx_tasks.core.document import DEFAULTS, shown

    good = in_force().config
    if problem():
        click.echo(f"the newest is not in force: {problem()}", err=True)
    if vo and vo not in good.Registry:
        raise NotFound(f"there is no VO {vo}; there are: {', '.join(good.Registry) or 'none'}")
    if effective:
        found: Any = shown(good, frozenset((vo,)) if vo else None)
    else:
        found = good.model_dump(mode="json", exclude_unset=True)
        for section in ("Registry", "Operations") if vo else ():
            found[section] = {
                key: one for key, one in found.get(section, {}).items() if key in (vo, DEFAULTS)
            }
    found = at(found, path)
    is_leaf = not isinstance(found, dict | list)
    text = found if is_leaf else yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=120)
    click.echo(text, nl=is_leaf)


@config.command()
@click.argument("vo")
@click.option("--default-group", required=True, help="Group of users who ask for none; it is made.")
@click.option("--idp-url", help="Address (issuer) of the VO's OpenID Connect provider.")
@click.option("--idp-client-id", help="What this installation is called there.")
@source_option
def add_vo(
    vo: str, default_group: str, idp_url: str | None, idp_client_id: str | None, source: str | None
) -> None:
    """Add a VO with one group of normal users.

    Without a provider its users can only log in where DIRACX_LOGIN_PAGE is on.
    """
    from diracx_tasks.core import edit

    if bool(idp_url) != bool(idp_client_id):
        raise click.UsageError("--idp-url and --idp-client-id belong together")
    idp = {"URL": idp_url, "ClientID": idp_client_id} if idp_url and idp_client_id else None
    _apply(source, edit.add_vo(vo, default_group=default_group, idp=idp), f"Add the VO {vo}")


@config.command("add-group")
@click.argument("vo")
@click.argument("group")
@click.option("--property", "properties", multiple=True, required=True, help="What its members may do.")
@source_option
def add_group(vo: str, group: str, properties: tuple[str, ...], source: str | None) -> None:
    """Add a group to a VO; nobody is in it."""
    from diracx_tasks.core import edit

    words = f"Add the group {group} of {vo}: {', '.join(properties)}"
    _apply(source, edit.add_group(vo, group, properties=properties), words)


@config.command()
@click.argument("vo")
@click.argument("subject")
@click.argument("name")
@click.option("--group", "groups", multiple=True, help="A group to be in.  [default: the VO's DefaultGroup]")
@click.option("--email", help="Where to write to.")
@source_option
def add_user(
    *, vo: str, subject: str, name: str, groups: tuple[str, ...], email: str | None, source: str | None
) -> None:
    """Add a user to a VO.

    SUBJECT is what the VO's provider calls the user (`sub`), NAME what DIRAC does.
    """
    from diracx_tasks.core import edit

    change = edit.add_user(vo, subject, name, groups=groups, email=email)
    _apply(source, change, f"Add the user {name} of {vo}")


def at(found: Any, path: str) -> Any:
    """What stands at a path; names may have dots in them, the longest that fits is meant."""
    rest, before = path, ""
    while rest:
        names = list(found) if isinstance(found, Mapping) else []
        fitting = [name for name in names if rest == name or rest.startswith(f"{name}.")]
        if not fitting:
            here = f"{before or 'the configuration'} has {', '.join(map(str, names)) or 'nothing below it'}"
            raise NotFound(f"there is no {path}; {here}")
        name = max(fitting, key=len)
        found, rest = found[name], rest[len(name) + 1 :]
        before = f"{before}.{name}".lstrip(".")
    return found


def _prepare() -> None:
    from diracx_tasks.cli.environment import embedded_environment
    from diracx_tasks.core.plugins import load_tasks

    embedded_environment()
    # Extensions bring sections and properties.
    load_tasks()


def _stated(source: str | None) -> "Text":
    from datetime import UTC, datetime

    from diracx_tasks.core.config import FILE, Text, newest

    if source == "-":
        return Text("", sys.stdin.read(), "stdin", "", datetime.now(UTC))
    url = _url(source)
    is_folder = "://" not in url and Path(url).is_dir()
    return newest(str(Path(url) / FILE) if is_folder else url)


def _url(source: str | None) -> str:
    from diracx_tasks.core.settings import settings

    url = source or settings().config_backend_url
    if not url:
        raise click.UsageError("no configuration is named, and DIRACX_CONFIG_BACKEND_URL is not set")
    return url


def _apply(source: str | None, change: "Change", message: str) -> None:
    _prepare()
    from diracx_tasks.core import edit

    click.echo(f"{message}: {edit.apply(_url(source), change, message)}")
