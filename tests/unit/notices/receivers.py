"""Who gets what users are told: a real SMTP server, and a real HTTP server for webhooks."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from aiosmtpd.smtp import Session as SmtpSession

from tests.servers import free_port

USER, PASSWORD = "diracx", "p@ss/word"


@dataclass
class Post:
    """A mail server: what it has taken, and what it answers instead when it is to."""

    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    to_recipients: str = ""
    to_data: str = ""
    port: int = 0

    @property
    def url(self) -> str:
        """What DIRACX_MAIL_URL is."""
        return f"smtp://127.0.0.1:{self.port}"

    async def handle_RCPT(
        self, server: SMTP, session: SmtpSession, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a recipient, or say what was chosen."""
        if self.to_recipients:
            return self.to_recipients
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: SmtpSession, envelope: Envelope) -> str:
        """Keep a mail, or say what was chosen."""
        if self.to_data:
            return self.to_data
        content = envelope.content
        assert isinstance(content, bytes)
        self.raw.append(content)
        self.mails.append((envelope.rcpt_tos, message_from_bytes(content, policy=policy.default)))
        return "250 OK"

    def texts(self) -> list[str]:
        """The texts of all mails, oldest first."""
        return [mail.get_content().replace("\r\n", "\n") for _, mail in self.mails]

    def code(self) -> str:
        """The code in the newest mail."""
        return self.texts()[-1].rpartition("diracx notices confirm ")[2].split()[0]


def _login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    is_ours = isinstance(data, LoginPassword) and (data.login, data.password) == (
        USER.encode(),
        PASSWORD.encode(),
    )
    return AuthResult(success=is_ours, handled=False)


@contextmanager
def posting(**options: Any) -> Iterator[Post]:
    """A mail server while the block lasts; with a `tls_context` it wants STARTTLS and a login."""
    found = Post(port=free_port())
    if "tls_context" in options:
        options |= {"require_starttls": True, "auth_required": True, "authenticator": _login}
    server = Controller(found, hostname="127.0.0.1", port=found.port, **options)
    server.start()
    try:
        yield found
    finally:
        server.stop()


@dataclass
class Hook:
    """A webhook: the calls that it had, and what it answers."""

    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    port: int = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/hooks/alice?x=1"


@contextmanager
def hooking(wrap: Any = None) -> Iterator[Hook]:
    """A web server that is called, while the block lasts; `wrap` makes its socket one of TLS."""
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            """Note the call, and answer."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sent = {name.lower(): value for name, value in self.headers.items()}
            found.calls.append(({**sent, ":path": self.path}, body))
            self.send_response(found.status)
            for name, value in {**found.headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    if wrap:
        http.socket = wrap(http.socket)
    found.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield found
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
