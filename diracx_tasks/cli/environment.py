"""How operators' commands find an installation: the environment, else the embedded one that runs here."""

import json
import os

from diracx_tasks.core.paths import data_folder


def embedded_environment() -> None:
    """Add what a running `diracx up` wrote down, as far as the environment does not state it itself."""
    file = data_folder() / "environment.json"
    if "DIRACX_DATABASE_URL" in os.environ or not file.exists():
        return
    for name, value in json.loads(file.read_text()).items():
        os.environ.setdefault(name, value)
