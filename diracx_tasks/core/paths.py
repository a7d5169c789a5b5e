"""Where an embedded installation keeps its data; without pydantic, for the pilot and the command line."""

import os
from pathlib import Path


def data_folder() -> Path:
    """DIRACX_DATA, else the user's data folder."""
    if given := os.environ.get("DIRACX_DATA"):
        return Path(given).expanduser()
    import platformdirs

    return platformdirs.user_data_path("diracx")
