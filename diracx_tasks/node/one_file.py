"""The pilot out of one file: at its end what was unfolded is removed, if no other pilot uses it."""

import os
import shutil
from pathlib import Path

from diracx_tasks.node.unfold import LOCK, ROOT, remove

# The folder of the script that has fetched the file, for the jobs' files as well.
FOLDER, FILE = "DIRACX_PILOT_FOLDER", "diracx-pilot.pyz"
# What the node, or the unfolding, says of Python is not for what the pilot starts.
OF_PYTHON = ("PEX", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP")


def main() -> None:
    """`diracx-pilot`, and nothing is left behind."""
    root, lock, folder = (os.environ.pop(name, "") for name in (ROOT, LOCK, FOLDER))
    for name in OF_PYTHON:
        os.environ.pop(name, None)
    if folder:
        # It is unfolded.
        Path(folder, FILE).unlink(missing_ok=True)
    try:
        from diracx_tasks.node.pilot import main as pilot

        pilot(prog_name="diracx-pilot")
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        if root and lock:
            os.close(int(lock))
            remove(root)


if __name__ == "__main__":
    main()
