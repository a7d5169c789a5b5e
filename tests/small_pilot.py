"""A file that begins as the pilot's one file does, and then only says how it was called: made in a moment."""

import platform
import sys
import zipfile
from pathlib import Path

from diracx_tasks.node import unfold

TOLD = """
import json, os, sys
said = {name: value for name, value in os.environ.items() if name.startswith(("DIRACX_", "PYTHON", "PEX"))}
folder = os.environ.get("DIRACX_PILOT_FOLDER", ".")
print(json.dumps({"arguments": sys.argv[1:], "said": said, "there": os.listdir(folder)}))
"""
HERE = (f"{sys.version_info[0]}.{sys.version_info[1]}", sys.platform, platform.machine())


def write(
    to: Path,
    targets: unfold.Targets | None = None,
    rest: str = TOLD,
    *,
    before: str = "",
    content: str = "small",
) -> Path:
    """Write one for some Pythons, this one unless others are given."""
    text = Path(unfold.__file__).read_text()
    stated = {HERE: None} if targets is None else targets
    with zipfile.ZipFile(to, "w") as packed:
        packed.writestr("__main__.py", f"{text}\n{before}\nbegin({content!r}, {stated!r})\n{rest}")
    return to
