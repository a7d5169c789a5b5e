"""Every setting of the servers, from environment variables `DIRACX_*` only."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from diracx_tasks.core.paths import data_folder

Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """What an installation sets; the defaults are the embedded installation's.

    An operator sets at least DIRACX_DATABASE_URL, DIRACX_REDIS_URL, DIRACX_S3_* and DIRACX_URL;
    `diracx admin check` says what is missing or wrong.
    """

    model_config = SettingsConfigDict(env_prefix="DIRACX_", extra="ignore")

    data: Path = Field(default_factory=data_folder, description="Folder of the embedded installation.")
    url: str = Field("http://127.0.0.1:8000", description="The API's address as users and pilots reach it.")
    database_url: str = Field(
        "",
        description="SQLAlchemy URL: mysql+pymysql://... or sqlite:///...; default: SQLite in `data`.",
    )
    database_schemas: dict[str, str] = Field(
        {}, description='Other names of DIRAC\'s databases, as JSON: {"JobDB": "prod_JobDB"}.'
    )
    database_seconds: Seconds = Field(30, description="A statement that takes longer is given up: 503.")
    requests_at_once: int = Field(
        1000, ge=10, description="The API refuses more requests at a time: 503 with Retry-After."
    )
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Matcher, locks and limits.")
    broker_url: str = Field("", description="Celery's broker, Redis or RabbitMQ; default: the same Redis.")
    s3_endpoint: str = Field("", description="URL of the S3 server; empty: sandboxes are a folder.")
    s3_bucket: str = Field("diracx-sandboxes", description="Bucket of the sandboxes; it must exist.")
    s3_access_key: str = Field("", description="S3 access key.")
    s3_secret_key: SecretStr = Field(SecretStr(""), description="S3 secret key.")
    s3_region: str = Field("us-east-1", description="S3 region that signatures are made for.")
    storage_keys: dict[str, tuple[str, SecretStr]] = Field(
        {}, description='Keys of S3 storage elements, as JSON: {"CERN-S3": ["access key", "secret key"]}.'
    )
    token_issuer: str = Field("", description="The `iss` of tokens; default: the URL.")
    token_keys: str = Field(
        "", description="JWK set as JSON, or a file; default: keys/jwks.json in the data folder."
    )
    token_minutes: float = Field(20, gt=5.25, description="Life of an access token in minutes.")
    refresh_minutes: float = Field(
        60, gt=0, description="A login lasts so many minutes, however it is renewed."
    )
    client_id: str = Field("myDIRACClientID", description="The client id that our clients log in with.")
    allowed_redirects: list[str] = Field(
        [],
        description="Pages that a login may return to, as JSON, besides our own and those of `web_origins`.",
    )
    web_origins: list[str] = Field(
        [f"{scheme}://localhost:{port}" for port in (8000, 3000) for scheme in ("http", "https")],
        description="Origins of web pages that may call the API (CORS), as JSON: DiracX-Web's.",
    )
    web_root: str = Field(
        "", description="Folder with DiracX-Web's static export, served at /; empty: / leads to our pages."
    )
    device_flow_seconds: Seconds = Field(600, description="Somebody has so long to confirm a device's code.")
    authorization_flow_seconds: Seconds = Field(300, description="A login in a browser may take so long.")
    legacy_exchange_hashed_api_key: str = Field(
        "", description="sha256 (hex) of the key that DIRAC 9 exchanges proxies with; empty: off."
    )
    login_page: bool = Field(
        False, description="A page of our own stands in for a VO's missing IdP: for one machine only."
    )
    security_contact: str = Field("", description="mailto: or https: address for security.txt; empty: none.")
    jobs_at_once: int = Field(10_000, ge=1, description="The most jobs that one submission may make.")
    opensearch_url: str = Field("", description="OpenSearch for job parameters; empty: the database.")
    opensearch_prefix: str = Field("", description="What our OpenSearch indexes' names begin with.")
    opensearch_user: str = Field("", description="OpenSearch user; empty: no authentication.")
    opensearch_password: SecretStr = Field(SecretStr(""), description="OpenSearch password.")
    opensearch_ca: str = Field("", description="File with the CA of OpenSearch; empty: the system's.")
    vo: str = Field("local", description="VO of the embedded installation.")
    heartbeat_seconds: Seconds = Field(
        30, description="How often a pilot reports on its job, unless it says otherwise."
    )
    dirac_heartbeat_seconds: Seconds = Field(
        1800, description="How often the wrapper of a pilot reports that describes itself in DIRAC's words."
    )
    matched_seconds: Seconds = Field(
        300, description="A matched job must run within 4 heartbeats' time, and at least this."
    )
    missed_heartbeats: float = Field(
        2.5, ge=2, description="A job is Stalled after so many heartbeats' time of silence."
    )
    silent_seconds: Seconds = Field(300, description="And it is not Stalled before so much silence.")
    stalled_seconds: Seconds = Field(
        600, description="A Stalled job is rescheduled after 6.5 heartbeats' time, and at least this."
    )
    max_reschedules: int = Field(3, ge=0, description="A job that is lost more often fails.")
    lease_seconds: Seconds = Field(
        30, description="A job taken from the queue and not claimed returns to it."
    )
    sandbox_days: float = Field(
        15, gt=0, description="A sandbox without a job is removed after so many days."
    )
    sandbox_bytes: int = Field(1 << 30, gt=0, description="The largest file that the sandbox store takes.")
    url_seconds: int = Field(300, ge=10, description="Life of a presigned URL.")
    mail_url: SecretStr = Field(
        SecretStr(""),
        description="Who sends our mail: smtp://user:password@host:587 (STARTTLS), smtps://...; empty: none.",
    )
    mail_from: str = Field("", description="The sender of our mail.")
    webhook_hosts: list[str] = Field(
        [],
        description="Hosts (or host:port) that users' webhooks may reach in our own network, also over http.",
    )
    notice_seconds: Seconds = Field(60, description="What users are told waits so long for more to tell.")
    notice_interval_seconds: int = Field(
        600, ge=1, le=604800, description="No user is told more often, in each way."
    )
    notice_days: float = Field(30, gt=0, description="What users were told is kept so many days.")
    flower_url: str = Field("", description="Where Flower is, for links.")
    config_backend_url: str = Field(
        "",
        description="The configuration: a YAML file, git+file:///path or git+https://... with default.yml.",
    )
    ssh_key: str = Field(
        "",
        description="Private key (a file) for computing elements of the kind ssh, unless a CE has its own.",
    )
    ssh_known_hosts: str = Field(
        "", description="File with the keys of their hosts, as OpenSSH's known_hosts; others are refused."
    )
    pilot_file: str = Field(
        "",
        description="The pilot's one file, made with `diracx pilots pack`; empty: made when it is needed.",
    )
    history_days: float = Field(14, gt=0, description="The history of tasks is kept so many days.")
    snapshot_days: float = Field(30, gt=0, description="Snapshots of jobs' states are kept so many days.")
    usage_days: float = Field(730, gt=0, description="Hourly sums of what jobs used are kept so many days.")
    usage_record_days: float = Field(
        90, gt=0, description="What each attempt used is kept so many days, beside the sums."
    )
    shutdown_seconds: float = Field(
        2, ge=0, description="A worker that is told to stop lets running tasks go on for so long."
    )
    health_files: str = Field("", description="Folder in which workers and beat touch files; empty: none.")
    log_format: Literal["text", "json"] = Field("text", description="How log lines look.")
    log_level: str = Field("INFO", description="The least important lines that are logged.")
    otel_endpoint: str = Field(
        "", description="OTLP over HTTP: where traces are sent, as http://collector:4318; empty: nowhere."
    )

    @property
    def database(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{self.data / 'diracx.db'}"

    @property
    def broker(self) -> str:
        """The broker's URL."""
        return self.broker_url or self.redis_url

    @property
    def issuer(self) -> str:
        """The `iss` of tokens."""
        return self.token_issuer or self.url

    @property
    def keys_file(self) -> Path:
        """Where the keys are when they are in a file."""
        return Path(self.token_keys) if self.token_keys else self.data / "keys" / "jwks.json"


@lru_cache(1)
def settings() -> Settings:
    """This process's settings, read once."""
    return Settings()


def stated() -> dict[str, str]:
    """The DIRACX_ variables that the environment states."""
    return {name: value for name, value in os.environ.items() if name.startswith("DIRACX_")}
