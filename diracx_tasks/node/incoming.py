"""Files of the inputs from their stores to where they were placed, each verified."""

import hashlib
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diracx_tasks.node.placing import Placing, Wanted
from diracx_tasks.node.transfer import ROUNDS, StagingError, Transfers, chunks

Address = dict[str, Any]
BLOCK = 1 << 20


@dataclass
class Incoming:
    """Fetches; remembers which LFN has which content, by `(basename, size, checksum)`, and which GUID."""

    transfers: Transfers
    lfns: dict[tuple[str, int, str], str] = field(default_factory=dict)
    guids: dict[str, str] = field(default_factory=dict)

    def fetch(self, placing: Placing) -> None:
        """Bring all that is wanted; raises StagingError, Halted, and ApiError when the server refuses."""
        for path, location in placing.folders.items():
            path.mkdir(parents=True, exist_ok=True)
            for address in self._addresses([location]).values():
                inside = address["location"].removeprefix(f"{location}/")
                placing.wanted[path / inside] = Wanted(address["location"], address["size"])
        for number in range(ROUNDS):
            missing: dict[str, list[Path]] = {}
            for path, wanted in placing.wanted.items():
                if not path.exists():
                    missing.setdefault(wanted.location, []).append(path)
            failed = [words for words in self._download(missing, placing) if words]
            if not failed:
                return
            if number == ROUNDS - 1:
                raise StagingError(failed[0])

    def _addresses(self, locations: list[str]) -> dict[str, Address]:
        found = [
            one for some in chunks(locations) for one in self.transfers.post("downloads", {"locations": some})
        ]
        return {one["location"]: one for one in found}

    def _download(self, missing: dict[str, list[Path]], placing: Placing) -> list[str | None]:
        addresses = self._addresses(list(missing))

        def one(item: tuple[str, list[Path]]) -> str | None:
            location, (path, *others) = item
            if location not in addresses:
                raise StagingError(f"{location} is a folder, not a file")
            failed = self._bring(addresses[location], placing.wanted[path], path)
            for other in others if failed is None else ():
                other.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, other)
            return failed

        return self.transfers.in_parallel(one, list(missing.items()))

    def _bring(self, address: Address, wanted: Wanted, path: Path) -> str | None:
        """None when the file is there, or why not; StagingError when it is not the one that was meant."""
        size, location = address.get("size"), wanted.location
        if None not in (size, wanted.size) and size != wanted.size:
            raise StagingError(f"{location} had {wanted.size} bytes at the submission, and has {size} now")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".whole")
        *first, last = address.get("urls") or [address["url"]]
        failed: str | None = "not tried"
        for url in first:
            if (failed := self._try(self.transfers.once, url, address, part)) is None:
                break
        if failed:
            failed = self._try(self.transfers.persistent, last, address, part)
        if failed is None:
            part.rename(path)
            self._remember(address, path)
        return failed

    def _try(
        self,
        transfer: Callable[[str, Callable[[], None]], str | None],
        url: str,
        address: Address,
        part: Path,
    ) -> str | None:
        failed = transfer(address["location"], lambda: self.transfers.client.download(url, part))
        return failed or wrong_content(address, part)

    def _remember(self, address: Address, path: Path) -> None:
        if guid := address.get("guid"):
            self.guids[address["location"]] = guid
        if address["location"].startswith("lfn:") and address.get("checksum"):
            known = (path.name, path.stat().st_size, address["checksum"])
            self.lfns[known] = address["location"]


def wrong_content(address: Address, path: Path) -> str | None:
    """What is wrong with a file that was fetched; None when it is what its name or the catalogue says."""
    location, checksum = address["location"], address.get("checksum")
    if location.startswith("sandbox:"):
        found = _digest("sha256", path)
        if f"/sha256:{found}." in location:
            return None
        return f"{location}: what the store sent has the checksum {found}"
    size = path.stat().st_size
    if address.get("size") not in (None, size):
        return f"{location}: the storage element sent {size} bytes of {address['size']}"
    if checksum:
        kind, _, wanted = checksum.partition(":")
        if (found := _digest(kind, path)) != wanted:
            return f"{location}: what the storage element sent has the checksum {kind}:{found}, not {wanted}"
    return None


def _digest(kind: str, path: Path) -> str:
    with path.open("rb") as stream:
        if kind != "adler32":
            return hashlib.file_digest(stream, kind).hexdigest()
        value = 1
        while block := stream.read(BLOCK):
            value = zlib.adler32(block, value)
        return f"{value:08x}"
