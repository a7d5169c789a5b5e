"""Files of jobs under LFNs: to the node, and away from it as a whole or not at all."""

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from diracx_tasks.core.database import commit, session
from diracx_tasks.core.errors import ApiError
from diracx_tasks.jobs import control
from diracx_tasks.jobs import status as door
from diracx_tasks.jobs.optimize import WAITING
from diracx_tasks.jobs.states import Status
from diracx_tasks.node.halt import Halt, Stop
from diracx_tasks.node.staging import Placing, Staging, StagingError
from tests.api.caller import Api
from tests.api.files import HOME, Far, fetch, installation, migrated, put
from tests.builders import a_job, claim

__all__ = ["installation", "migrated"]
FOLDER = f"{HOME}/run1"


class Node:
    """A worker node with a job of alice, whose files it moves as the pilot does."""

    def __init__(self, api: Api, work: Path, job_id: int, attempt: int = 1) -> None:
        self.api, self.work, self.job_id = api, work / f"{job_id}.{attempt}", job_id
        self.far = Far(api)
        self.work.mkdir(exist_ok=True)
        self.staging = Staging(self.far, Halt(Stop(10)), job_id, attempt, self.work)
        self.placing = Placing(self.work / "inputs", self.work / "bundle", frozenset())

    def fetch(self, value: Any) -> Any:
        """The value with local files."""
        return self.staging.fetch({"value": value}, self.placing, lambda: None)["value"]

    def store(self, outputs: dict[str, Any], *data: dict[str, Any], sandbox: tuple[str, ...] = ()) -> Any:
        """The outputs with stored files."""
        payload = {"output_data": list(data), "output_sandbox": list(sandbox)}
        return self.staging.store(outputs, lambda size: None, payload)

    def archived(self) -> dict[str, bytes]:
        """What is in the job's only output sandbox."""
        (pfn,) = self.api.get(f"/api/jobs/{self.job_id}/sandbox/output").json()
        address = self.api.get("/api/jobs/sandbox", params={"pfn": f"SB:SandboxSE|{pfn}"}).json()["url"]
        self.far.download(address, self.work / "archive")
        found = {}
        with tarfile.open(fileobj=io.BytesIO((self.work / "archive").read_bytes())) as archive:
            for name in archive.getnames():
                content = archive.extractfile(name)
                assert content is not None
                found[name] = content.read()
        return found

    def file(self, name: str, content: bytes = b"content", **more: Any) -> dict[str, Any]:
        """A File that the payload has left."""
        path = self.work / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return {"class": "File", "location": path.as_uri(), "basename": path.name, **more}


@pytest.fixture
def node(api: Api, db: Session, tmp_path: Path) -> Node:
    """A node with a running job."""
    job_id = a_job(db, Status.RUNNING)
    commit(db)
    return Node(api, tmp_path, job_id)


def to(source: str, *ses: str) -> dict[str, Any]:
    return {"source": source, "output_path": FOLDER, "output_se": list(ses)}


def read(value: dict[str, Any]) -> bytes:
    return Path(value["location"].removeprefix("file://")).read_bytes()


def test_outputs_go_to_lfns_and_come_back_in_every_shape(api: Api, node: Node) -> None:
    (node.work / "out/tree/empty").mkdir(parents=True)
    node.file("tree/deep/x", b"deep")
    tree = {"class": "Directory", "location": (node.work / "out/tree").as_uri(), "basename": "tree"}
    index = node.file("a.bam.bai", b"index")
    outputs = {
        "one": node.file("a.bam", b"bam", secondaryFiles=[index]),
        "many": [node.file("m1", b"1"), {"record": node.file("m2", b"2")}],
        "tree": tree,
        "other": node.file("other", b"sandbox"),
        "number": 3,
    }
    told = node.store(outputs, to("one"), to("main.cwl#main/many"), to("tree"))
    sha1 = hashlib.sha1(b"bam", usedforsecurity=False).hexdigest()
    assert {**told["one"], "secondaryFiles": []} == {
        "class": "File",
        "basename": "a.bam",
        "location": f"lfn:{FOLDER}/a.bam",
        "size": 3,
        "checksum": f"sha1${sha1}",
        "secondaryFiles": [],
    }
    assert told["other"]["location"].startswith("sandbox:") and told["number"] == 3
    stored = {"a.bam": b"bam", "a.bam.bai": b"index", "m1": b"1", "m2": b"2", "tree/deep/x": b"deep"}
    assert fetch(api, FOLDER) == {f"{FOLDER}/{name}": content for name, content in stored.items()}
    assert api.get("/api/data/files", params={"lfn": f"{FOLDER}/a.bam"}).json()["sha1"] == sha1

    back = node.fetch(told)
    assert (read(back["one"]), read(back["one"]["secondaryFiles"][0])) == (b"bam", b"index")
    assert Path(back["one"]["location"]).parent == Path(back["one"]["secondaryFiles"][0]["location"]).parent
    assert (read(back["many"][1]["record"]), read(back["other"])) == (b"2", b"sandbox")
    folder = Path(back["tree"]["location"].removeprefix("file://"))
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) == ["deep", "deep/x", "empty"]


