"""Tools of a workflow, run as a pilot runs them; the store is a folder."""

import json
import shutil
from itertools import count
from pathlib import Path
from typing import Any

from diracx_tasks.core.client import Client
from diracx_tasks.core.errors import DiracXError
from diracx_tasks.core.form import Told, untold
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.node.halt import Halt, Stop
from diracx_tasks.node.order import INPUTS, LOG, Order, Result
from diracx_tasks.node.staging import Placing, Staging
from diracx_tasks.node.zygote import Zygote

Values = dict[str, Any]


class Store(Client):
    """The routes that the pilot's staging calls, on a folder."""

    def __init__(self, folder: Path, prefix: str) -> None:
        super().__init__("", "")
        self.folder = folder
        self.prefix = prefix

    def path(self, location: str) -> Path:
        """Where the file of a location is: keys begin after `sandbox:/S3/<bucket>/`."""
        return self.folder / location.split("/", 3)[3]

    def post(self, path: str, body: Any = None, **_: Any) -> Any:
        """Grants, or addresses."""
        if path.endswith("downloads"):
            return [{"location": one, "url": one} for one in body["locations"]]
        return [self._grant(file["checksum"]) for file in body["files"]]

    def upload(self, grant: Values, path: Path, told: Told = untold) -> None:
        """Copy a file to where its grant says."""
        target = self.path(grant["url"])
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)

    def download(self, url: str, to: Path, told: Told = untold) -> None:
        """Copy a file from where it is."""
        shutil.copyfile(self.path(url), to)

    def _grant(self, checksum: str) -> Values:
        location = f"{self.prefix}sha256:{checksum}.file"
        url = None if self.path(location).exists() else location
        return {"pfn": location, "location": location, "url": url, "fields": {}}


class Node:
    """A worker node: one tool after the other, below a warm process."""

    def __init__(self, work: Path, store: Store) -> None:
        self._work = work
        self._store = store
        self._zygote = Zygote()
        self._numbers = count()

    def run(self, bundle: Bundle, payload: Values, seconds: float) -> Result:
        """How a job's payload, of a bundle, ended; its outputs are in the store."""
        folder = self._work / f"{next(self._numbers)}"
        folder.mkdir(parents=True)
        staging = Staging(self._store, Halt(Stop(0)), 1, 1, folder)
        bundle_folder = self._work / bundle.hash
        placing = Placing(folder / "inputs", bundle_folder, frozenset(bundle.files))
        try:
            placed = staging.fetch(payload["inputs"], placing, lambda: None)
            (folder / INPUTS).write_text(json.dumps(placed))
            result = self._result(bundle, payload, folder, seconds)
            if not result.is_success:
                return result
            return Result("success", staging.store(result.outputs or {}, lambda size: None))
        except DiracXError as error:
            return Result("permanentFail", reason=str(error))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """End the warm process."""
        self._zygote.close()

    def _result(self, bundle: Bundle, payload: Values, folder: Path, seconds: float) -> Result:
        if self._zygote.is_spent:
            self._zygote.close()
            self._zygote = Zygote()
        bundle_file = self._work / f"{bundle.hash}.json"
        bundle_file.write_text(json.dumps(bundle.to_json()))
        order = Order(
            folder=str(folder),
            entrypoint=payload["entrypoint"],
            bundle_file=str(bundle_file),
            bundle_folder=str(self._work / bundle.hash),
            path=payload["path"],
            name=payload["path"] or "main",
        )
        self._zygote.run(order)
        ended = self._zygote.wait(seconds)
        if ended is None:
            self._zygote.close()
            return Result("permanentFail", reason=f"longer than {seconds:g} s")
        result = Result.read_from(folder)
        return result or Result("permanentFail", reason=f"exit {ended.code}: {(folder / LOG).read_text()}")


def materialized(value: Any, bundle: Bundle, store: Store, folder: Path) -> Any:
    """Outputs with their files below a folder, each in a folder of its own, as `compare` wants them."""
    numbers = count()

    def place(value: Any, below: Path | None) -> Any:
        if isinstance(value, list):
            return [place(item, below) for item in value]
        if not isinstance(value, dict):
            return value
        if value.get("class") not in ("File", "Directory"):
            return {key: place(item, below) for key, item in value.items()}
        here = below or folder / str(next(numbers))
        target = here / value["basename"]
        target.parent.mkdir(parents=True, exist_ok=True)
        if value["class"] == "Directory":
            target.mkdir(exist_ok=True)
            listing = [place(item, target) for item in value.get("listing", [])]
            return value | {"location": target.as_uri(), "listing": listing}
        _write(value, target)
        secondary = [place(item, here) for item in value.get("secondaryFiles", [])]
        more = {"secondaryFiles": secondary} if secondary else {}
        return value | {"location": str(target), "path": str(target), **more}

    def _write(file: Values, target: Path) -> None:
        if "location" not in file:
            target.write_text(file["contents"])
        elif file["location"].startswith("sandbox:"):
            shutil.copyfile(store.path(file["location"]), target)
        else:
            target.write_bytes(bundle.files[file["location"].removeprefix("bundle:")])

    return place(value, None)
