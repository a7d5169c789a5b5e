"""Somebody at a terminal with a browser, who logs in with the official command line or ours."""

import html
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

import httpx2
import urllib3

from tests.processes import ROOT
from tests.provider import Provider

OFFICIAL = ("diracx.cli",)
OURS = ("diracx_tasks.cli",)
LINE = {"diracx.cli": "Now go to: ", "diracx_tasks.cli": "Open  "}


def browse(address: str, **fields: str) -> None:
    """What somebody does in a browser: it follows redirects, to the provider and back, and he says yes.

    A page of ours that stands in for a provider asks for `fields` as well.
    """
    with httpx2.Client(follow_redirects=True) as browser:
        page = browser.get(address)
        form = re.search(r'action="([^"]+)".*name="state" value="([^"]+)"', page.text, re.DOTALL)
        if form:
            content = {"state": html.unescape(form[2]), "action": "login", **fields}
            browser.post(urljoin(str(page.url), form[1]), data=content)


@dataclass
class Desk:
    """Somebody's terminal and browser; the credentials are in a folder of his own."""

    url: str
    folder: Path
    provider: Provider = field(default_factory=Provider)
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DIRACX_")}
        own = {
            "HOME": str(self.folder),
            "DIRACX_URL": self.url,
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(ROOT),
        }
        self.environment = {**kept, **own, "DIRACX_DATA": str(self.folder / "data"), "COLUMNS": "200"}

    @property
    def file(self) -> Path:
        """The official place of credentials."""
        return self.folder / ".cache" / "diracx" / "credentials.json"

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself."""
        return subprocess.run(
            [sys.executable, "-m", *command],
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=90,
        )

    def log_in(self, *command: str, browse: Callable[[str], object] = browse) -> tuple[int, str]:
        """Type a login, and open the address that it shows in a browser; its exit code and all it said."""
        options: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        said = ""
        with subprocess.Popen([sys.executable, "-m", *command], env=self.environment, **options) as typed:
            assert typed.stdout
            for line in typed.stdout:
                said += line
                if (start := LINE[command[0]]) in line:
                    browse(line.partition(start)[2].strip())
        return typed.returncode, said

    def send(self, what: str, form: dict[str, str]) -> int:
        """The status that a form below /api/auth gets."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = urllib3.request("POST", f"{self.url}/api/auth/{what}", body=urlencode(form), headers=kind)
        return answer.status

    def expire(self) -> str:
        """Make the access token look as good as expired; answers the refresh token."""
        kept = json.loads(self.file.read_text())
        self.file.write_text(json.dumps({**kept, "expires_on": int(time.time()) + 10}))
        return str(kept["refresh_token"])
