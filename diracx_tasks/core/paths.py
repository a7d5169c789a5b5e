"""Where an embedded installation keeps its data; without pydantic, for the pilot and the command line."""

import os
from pathlib import Path

DATA = "DIRACX_DATA"


def data_folder() -> Path:
    """DIRACX_DATA, else the user's data folder."""
    if given := os.environ.get(DATA):
        return Path(given).expanduser()
    return usual_data_folder()


def usual_data_folder() -> Path:
    """The user's data folder, which needs no setting."""
    import platformdirs

    return platformdirs.user_data_path("diracx")


def packaged(inside: str, beside: str) -> Path:
    """A folder that comes with this package: inside it when installed, beside it in a checkout."""
    package = Path(__file__).parents[1]
    return package / inside if (package / inside).exists() else package.parent / beside
