"""`diracx login`, `whoami`, `logout`: a login on this device, in the official clients' file."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import click

from diracx_tasks.cli.failures import INTERRUPTED
from diracx_tasks.cli.known import known_groups, known_vos
from diracx_tasks.cli.output import TABLE, connect, console, output_option, show_one
from diracx_tasks.cli.progress import waiting
from diracx_tasks.cli.tables import Row, facts
from diracx_tasks.core import credentials
from diracx_tasks.core.client import Client, known_server
from diracx_tasks.core.credentials import CLIENT_ID, Refused
from diracx_tasks.core.errors import BadRequest, LoginNeeded, Unreachable

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


@click.command()
@click.argument("vo", required=False, shell_complete=known_vos)
@click.option(
    "--group", help="One of your groups.  [default: the VO's default group]", shell_complete=known_groups
)
@click.option(
    "--property", "properties", multiple=True, help="A property beside the group's; may be repeated."
)
@click.option("--no-browser", is_flag=True, help="Only show the address.")
def login(vo: str | None, group: str | None, properties: tuple[str, ...], no_browser: bool) -> None:
    """Log in to a VO, in the browser that opens here, or in any browser on any machine.

    No browser is opened over ssh, without a display, and in a script; BROWSER says which one is.
    """
    url = known_server()[0]
    scope = [f"vo:{_chosen(url, vo)}", *([f"group:{group}"] if group else [])]
    scope += [f"property:{one}" for one in properties]
    query = urlencode({"client_id": CLIENT_ID, "scope": " ".join(scope)})
    codes = credentials.ask(f"{url}/api/auth/device?{query}", {})
    address = codes["verification_uri_complete"]
    is_opened = not no_browser and _open(address)
    verb = "Your browser opens" if is_opened else "Open "
    click.echo(f"{verb} {address}\nand compare the code: {codes['user_code']}", err=True)
    file = credentials.write(url, _wait(url, codes))
    # Whatever the file says: this is what was just logged in.
    me = Client(url, credentials.Login(url)).get("/api/auth/userinfo")
    click.echo(
        f"{me['preferred_username']} is logged in to {me['vo']} as {me['dirac_group']}; kept in {file}"
    )


@click.command()
@output_option
def whoami(form: str) -> None:
    """Say who you are to the server: VO, group and properties of your token."""
    found = connect().get("/api/auth/userinfo")
    if form == TABLE:
        console().print(facts(_facts(found)))
    else:
        show_one(found, form, key="sub")


@click.command()
def logout() -> None:
    """End the login, here and at the server."""
    kept = credentials.read()
    if not kept:
        click.echo("nobody is logged in")
        return
    try:
        url = known_server()[0] if not kept.get("url") else kept["url"].rstrip("/")
        form = {
            "token": kept.get("refresh_token") or "",
            "client_id": CLIENT_ID,
            "token_type_hint": "refresh_token",
        }
        credentials.ask(f"{url}/api/auth/revoke", form)
    except (Refused, Unreachable) as error:
        click.echo(f"diracx: the server could not be told: {error}", err=True)
    credentials.remove()
    click.echo(f"logged out; {credentials.path()} is removed")


def _chosen(url: str, vo: str | None) -> str:
    """The VO that is meant: the one of the server if it has only one."""
    known = Client(url, "").get("/.well-known/dirac-metadata")["virtual_organizations"]
    if vo is None and len(known) == 1:
        return str(next(iter(known)))
    if vo is None or vo not in known:
        what = f"there is no VO {vo!r}:" if vo else "state a VO:"
        raise BadRequest(f"{what} {url} has {', '.join(sorted(known)) or 'none'}")
    return vo


def _facts(found: Row) -> Iterator[tuple[str, str]]:
    yield "User", found["preferred_username"]
    yield "VO", found["vo"]
    yield "Group", found["dirac_group"]
    yield "Properties", ", ".join(found["properties"])


def _wait(url: str, codes: dict[str, Any]) -> dict[str, Any]:
    """The tokens, once somebody has confirmed the code; LoginNeeded says why there are none."""
    try:
        with waiting(f"waiting for you there, {codes['expires_in'] / 60:.0f} min at most; Ctrl-C gives up"):
            return _tokens(url, codes)
    except KeyboardInterrupt:
        click.echo("\ndiracx: not logged in; what was before holds", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None


def _tokens(url: str, codes: dict[str, Any]) -> dict[str, Any]:
    form = {"grant_type": DEVICE, "client_id": CLIENT_ID, "device_code": codes["device_code"]}
    until = time.monotonic() + codes["expires_in"]
    while time.monotonic() < until:
        try:
            found: dict[str, Any] = credentials.ask(f"{url}/api/auth/token", form)
        except Refused as error:
            if error.error != "authorization_pending":
                raise LoginNeeded(f"not logged in: {error}") from error
        else:
            return found
        time.sleep(codes.get("interval", 2))
    raise LoginNeeded("not logged in: nobody has confirmed the code in time; begin again with `diracx login`")


def _open(address: str) -> bool:
    """Whether a browser opens here, at the screen in front of the user."""
    is_far = bool(os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY"))
    has_screen = sys.platform == "darwin" or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if not sys.stderr.isatty() or not (os.environ.get("BROWSER") or (has_screen and not is_far)):
        return False
    import webbrowser

    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    # Some browsers keep their caller waiting until they are closed.
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    return True
