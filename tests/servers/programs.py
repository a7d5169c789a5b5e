"""The programs that the servers are made of, and what to say when one is not installed."""

import os
import shutil

import pytest

PATH = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"

_PACKAGES = {
    "ceph": "ceph-common",
    "ceph-authtool": "ceph-common",
    "epmd": "rabbitmq-server",
    "condor_master": "condor, or that of a later release",
    "mariadb-install-db": "mariadb-server",
    "mariadbd": "mariadb-server",
    "monmaptool": "ceph-mon",
    "munged": "munge",
    "/usr/lib/rabbitmq/bin/rabbitmq-server": "rabbitmq-server",
    "radosgw-admin": "ceph-common",
    "sbatch": "slurm-client",
    "slurmctld": "slurm-wlm",
    "slurmd": "slurm-wlm",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
}


class Missing(Exception):
    """A server's program is not installed."""


def need(program: str) -> str:
    """Full path of a program; without it the test is skipped, or fails where servers are required."""
    if found := shutil.which(program, path=PATH):
        return found
    package = _PACKAGES.get(program, program)
    reason = f"{program} is missing: tests/install-servers installs it (Debian package {package})"
    if os.environ.get("CI") or os.environ.get("DIRACX_TESTS_REQUIRE_SERVERS") == "1":
        raise Missing(reason)
    pytest.skip(reason)
