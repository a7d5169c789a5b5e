"""Buckets of S3 servers: presigned addresses, and what is done with objects."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from diracx_tasks.core.errors import NotFound, Unavailable
from diracx_tasks.core.settings import settings
from diracx_tasks.sandboxes.store import Grant

# What a presigned POST of S3 takes.
LARGEST_POST = 5 << 30


@dataclass(frozen=True)
class Bucket:
    """A bucket of an S3 server, and who we are there."""

    endpoint: str
    name: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"

    @classmethod
    def of_sandboxes(cls) -> "Bucket":
        """The one that the settings name."""
        given = settings()
        secret = given.s3_secret_key.get_secret_value()
        return cls(given.s3_endpoint, given.s3_bucket, given.s3_access_key, secret, given.s3_region)


class S3Store:
    """Any S3 server that checks signatures; the sandboxes' bucket unless another is given."""

    largest = LARGEST_POST

    def __init__(self, bucket: Bucket | None = None) -> None:
        given = bucket or Bucket.of_sandboxes()
        self.bucket = given.name
        self.client = boto3.client(
            "s3",
            endpoint_url=given.endpoint,
            aws_access_key_id=given.access_key,
            aws_secret_access_key=given.secret_key,
            region_name=given.region,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                connect_timeout=5,
                read_timeout=30,
                retries={"max_attempts": 3},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def grant(self, key: str, *, checksum: str, size: int) -> Grant:
        """A presigned POST whose policy fixes key, size and SHA-256."""
        digest = base64.b64encode(bytes.fromhex(checksum)).decode()
        fields = {"x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-sha256": digest}
        grant: Grant = self.client.generate_presigned_post(
            self.bucket,
            key,
            Fields=dict(fields),
            Conditions=[["content-length-range", size, size], *({name: fields[name]} for name in fields)],
            ExpiresIn=settings().url_seconds,
        )
        return grant

    def url(self, key: str, name: str = "") -> str:
        """A presigned GET; with a name, what it gives is kept under it."""
        parameters = {"Bucket": self.bucket, "Key": key}
        if name:
            parameters["ResponseContentDisposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        url: str = self.client.generate_presigned_url(
            "get_object", parameters, ExpiresIn=settings().url_seconds
        )
        return url

    def has(self, key: str) -> bool:
        """Whether the object is there."""
        return self.size(key) is not None

    def size(self, key: str) -> int | None:
        """Its bytes; None when it is not there."""
        try:
            found: int = self.client.head_object(Bucket=self.bucket, Key=key)["ContentLength"]
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise Unavailable(f"the bucket {self.bucket} refuses: {error}") from error
        except BotoCoreError as error:
            raise Unavailable(f"the bucket {self.bucket} does not answer: {error}") from error
        return found

    def read(self, key: str, most: int) -> bytes:
        """The first bytes of an object."""
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes=0-{most - 1}")
            found: bytes = answer["Body"].read(most)
        except ClientError as error:
            raise NotFound(f"{key} is not in the bucket {self.bucket}: {error}") from error
        except BotoCoreError as error:
            raise Unavailable(f"the bucket {self.bucket} does not answer: {error}") from error
        return found

    def put(self, key: str, content: bytes) -> None:
        """Store something small, over what was there."""
        try:
            self.client.put_object(Bucket=self.bucket, Key=key, Body=content)
        except (ClientError, BotoCoreError) as error:
            raise Unavailable(f"the bucket {self.bucket} does not take {key}: {error}") from error

    def delete(self, keys: Sequence[str]) -> None:
        """Remove up to DELETE_AT_ONCE objects."""
        objects: Any = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        try:
            answer = self.client.delete_objects(Bucket=self.bucket, Delete=objects)
        except (ClientError, BotoCoreError) as error:
            raise Unavailable(f"the bucket {self.bucket} does not delete: {error}") from error
        # It may take the request and refuse single objects, for example when it has too much to do.
        for refused in answer.get("Errors", ()):
            why = refused.get("Message") or refused.get("Code")
            raise Unavailable(f"the bucket {self.bucket} does not delete {refused.get('Key')}: {why}")
