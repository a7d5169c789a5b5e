"""The community's validator of RO-Crates, apart: it asks for an older `rich` than we do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1] / "build" / "rocrate"
# The second brings the JSON-LD context that the first would fetch.
PACKAGES = ("roc-validator==0.13.0", "rocrate==0.13.0")
SECONDS = 300


def validator() -> Path:
    """The program, installed on the first call; without it the test is skipped, or fails in CI."""
    complete = HOME / "complete"
    if not complete.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(HOME)], check=True, timeout=SECONDS)
        pip = [str(HOME / "bin" / "python"), "-m", "pip", "install", "-qq", *PACKAGES]
        done = subprocess.run(pip, capture_output=True, text=True, timeout=SECONDS, check=False)
        if done.returncode:
            words = f"{' '.join(PACKAGES)} cannot be installed: {done.stderr[-500:]}"
            pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)
        complete.touch()
    return HOME / "bin" / "rocrate-validator"
