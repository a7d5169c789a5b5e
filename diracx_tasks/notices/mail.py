"""One mail, by way of the server that DIRACX_MAIL_URL names."""

import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from diracx_tasks.core.errors import Conflict, SettingsError, Unavailable
from diracx_tasks.core.settings import settings
from diracx_tasks.notices.addresses import mail_address
from diracx_tasks.notices.refused import Refused

SECONDS = 20.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")
PORTS = {"smtp": 25, "smtps": 465}


class Server(NamedTuple):
    """Who sends our mail, and how he wants to be talked to."""

    is_tls: bool
    host: str
    port: int
    user: str
    password: str


def is_configured() -> bool:
    """Whether this installation sends mail."""
    return bool(settings().mail_url.get_secret_value())


def server() -> Server:
    """The server of DIRACX_MAIL_URL; SettingsError, without the password, when it cannot be read."""
    try:
        parts = urlsplit(settings().mail_url.get_secret_value())
        port = parts.port
    except ValueError as error:
        raise SettingsError("DIRACX_MAIL_URL cannot be read: its port is no number") from error
    if parts.scheme not in PORTS or not parts.hostname:
        raise SettingsError("DIRACX_MAIL_URL must be smtp://user:password@host:port or smtps://...")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Server(parts.scheme == "smtps", parts.hostname, port or PORTS[parts.scheme], user, password)


def sender() -> str:
    """The address of DIRACX_MAIL_FROM; SettingsError when it is none."""
    try:
        return mail_address(settings().mail_from)
    except Exception as error:
        raise SettingsError(f"DIRACX_MAIL_FROM: {error}") from error


def send(to: str, subject: str, text: str, token: str) -> None:
    """Have a mail sent; the same token makes the same Message-ID.

    Raises Refused when this mail is not taken, Unavailable when trying again may help, Conflict when no
    mail is sent here.
    """
    if not is_configured():
        raise Conflict("this installation sends no mail: DIRACX_MAIL_URL is not set")
    by, message = server(), _message(to, subject, text, token)
    try:
        with _connected(by) as connection:
            connection.send_message(message, sender(), [to])
    except smtplib.SMTPRecipientsRefused as error:
        code, words = error.recipients[to]
        raise _told(by, code, words) from error
    except smtplib.SMTPDataError as error:
        raise _told(by, error.smtp_code, error.smtp_error) from error
    except (smtplib.SMTPException, OSError) as error:
        # Also a refused login or sender: that is for the operator to mend, and nobody's mail should be lost.
        raise Unavailable(f"the mail server {by.host}:{by.port}: {_plain(str(error))}") from error


def look() -> str:
    """That our mail server answers and takes our login, in words; raises what is wrong."""
    if not is_configured():
        return "none is sent: DIRACX_MAIL_URL is not set"
    by, address = server(), sender()
    with _connected(by):
        return f"{by.host}:{by.port} sends it from {address}"


def _connected(by: Server) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if by.is_tls:
        connection: smtplib.SMTP = smtplib.SMTP_SSL(by.host, by.port, timeout=SECONDS, context=context)
    else:
        connection = smtplib.SMTP(by.host, by.port, timeout=SECONDS)
    try:
        connection.ehlo_or_helo_if_needed()
        if not by.is_tls and connection.has_extn("starttls"):
            connection.starttls(context=context)
            connection.ehlo()
        elif not by.is_tls and by.password and by.host not in LOOPBACK:
            raise smtplib.SMTPException("it offers no STARTTLS: the password is not sent in the clear")
        if by.user:
            connection.login(by.user, by.password)
    except BaseException:
        connection.close()
        raise
    return connection


def _message(to: str, subject: str, text: str, token: str) -> EmailMessage:
    # This policy refuses headers with line ends in them.
    made = EmailMessage(policy=SMTP)
    made["From"], made["To"] = f"DiracX <{sender()}>", to
    # What looks like an encoded word would be decoded, with line ends in it: headers of the name's author.
    made["Subject"] = subject.replace("=?", "= ?")
    made["Date"] = format_datetime(datetime.now(UTC))
    made["Message-ID"] = f"<{token}@{urlsplit(settings().url).hostname or 'diracx'}>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(text)
    return made


def _told(by: Server, code: int, words: bytes | str) -> Exception:
    text = f"the mail server {by.host} says {code} {_plain(words)}"
    return Refused(text) if code >= 500 else Unavailable(text)


def _plain(words: bytes | str) -> str:
    text = words.decode(errors="replace") if isinstance(words, bytes) else words
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:500]
