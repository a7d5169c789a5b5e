"""The servers of the tests are real: they check passwords and signatures, and survive kill -9."""

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import redis
import sqlalchemy as sa
import urllib3
from kombu.connection import Connection

from . import MariaDB, RabbitMQ, Redis, Rgw
from .ports import listens

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.integration


@pytest.fixture
def s3(rgw: Rgw) -> Iterator["S3Client"]:
    with closing(rgw.client()) as client:
        yield client


@pytest.fixture
def http() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(retries=False) as pool:
        yield pool


def sql(url: str, statement: str) -> list[tuple[object, ...]]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        result = connection.execute(sa.text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []


def upload(s3: "S3Client", http: urllib3.PoolManager, key: str, content: bytes, **changed: str) -> int:
    form = s3.generate_presigned_post("sandboxes", key)
    fields = {**form["fields"], **changed, "file": (key, content)}
    return http.request("POST", form["url"], fields=fields).status


def test_a_committed_row_survives_the_death_of_mariadb(mariadb: MariaDB) -> None:
    sql(mariadb.url, "CREATE TABLE pilots (stamp VARCHAR(32))")
    sql(mariadb.url, "INSERT INTO pilots VALUES ('é🛰')")
    url, first = mariadb.url, mariadb.pid
    mariadb.kill()
    assert not listens(mariadb.port)
    mariadb.restart()
    assert mariadb.url == url and mariadb.pid not in {first, None}
    assert sql(mariadb.url, "SELECT stamp FROM pilots") == [("é🛰",)]


def test_mariadb_lets_its_user_make_databases_and_refuses_a_wrong_password(mariadb: MariaDB) -> None:
    sql(mariadb.url, "CREATE DATABASE another")
    assert sql(mariadb.url_of("another"), "SELECT DATABASE()") == [("another",)]
    with pytest.raises(sa.exc.OperationalError, match="Access denied"):
        sql(mariadb.url.replace(mariadb.password, "wrong"), "SELECT 1")


def test_redis_runs_lua_and_keeps_its_keys_when_killed(redis_server: Redis) -> None:
    with closing(redis.Redis.from_url(redis_server.url)) as client:
        # With `everysec` a busy disk may keep the file up to two seconds behind.
        client.config_set("appendfsync", "always")
        client.set("job:42", "Waiting")
        move = "local was = redis.call('GET', KEYS[1]); redis.call('SET', KEYS[1], ARGV[1]); return was"
        assert client.eval(move, 1, "job:42", "Matched") == b"Waiting"
        redis_server.kill()
        redis_server.restart()
        assert client.get("job:42") == b"Matched"
        redis_server.flush()
        assert client.get("job:42") is None


def test_s3_accepts_a_presigned_post_and_refuses_a_wrong_signature(
    s3: "S3Client", http: urllib3.PoolManager
) -> None:
    assert upload(s3, http, "refused", b"x", **{"x-amz-signature": "0" * 64}) == 403
    assert upload(s3, http, "accepted", b"sandbox") == 204
    address = s3.generate_presigned_url("get_object", {"Bucket": "sandboxes", "Key": "accepted"})
    assert http.request("GET", address).data == b"sandbox"
    assert http.request("GET", address.replace("Signature=", "Signature=0")).status == 403
    keys = {found["Key"] for found in s3.list_objects_v2(Bucket="sandboxes")["Contents"]}
    assert keys & {"accepted", "refused"} == {"accepted"}


def test_s3_keeps_its_objects_when_the_gateway_is_killed_and_when_all_is_stopped(
    rgw: Rgw, s3: "S3Client"
) -> None:
    s3.put_object(Bucket=rgw.bucket, Key="kept", Body=b"sandbox")
    rgw.kill()
    rgw.restart()
    assert s3.get_object(Bucket=rgw.bucket, Key="kept")["Body"].read() == b"sandbox"
    rgw.stop()
    rgw.start()
    assert s3.get_object(Bucket=rgw.bucket, Key="kept")["Body"].read() == b"sandbox"


def test_a_confirmed_message_survives_the_death_of_rabbitmq(rabbitmq: RabbitMQ) -> None:
    confirmed = {"confirm_publish": True}
    with Connection(rabbitmq.url, transport_options=confirmed) as connection:
        with closing(connection.SimpleQueue("jobs")) as queue:
            queue.put({"job_id": 42})
        rabbitmq.kill()
    rabbitmq.restart()
    with Connection(rabbitmq.url) as connection, closing(connection.SimpleQueue("jobs")) as queue:
        message = queue.get(timeout=5)
        assert message.payload == {"job_id": 42}
        message.ack()
