"""What a process imports that it does not use: it takes time at every start, and memory in every process."""

import subprocess
import sys

import pytest

# Clients of servers that an installation need not have.
HEAVY = ("boto3", "opensearchpy", "aiohttp")


@pytest.mark.parametrize("module", ["diracx_api.app", "diracx_tasks.app"])
def test_clients_of_servers_that_are_not_there_are_not_imported(module: str) -> None:
    code = f"import {module}, sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
