"""A webhook cannot be made to reach what only our servers reach."""

import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from diracx_tasks.core.errors import BadRequest, Unavailable
from diracx_tasks.notices import mail, webhook
from diracx_tasks.notices.reach import addresses_of, is_public, target_of
from diracx_tasks.notices.refused import Refused
from tests.builders import environment
from tests.unit.notices.receivers import hooking, posting

SECRET = "a secret of some length"
INSIDE = [
    "127.0.0.1",
    "127.8.9.10",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:10.0.0.1",
    "fe80::1%lo",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "2002:7f00:1::",
    "64:ff9b::10.0.0.1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]


@pytest.fixture(autouse=True)
def settings_of_its_own(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Says which settings hold in a test."""
    stack = []

    def stated(**more: str) -> None:
        given = environment(DIRACX_DATA=str(tmp_path), **more)
        given.__enter__()
        stack.append(given)

    stated()
    yield stated
    for one in reversed(stack):
        one.__exit__(None, None, None)


@pytest.mark.parametrize("address", INSIDE)
def test_no_addresses_of_our_own_networks_is_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07::1", "64:ff9b::93.184.215.14"])
def test_public_addresses_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_a_host_that_is_inside_is_refused_however_it_is_written(host: str) -> None:
    with hooking() as inside:
        with pytest.raises(Refused, match="which is no public address"):
            webhook.send(f"https://{host}:{inside.port}/", SECRET, {}, "token")
        assert inside.calls == []


@pytest.mark.parametrize(
    "url, words",
    [
        ("http://example.org/", "must be https"),
        ("ftp://example.org/", "is https://host/path"),
        ("https:///path", "is https://host/path"),
        ("https://user:word@example.org/", "without a user"),
        ("https://example.org/\r\nX-Header: 1", "without spaces"),
        ("https://example.org/ HTTP/1.1", "without spaces"),
        ("https://example.org:port/", "cannot be read"),
        (f"https://example.org/{'x' * 1000}", "1020 characters: 1000 are allowed"),
    ],
)
def test_an_address_that_is_none_for_webhooks_is_refused_in_words(url: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        target_of(url)


def test_what_the_operator_names_may_be_reached_and_nothing_else_of_that_host(
    settings_of_its_own: Callable[..., None],
) -> None:
    with hooking() as hook, hooking() as other:
        settings_of_its_own(DIRACX_WEBHOOK_HOSTS=f'["127.0.0.1:{hook.port}"]')
        webhook.send(hook.url, SECRET, {"id": 1}, "token")
        assert [call[":path"] for call, _ in hook.calls] == ["/hooks/alice?x=1"]
        with pytest.raises(Refused, match="must be https"):
            webhook.send(other.url, SECRET, {}, "token")
        assert other.calls == []


def test_a_host_that_is_not_found_may_be_found_later() -> None:
    with pytest.raises(Unavailable, match="is not found"):
        addresses_of(target_of("https://nowhere.invalid/"))


def a_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate of `name` and 127.0.0.1, which is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    files = folder / f"{name}.crt", folder / f"{name}.key"
    files[0].write_bytes(made.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


def serving(files: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


@pytest.mark.parametrize(
    "name, is_known", [("localhost", True), ("localhost", False), ("other.example", True)]
)
def test_https_is_to_whom_the_certificate_names_and_to_nobody_else(
    tmp_path: Path,
    settings_of_its_own: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    is_known: bool,
) -> None:
    files = a_certificate(tmp_path, name)
    if is_known:
        monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
    with hooking(lambda plain: serving(files).wrap_socket(plain, server_side=True)) as hook:
        settings_of_its_own(DIRACX_WEBHOOK_HOSTS='["localhost"]')
        url = f"https://localhost:{hook.port}/"
        if name == "localhost" and is_known:
            webhook.send(url, SECRET, {}, "token")
            assert len(hook.calls) == 1
        else:
            with pytest.raises(Unavailable, match="the webhook at localhost does not answer"):
                webhook.send(url, SECRET, {}, "token")
            assert hook.calls == []


def test_mail_goes_over_tls_with_the_login_of_the_setting(
    tmp_path: Path, settings_of_its_own: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = a_certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
    with posting(tls_context=serving(files)) as post:
        good = f"smtp://diracx:p%40ss%2Fword@localhost:{post.port}"
        settings_of_its_own(DIRACX_MAIL_URL=good, DIRACX_MAIL_FROM="diracx@example.org")
        mail.send("alice@example.org", "Hey", "words", "token")
        assert post.texts() == ["words\n"]
        settings_of_its_own(DIRACX_MAIL_URL=good.replace("word", "wort"), DIRACX_MAIL_FROM="d@example.org")
        with pytest.raises(Unavailable, match="535") as error:
            mail.send("alice@example.org", "Hey", "words", "token")
        assert "wort" not in str(error.value)