def test_a_folder_of_the_catalogue_becomes_a_directory(api: Api, node: Node) -> None:
    put(api, f"{FOLDER}/a", b"a", "CERN-DISK")
    put(api, f"{FOLDER}/b/c", b"c", "RAL-DISK")
    found = node.fetch([{"class": "Directory", "location": f"lfn:{FOLDER}"}, f"lfn:{FOLDER}/a"])
    folder = Path(found[0]["location"].removeprefix("file://"))
    assert folder.name == "run1" and found[1] == f"lfn:{FOLDER}/a"
    assert ((folder / "a").read_bytes(), (folder / "b/c").read_bytes()) == (b"a", b"c")


def test_an_lfn_that_is_not_there_fails_the_job_and_is_not_taken_for_a_lost_attempt(node: Node) -> None:
    for location in (f"lfn:{FOLDER}/none", "lfn:/belle/x", "lfn:x"):
        with pytest.raises(ApiError) as refused:
            Node(node.api, node.work, node.job_id).fetch({"class": "File", "location": location})
        assert refused.value.status in (400, 403)


def test_a_file_that_has_changed_since_the_submission_is_refused(api: Api, node: Node) -> None:
    put(api, f"{FOLDER}/a", b"abc")
    with pytest.raises(StagingError, match="had 2 bytes at the submission, and has 3 now"):
        node.fetch({"class": "File", "location": f"lfn:{FOLDER}/a", "size": 2})


