"""`diracx notices`: be told by mail or webhook when workflows and groups of jobs end, or need you."""

import time
from typing import Any
from urllib.parse import quote

import click

from diracx_tasks.cli import output
from diracx_tasks.cli.groups import Group
from diracx_tasks.cli.output import output_option
from diracx_tasks.cli.tables import Column, Row, facts
from diracx_tasks.core.words import span

PATH = "/api/notices"
EVENTS = ("done", "failed", "attention", "killed")
WAITING = "Waiting"
SECONDS, PERIOD = 20.0, 0.5
MESSAGES = (
    Column("Message", lambda row: row["message_id"], is_number=True),
    Column("By", lambda row: row["channel"]),
    Column("State", lambda row: row["state"]),
    Column("Made", lambda row: output.ago(row["made_at"])),
    Column("Error", lambda row: row["error"]),
)


@click.group(cls=Group)
def notices() -> None:
    """Be told by mail or webhook when something ends or needs you."""


@notices.command()
@output_option
def show(form: str) -> None:
    """Show what you are told, where, how often, and what became of the newest messages."""
    _show(output.connect().get(PATH), form)


@notices.command("set")
@click.option("--mail", help="A mail address: a code is sent to it. Empty: no mail.")
@click.option("--webhook", help="An https address that is called with JSON. Empty: none.")
@click.option("--secret", help="What its calls are signed with.  [default: a new one, shown once]")
@click.option(
    "--event",
    "events",
    multiple=True,
    type=click.Choice(EVENTS),
    help="Tell me of workflows that are done, failed, killed, of what needs my attention; may be repeated.",
)
@click.option("--every", "minutes", type=click.IntRange(1, 10080), help="A message at most every N minutes.")
@output_option
def set_wishes(
    *,
    mail: str | None,
    webhook: str | None,
    secret: str | None,
    events: tuple[str, ...],
    minutes: int | None,
    form: str,
) -> None:
    """Say what you want to be told, and where; what is not stated stays."""
    given: Row = {"mail": mail, "webhook": webhook, "secret": secret, "events": list(events) or None}
    body = {name: value for name, value in given.items() if value is not None}
    body |= {"interval": minutes * 60} if minutes else {}
    if not body:
        raise click.UsageError("say what to change: --mail, --webhook, --event or --every")
    found = output.connect().patch(PATH, body)
    _show(found, form)
    if mail and found["unconfirmed_mail"]:
        click.echo(f"a code is on its way to {mail}: diracx notices confirm CODE", err=True)
    if found["secret"] and not secret and form == output.TABLE:
        click.echo("the secret is shown this once: calls are signed with it", err=True)


@notices.command()
@click.argument("code", required=False)
@click.option("--again", is_flag=True, help="Have another code sent.")
def confirm(code: str | None, again: bool) -> None:
    """Say the CODE that was sent to your mail address."""
    if again == bool(code):
        raise click.UsageError("say the code, or --again for another one")
    client = output.connect()
    if again:
        click.echo(f"a code is on its way to {client.post(f'{PATH}/code')['mail']}")
    else:
        click.echo(f"you are told at {client.post(f'{PATH}/confirm', {'code': code})['mail']}")


@notices.command()
def test() -> None:
    """Have a message sent now in each way that is set, and say how that went."""
    client = output.connect()
    sent = {number: name for name, number in client.post(f"{PATH}/test").items() if number}
    rows, until = _of(client, sent), time.monotonic() + SECONDS
    while any(row["state"] == WAITING and not row["error"] for row in rows) and time.monotonic() < until:
        time.sleep(PERIOD)
        rows = _of(client, sent)
    for row in rows:
        words = f": {row['error']}" if row["error"] else ""
        later = "; it is tried again" if row["state"] == WAITING else ""
        click.echo(f"{row['channel']} is {row['state']}{words}{later}")
    if any(row["state"] != "Sent" for row in rows):
        raise click.exceptions.Exit(1)


@notices.command()
@click.argument("group")
@click.option("--off", is_flag=True, help="Tell me nothing of it.")
def watch(group: str, off: bool) -> None:
    """Be told when your jobs of a GROUP (JobGroup) have all ended."""
    client, path = output.connect(), f"{PATH}/groups/{quote(group, safe='')}"
    if off:
        client.delete(path)
        click.echo(f"you are told nothing of the group {group}")
    else:
        client.post(path)
        click.echo(f"you are told when your jobs of the group {group} have ended")


@notices.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def off(yes: bool) -> None:
    """Be told nothing any more: addresses, and what was and is to be told, are forgotten."""
    output.agree("Forget where you are told, and everything that waits to be told?", yes=yes)
    output.connect().delete(PATH)
    click.echo("you are told nothing any more")


def _show(found: Row, form: str) -> None:
    if form != output.TABLE:
        output.show_one(found, form, key="mail")
        return
    out = output.console()
    unconfirmed = found["unconfirmed_mail"]
    out.print(
        facts(
            [
                ("Mail", found["mail"] or ("none" if found["sends_mail"] else "not sent here")),
                ("Unconfirmed", f"{unconfirmed}: diracx notices confirm CODE" if unconfirmed else ""),
                ("Webhook", found["webhook"]),
                ("Secret", found["secret"]),
                ("Events", ", ".join(found["events"]) or "none"),
                ("At most", f"every {span(found['interval'])}"),
                ("Groups", ", ".join(found["groups"])),
                ("To be told", found["waiting"] or ""),
            ]
        )
    )
    if found["messages"]:
        click.echo()
        output.show_table(found["messages"], MESSAGES)


def _of(client: Any, sent: dict[int, str]) -> list[Row]:
    return [row for row in client.get(PATH)["messages"] if row["message_id"] in sent]
