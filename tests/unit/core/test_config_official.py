"""Repositories that the official command makes are read and changed here, and what we write is read there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from diracx.core.config import ConfigSource

from diracx_tasks.core import config, edit
from diracx_tasks.core.operations import operations, resources
from tests.unit.core.configured import using

VO = ("--vo", "lhcb")
IDP = ("--idp-url", "https://idp.example.org", "--idp-client-id", "abc")


def dirac(folder: Path, command: str, *options: str) -> None:
    """`dirac internal` of DiracX 0.7 on a repository."""
    address = f"git+file://{folder}"
    person = {f"GIT_{role}_{what}": "carol" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(
        [sys.executable, "-m", "diracx.cli", "internal", command, address, *options],
        check=True,
        capture_output=True,
        env={**os.environ, **person},
        timeout=120,
    )


@pytest.mark.integration
@pytest.mark.usefixtures("looking_at_every_call")
def test_both_read_what_the_other_has_written(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    dirac(folder, "generate-cs")
    with using(tmp_path, f"git+file://{folder}?revision=master"):
        assert config.config().Registry == {} and config.problem() == ""
        dirac(folder, "add-vo", *VO, *IDP)
        dirac(folder, "add-user", *VO, "--sub", "a-1", "--preferred-username", "alice")
        found = config.config().Registry["lhcb"]
        assert found.groups_of("a-1").keys() == {"user"} and found.subject_of("alice") == "a-1"
        assert operations("lhcb").Services.JobScheduling.MaxRescheduling == 3
        assert resources().Computing.OSCompatibility == {}
        url = f"git+file://{folder}?revision=master"
        edit.apply(url, edit.add_group("lhcb", "admin", properties=["Operator"]), "a group")
        edit.apply(
            url, edit.add_user("lhcb", "b-2", "bob", groups=["admin"], email="b@example.org"), "a user"
        )
    official = ConfigSource.create_from_url(backend_url=url)
    theirs = official.read_raw(*official.latest_revision())
    group = theirs.registry["lhcb"].groups["admin"]
    assert group.users == {"b-2"} and group.properties == {"Operator"}
    assert theirs.registry["lhcb"].sub_from_preferred_username("bob") == "b-2"
    dirac(folder, "add-group", *VO, "--group", "last")
    assert "Email: b@example.org" in (folder / "default.yml").read_text()
