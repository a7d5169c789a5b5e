"""Tools that run in containers, with an engine that really runs them."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from diracx_tasks.node import container
from diracx_tasks.node.offer import Slot
from diracx_tasks.node.zygote import Zygote
from tests.unit.node.conftest import Payloads, sleeping
from tests.unit.node.documents import a_tool
from tests.unit.node.images import IMAGE, containers, podman
from tests.unit.node.server import wait_for

TEXT = (
    "{text: {type: string, "
    "outputBinding: {glob: out.txt, loadContents: true, outputEval: '$(self[0].contents)'}}}"
)
FILE = "{f: {type: File, inputBinding: {position: 1}}}"


def requires(more: str = "", image: str = IMAGE) -> str:
    """The field of a tool that runs in a container only."""
    return f"requirements: {{DockerRequirement: {{dockerPull: {image}}}{more}}}"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An engine that has the image."""
    with podman(tmp_path_factory.mktemp("podman")) as one:
        yield one


@pytest.fixture(scope="module")
def warm(engine: str) -> Iterator[Zygote]:
    """A warm process that sees the engine's settings."""
    one = Zygote()
    yield one
    one.close()


@pytest.fixture
def payloads(engine: str, warm: Zygote, tmp_path: Path) -> Payloads:
    """Runs payloads on a node with an engine."""
    return Payloads(warm, tmp_path, count(), engine)


def test_a_tool_runs_in_its_container_and_its_files_come_out(payloads: Payloads, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("from outside\n")
    tool = a_tool('cat /mark "$1" > out.txt', inputs=FILE, outputs=TEXT, more=requires())
    given = {"class": "File", "location": (tmp_path / "in.txt").as_uri()}
    assert payloads.run(tool, f=given).outputs == {"text": "of the image\nfrom outside\n"}


def test_a_container_that_is_only_named_is_used_as_well(payloads: Payloads) -> None:
    more = f"hints: {{DockerRequirement: {{dockerPull: {IMAGE}}}}}"
    assert (
        payloads.run(a_tool("cat /mark > out.txt", outputs=TEXT, more=more)).outputs["text"]
        == "of the image\n"
    )


def test_it_has_a_network_only_if_the_tool_asks_for_it(payloads: Payloads) -> None:
    listing = "ls /sys/class/net > out.txt"
    without = payloads.run(a_tool(listing, outputs=TEXT, more=requires())).outputs["text"]
    more = requires(", NetworkAccess: {networkAccess: true}")
    assert without.split() == ["lo"]
    assert len(payloads.run(a_tool(listing, outputs=TEXT, more=more)).outputs["text"].split()) > 1


def test_killing_a_payload_ends_its_container(payloads: Payloads) -> None:
    command = "trap 'exit 3' TERM; sleep 8644.5 & wait"
    folder = payloads.start(a_tool(command, more=requires()))
    wait_for(lambda: len(sleeping(8644.5)) == 1)
    payloads.zygote.wait(0)
    payloads.zygote.terminate_payload()
    assert payloads.end(folder).exit.code == 143
    assert (containers(), sleeping(8644.5)) == ([], [])


def test_killing_all_above_a_container_ends_it_as_well(payloads: Payloads) -> None:
    folder = payloads.start(a_tool("sleep 8645.5", more=requires()))
    wait_for(lambda: len(sleeping(8645.5)) == 1)
    payloads.zygote.wait(0)
    assert payloads.zygote.payload is not None
    payloads.zygote.payload.kill()
    assert payloads.end(folder).exit.code == 137
    assert (containers(), sleeping(8645.5)) == ([], [])


def test_a_time_limit_ends_a_container_that_does_not_listen(payloads: Payloads) -> None:
    more = requires(", ToolTimeLimit: {timelimit: 1}")
    ended = payloads.run(a_tool("exec sleep 8646.5", more=more))
    assert "exceeded time limit of 1 seconds" in ended.reason
    assert (containers(), sleeping(8646.5)) == ([], [])


def test_an_image_that_cannot_be_had_is_named(payloads: Payloads) -> None:
    ended = payloads.run(a_tool("true", more=requires(image="localhost/there-is-none:1")))
    assert ended.result is not None and ended.result.is_unsupported
    assert "localhost/there-is-none:1" in ended.reason


def test_a_node_offers_its_engine_as_tags(engine: str, tmp_path: Path) -> None:
    slot = Slot("stamp", "here", "", 1, 1000, ("gpu",), tmp_path, container.chosen(engine))
    assert slot.offer(slot.room().left())["tags"] == ["container", "container:podman", "gpu", "payload:jdl"]


def test_a_node_without_an_engine_offers_none(tmp_path: Path) -> None:
    slot = Slot("stamp", "here", "", 1, 1000, ("gpu",), tmp_path, container.chosen(container.NONE))
    assert slot.offer(slot.room().left())["tags"] == ["gpu", "payload:jdl"]


def test_an_engine_that_is_there_but_does_not_work_is_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in container.ENGINES:
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert container.chosen() == ""
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 0\n")
    assert container.chosen() == "docker"
    assert container.chosen("podman") == ""
