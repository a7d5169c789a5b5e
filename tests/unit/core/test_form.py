"""Uploads are read as they are sent, say how far they are, and begin again where a server was not ready."""

from email import message_from_bytes
from pathlib import Path

import pytest

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import Unreachable
from diracx_tasks.core.form import Form
from tests.unit.cli.server import running

CONTENT = bytes(range(256)) * 400


def read(form: Form, size: int) -> bytes:
    """All of it, in blocks."""
    blocks = []
    while block := form.read(size):
        blocks.append(block)
    return b"".join(blocks)


@pytest.mark.parametrize("size", [1, 17, 16384, -1])
@pytest.mark.parametrize("content", [b"", b"x", CONTENT[:1000]])
def test_a_form_is_what_others_understand(tmp_path: Path, content: bytes, size: int) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with path.open("rb") as file:
        form = Form({"key": "a/b", "policy": "é"}, 'a"\r\nb', file, lambda count: None)
        body = read(form, size)

    assert len(body) == int(form.headers["Content-Length"])
    message = message_from_bytes(f"Content-Type: {form.headers['Content-Type']}\r\n\r\n".encode() + body)
    parts = [
        (part.get_param("name", header="Content-Disposition"), part)
        for part in message.walk()
        if part is not message
    ]
    assert [name for name, _ in parts] == ["key", "policy", "file"]
    assert parts[1][1].get_payload(decode=True) == "é".encode()
    assert parts[2][1].get_payload(decode=True) == content
    assert parts[2][1].get_filename() == "a%22%0D%0Ab"


def test_what_was_told_is_taken_back_when_it_begins_again(tmp_path: Path) -> None:
    told: list[int] = []
    path = tmp_path / "x"
    path.write_bytes(CONTENT)
    with path.open("rb") as file:
        form = Form({}, "x", file, told.append)
        first = form.read(16384), form.read(16384)
        form.seek(0)
        assert sum(told) == 0
        assert read(form, 16384).startswith(b"".join(first))
    assert sum(told) == len(CONTENT)


def test_an_upload_arrives_whole_and_is_told(tmp_path: Path) -> None:
    told: list[int] = []
    path = tmp_path / "x"
    path.write_bytes(CONTENT)
    with running() as server:
        client = Client(server.url, "secret", retries=0)
        client.upload({"url": "/store", "fields": {"key": "k"}}, path, told.append)
        assert server.store == {"k": CONTENT} and sum(told) == len(CONTENT) and len(told) > 1
        client.download("/store?k", tmp_path / "y", told.append)
    assert sum(told) == 2 * len(CONTENT) and (tmp_path / "y").read_bytes() == CONTENT


def test_a_server_that_is_not_ready_is_asked_again_from_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(CONTENT)
    with running() as server:
        server.busy = 1
        Client(server.url, "secret", retries=2).upload({"url": "/store", "fields": {"key": "k"}}, path)
        assert server.store == {"k": CONTENT}


def test_why_a_server_does_not_answer_is_said_in_few_words(tmp_path: Path) -> None:
    with pytest.raises(Unreachable) as caught:
        Client("http://127.0.0.1:9", "x", retries=0).get("/api/jobs/7")
    assert (
        str(caught.value) == "http://127.0.0.1:9/api/jobs/7 does not answer: [Errno 111] Connection refused"
    )
