"""Where an embedded installation keeps its data; without pydantic, for the pilot and the command line."""

import os
from pathlib import Path


def data_folder() -> Path:
    """DIRACX_DATA, else the user's data folder."""
    if given := os.environ.get("DIRACX_DATA"):
        return Path(given).expanduser()
    import platformdirs

    return platformdirs.user_data_path("diracx")


def packaged(inside: str, beside: str) -> Path:
    """A folder that comes with this package: inside it when installed, beside it in a checkout."""
    package = Path(__file__).parents[1]
    return package / inside if (package / inside).exists() else package.parent / beside
