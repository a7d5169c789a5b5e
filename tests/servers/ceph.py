"""A Ceph cluster of one monitor and one store in memory, for the S3 gateway."""

import json
import uuid

from .ports import HOST
from .process import NotReady, Server
from .programs import need

# cephx stays on: without it radosgw hangs. Paxos at its usual pace takes a second for each of the ten pools.
# A monitor refuses to start on a nearly full disk, which says nothing about a store in memory.
_SETTINGS = """\
[global]
fsid = {cluster}
mon host = [v2:127.0.0.1:{port}/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = {folder}/keyring
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}/rgw
run dir = {folder}
crash dir = {folder}
admin socket =
log file =
mon cluster log file =
log to stderr = true
err to stderr = true
paxos propose interval = 0.02
paxos min wait = 0.01
mon data avail crit = 0
mon allow pool size one = true
mon max pg per osd = 1000
osd objectstore = memstore
osd fast shutdown = false
memstore device bytes = 4294967296
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
rgw thread pool size = 64
"""


class Ceph(Server):
    """A daemon of one cluster: all share the folder and its ceph.conf."""

    def environment(self) -> dict[str, str]:
        """Where the cluster's settings are."""
        return super().environment() | {"CEPH_CONF": f"{self.folder}/ceph.conf"}


class Monitor(Ceph):
    """The cluster's map and keys."""

    programs = ("ceph-mon", "ceph", "ceph-authtool", "monmaptool")

    def prepare(self) -> None:
        """Make a new cluster with its settings, keys and map."""
        cluster = str(uuid.uuid4())
        settings = _SETTINGS.format(cluster=cluster, folder=self.folder, port=self.port)
        (self.folder / "ceph.conf").write_text(settings)
        everything = ["--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *"]
        self.run("ceph-authtool", "-C", "keyring", "--gen-key", "-n", "mon.", *everything[:3])
        self.run("ceph-authtool", "keyring", "--gen-key", "-n", "client.admin", *everything)
        self.run("ceph-authtool", "keyring", "--gen-key", "-n", "osd.0", *everything)
        address = f"[v2:{HOST}:{self.port}]"
        self.run("monmaptool", "--create", "--fsid", cluster, "--addv", "a", address, "map")
        (self.folder / "mon").mkdir()
        self.run("ceph-mon", "-i", "a", "--mkfs", "--monmap", "map", "--keyring", "keyring")

    def command(self) -> list[str]:
        """Start the monitor `a`."""
        return [need("ceph-mon"), "-f", "-i", "a"]

    def is_ready(self) -> bool:
        """Whether it answers the administrator."""
        try:
            self.run("ceph", "--connect-timeout", "5", "mon", "stat")
        except NotReady:
            return False
        return True


class Store(Ceph):
    """Objects in memory; written to the folder by `stop`, gone after `kill`."""

    programs = ("ceph-osd",)

    def prepare(self) -> None:
        """Make the store known to the monitor."""
        identity = str(uuid.uuid4())
        self.run("ceph", "osd", "new", identity)
        (self.folder / "osd").mkdir()
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", identity)

    def command(self) -> list[str]:
        """Start the object store daemon 0."""
        return [need("ceph-osd"), "-f", "-i", "0"]

    def is_ready(self) -> bool:
        """Whether the monitor counts it as up."""
        return bool(json.loads(self.run("ceph", "osd", "stat", "-f", "json"))["num_up_osds"])
