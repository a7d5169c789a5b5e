"""Ceph's S3 gateway: a real S3, which checks every signature."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from .ceph import Ceph, Monitor, Store
from .ports import HOST, listens
from .programs import need

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Rgw(Ceph):
    """An S3 with one user and one bucket. `kill` ends the gateway only: the objects stay."""

    programs = ("radosgw", "radosgw-admin")
    access_key = "diracx"
    secret_key = "diracx-tests"
    bucket = "sandboxes"
    region = "us-east-1"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.parts = (Monitor(folder), Store(folder))

    @property
    def endpoint(self) -> str:
        """Address of the service; buckets are in the path."""
        return f"http://{HOST}:{self.port}"

    def client(self) -> "S3Client":
        """A boto3 client for this server and user; the caller closes it."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            # Unasked, boto3 presigns for an address of one's own with the old signature.
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )

    def prepare(self) -> None:
        """Make the user."""
        keys = ["--access-key", self.access_key, "--secret-key", self.secret_key]
        self.run("radosgw-admin", "user", "create", "--uid", "diracx", "--display-name", "diracx", *keys)

    def command(self) -> list[str]:
        """Start the gateway on the loopback interface."""
        frontend = f"beast endpoint={HOST}:{self.port}"
        return [need("radosgw"), "-f", "-n", "client.admin", f"--rgw-frontends={frontend}"]

    def is_ready(self) -> bool:
        """Whether the bucket can be used; makes it unless it exists."""
        if not listens(self.port):
            return False
        with closing(self.client()) as s3:
            s3.create_bucket(Bucket=self.bucket)
        return True
