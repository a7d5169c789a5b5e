"""What the service tells of itself (GA4GH WES 1.1, GetServiceInfo), and how one gets a token."""

from collections import Counter
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from diracx_api.models.wes import WesState
from diracx_api.wes.answer import STATES
from diracx_api.wes.engine import ENGINE, PARAMETERS, VERSIONS, engine_version
from diracx_api.wes.prefix import PREFIX
from diracx_tasks.core.config import config
from diracx_tasks.core.remembered import remembered
from diracx_tasks.core.settings import settings
from diracx_tasks.workflows import runs

WES = "1.1.0"
TOKEN = "/token"
INSTRUCTIONS = """How to get a token for {url}{prefix}

With the command line of DiracX (or of this project), for one of the VOs {vos}:

    export DIRACX_URL={url}
    dirac login VO
    python3 -c "import json, pathlib
    print(json.loads(pathlib.Path('~/.cache/diracx/credentials.json').expanduser().read_text())['access_token'])"

Send it as `Authorization: Bearer TOKEN`, or as the password of any user name (Basic).
It holds for {minutes:g} minutes.
Other programs log in with OpenID Connect: {url}/.well-known/openid-configuration
"""


def info(db: Session) -> dict[str, Any]:
    """What this service is and can do, and how many runs of all users are in which state."""
    url = settings().url.rstrip("/")
    host = urlsplit(url).hostname or "localhost"
    return {
        "id": ".".join([*reversed(host.split(".")), "wes"]),
        "name": "DiracX on Celery",
        "type": {"group": "org.ga4gh", "artifact": "wes", "version": WES},
        "description": "CWL workflows, each tool a job of the grid.",
        "organization": {"name": host, "url": url},
        "documentationUrl": f"{url}/api/docs",
        "version": engine_version(),
        "workflow_type_versions": {"CWL": {"workflow_type_version": list(VERSIONS)}},
        "supported_wes_versions": [WES],
        "supported_filesystem_protocols": ["sandbox", "lfn"],
        "workflow_engine_versions": {ENGINE: {"workflow_engine_version": [engine_version()]}},
        "default_workflow_engine_parameters": [
            {"name": name, "type": one.kind, "default_value": one.default} for name, one in PARAMETERS.items()
        ],
        "system_state_counts": _counts(db),
        "auth_instructions_url": f"{url}{PREFIX}{TOKEN}",
        "tags": {"cwltool": version("cwltool")},
    }


def _counts(db: Session) -> dict[WesState, int]:
    # Anybody may ask, and the answer reads a whole index.
    counted = remembered(("wes", settings().database, "states"), lambda: runs.tally(db))
    found: Counter[WesState] = Counter()
    for one in counted:
        found[WesState.SYSTEM_ERROR if one.is_of_the_system else STATES[one.status]] += one.number
    return dict(found)


def instructions() -> str:
    """How one gets a token and sends it, for people."""
    found = settings()
    vos = ", ".join(sorted(config().Registry))
    return INSTRUCTIONS.format(url=found.url.rstrip("/"), prefix=PREFIX, vos=vos, minutes=found.token_minutes)
