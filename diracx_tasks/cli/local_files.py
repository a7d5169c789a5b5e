"""Files of this machine in YAML documents and in inputs."""

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ruamel.yaml import YAML

from diracx_tasks.cli.storing import FILE

SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")


def parse(text: str, kind: str = "safe") -> Any:
    """A YAML or JSON text with dates as strings; kind `rt` knows places. Raises YAMLError."""
    yaml = YAML(typ=kind, pure=True)
    yaml.allow_duplicate_keys = True
    made = yaml.constructor.yaml_constructors
    made["tag:yaml.org,2002:timestamp"] = made["tag:yaml.org,2002:str"]
    return yaml.load(text)


def anchored(value: Any, folder: Path) -> Any:
    """A value in which local Files and Directories have an absolute `path` and no location."""
    if isinstance(value, list):
        return [anchored(one, folder) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: anchored(one, folder) for key, one in value.items()}
    reference = value.get("location") or value.get("path")
    if value.get("class") in FILE and isinstance(reference, str):
        path = local(reference, folder)
        found = {key: one for key, one in found.items() if key not in ("path", "location")}
        found |= {"path": str(path)} if path else {"location": reference}
    return found


def local(reference: str, folder: Path) -> Path | None:
    """Where a path or URI points on this machine; None for other places (sandbox:, lfn:, http:, ...)."""
    literal = Path(os.path.normpath(folder / reference))
    scheme = SCHEME.match(reference)
    if literal.exists():
        return literal
    if reference.startswith("_:") or (scheme and scheme[1] != "file"):
        return None
    decoded = Path(os.path.normpath(folder / unquote(urlsplit(reference).path if scheme else reference)))
    return decoded if scheme or decoded.exists() else literal