def test_what_an_element_spoils_is_refused(api: Api, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    put(api, f"{FOLDER}/a", b"abc")
    monkeypatch.setattr(node.far, "download", lambda url, to: to.write_bytes(b"abd"))
    with pytest.raises(StagingError, match=r"lfn:.*sent has the checksum sha256:"):
        node.fetch({"class": "File", "location": f"lfn:{FOLDER}/a"})


@pytest.mark.parametrize("installation", ["folder"], indirect=True)
def test_another_element_serves_when_one_fails(api: Api, node: Node) -> None:
    node.far.cut = ("/CERN-DISK",)
    told = node.store({"x": node.file("x", b"x")}, to("x", "SE-AWAY", "CERN-DISK", "RAL-DISK"))
    found = api.get("/api/data/files", params={"lfn": f"{FOLDER}/x"}).json()
    assert [one["se"] for one in found["replicas"]] == ["RAL-DISK"]
    put(api, f"{FOLDER}/x", b"x", "CERN-DISK")
    node.far.cut = ("/RAL-DISK",)
    assert read(node.fetch(told["x"])) == b"x"


def test_an_input_that_comes_through_keeps_its_lfn(api: Api, node: Node) -> None:
    put(api, f"{FOLDER}/x", b"through")
    through = node.fetch({"class": "File", "location": f"lfn:{FOLDER}/x", "basename": "x"})
    told = node.store({"a": through, "b": node.file("x", b"changed")})
    assert told["a"]["location"] == f"lfn:{FOLDER}/x"
    assert told["b"]["location"].startswith("sandbox:")


def test_doing_it_again_sends_and_changes_nothing(api: Api, node: Node) -> None:
    for _ in range(2):
        node.store({"x": node.file("x", b"x"), "y": node.file("y", b"x")}, to("x"))
    assert len(node.far.sent) == 2
    assert len(api.get("/api/data/folder", params={"lfn": FOLDER}).json()["files"]) == 1


def test_another_jobs_file_is_not_overwritten_and_nothing_else_is_registered(
    api: Api, db: Session, node: Node, tmp_path: Path
) -> None:
    node.store({"x": node.file("x", b"first")}, to("x"))
    other = a_job(db, Status.RUNNING)
    commit(db)
    second = Node(api, tmp_path, other)
    with pytest.raises(ApiError, match="x is there with another content") as refused:
        second.store({"a": second.file("a"), "x": second.file("x", b"second")}, to("a"), to("x"))
    assert refused.value.status == 400
    assert fetch(api, FOLDER) == {f"{FOLDER}/x": b"first"}


def test_a_later_attempt_replaces_what_an_earlier_one_has_left(
    api: Api, db: Session, node: Node, tmp_path: Path
) -> None:
    node.store({"x": node.file("x", b"first")}, to("x"))
    with session() as other:
        control.reschedule(other, node.job_id, attempt=1, reason="lost", source="Test")
        door.move_many(other, [node.job_id], WAITING, frm=(Status.RECEIVED, Status.RESCHEDULED))
    with session() as other:
        assert claim(other, node.job_id) == 2
    second = Node(api, tmp_path, node.job_id, 2)
    second.store({"x": second.file("x", b"second")}, to("x"))
    assert fetch(api, FOLDER) == {f"{FOLDER}/x": b"second"}


def test_two_outputs_cannot_be_one_lfn(node: Node) -> None:
    two = [node.file("a/x", b"1"), node.file("b/x", b"2")]
    with pytest.raises(StagingError, match=f"two outputs with different contents would be {FOLDER}/x"):
        node.store({"two": two}, to("two"))
    with pytest.raises(StagingError, match="'no' is none of the outputs: two"):
        node.store({"two": two}, to("no"))


def test_outputs_land_only_where_the_owner_may_write(node: Node) -> None:
    for path in ("/lhcb/user/b/bob", "/lhcb/data", "/belle/user/a/alice", "lfn:/lhcb/user/a"):
        with pytest.raises(ApiError) as refused:
            node.store({"x": node.file("x")}, {"source": "x", "output_path": path, "output_se": []})
        assert refused.value.status == 403


def test_a_group_of_managers_writes_elsewhere(api: Api, db: Session, tmp_path: Path) -> None:
    job_id = a_job(db, Status.RUNNING, owner="mary", group="data")
    commit(db)
    node = Node(api, tmp_path, job_id)
    node.store(
        {"x": node.file("x")}, {"source": "x", "output_path": "LFN:/lhcb/data/", "output_se": "SE-USER"}
    )
    assert fetch(api, "/lhcb/data/x") == {"/lhcb/data/x": b"content"}


def test_an_output_sandbox_is_an_archive_of_the_job(api: Api, node: Node) -> None:
    node.file("tree/x", b"x")
    tree = {"class": "Directory", "location": (node.work / "out/tree").as_uri(), "basename": "tree"}
    outputs = {"log": node.file("std.out", b"log"), "tree": tree, "rest": node.file("rest")}
    for _ in range(2):
        told = node.store(outputs, to("log"), sandbox=("log", "tree"))
    assert told["log"]["location"] == f"lfn:{FOLDER}/std.out"
    assert node.far.sent.count("sandbox.tar.bz2") == 1
    assert node.archived() == {"std.out": b"log", "tree/x": b"x"}


@pytest.mark.parametrize("is_failed", [False, True])
def test_an_output_sandbox_has_the_files_that_match_patterns(
    api: Api, node: Node, tmp_path: Path, is_failed: bool
) -> None:
    outputs = {"log": node.file("std.out", b"log")}
    work_folder = node.work / "out-abc"
    (work_folder / "deep").mkdir(parents=True)
    (work_folder / "a.txt").write_bytes(b"a")
    (work_folder / "deep/b.txt").write_bytes(b"b")
    (work_folder / "other").write_bytes(b"o")
    (work_folder / "inner.txt").symlink_to("other")
    (tmp_path / "secret").write_bytes(b"secret")
    (work_folder / "outer.txt").symlink_to(tmp_path / "secret")
    payload = {"output_sandbox": ["log"], "output_globs": ["*.txt", "deep/*"]}
    matching = {"a.txt": b"a", "deep/b.txt": b"b", "inner.txt": b"o"}
    if is_failed:
        node.staging.keep(payload)
        assert node.archived() == matching
    else:
        node.staging.store(outputs, lambda size: None, payload)
        assert node.archived() == {"std.out": b"log", **matching}


def test_a_pattern_that_is_none_is_refused_and_a_link_in_a_circle_left_out(api: Api, node: Node) -> None:
    work_folder = node.work / "out-abc"
    work_folder.mkdir()
    (work_folder / "circle.txt").symlink_to("circle.txt")
    inputs = node.work / "inputs"
    inputs.mkdir()
    (inputs / "in.txt").write_bytes(b"in")
    (work_folder / "in.txt").symlink_to(inputs / "in.txt")
    (work_folder / "out.txt").write_bytes(b"out")
    for pattern in ("**.txt", "."):
        with pytest.raises(StagingError, match="is no pattern of files"):
            node.staging.keep({"output_globs": [pattern]})
    node.staging.keep({"output_globs": ["*.txt"]})
    assert node.archived() == {"out.txt": b"out"}


def test_without_a_file_that_matches_there_is_no_sandbox(api: Api, node: Node) -> None:
    node.staging.keep({"output_globs": ["*.txt"]})
    assert api.get(f"/api/jobs/{node.job_id}/sandbox/output").json() == []
