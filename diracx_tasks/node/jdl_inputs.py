"""What a JDL job finds in its folder: its sandboxes, unpacked, and its input data."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from diracx_tasks.core.unpack import unpack
from diracx_tasks.node.incoming import Incoming
from diracx_tasks.node.placing import Placing, Wanted
from diracx_tasks.node.refused import doing
from diracx_tasks.node.report import Report
from diracx_tasks.node.transfer import StagingError, Transfers

STORE, LFN = "SB:SandboxSE|", "LFN:"
ARCHIVES = (".tar", ".tar.bz2", ".tar.gz", ".tar.xz", ".tar.zst", ".tgz")
CATALOGUE = "pool_xml_catalog.xml"
HEAD = """<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<!DOCTYPE POOLFILECATALOG SYSTEM "InMemory">
<POOLFILECATALOG>
"""
RUNNING = "Running"


class JdlInputs:
    """Brings the files of one job into its `folder`; archives lie in `beside` until they are unpacked."""

    def __init__(
        self, transfers: Transfers, report: Report, folder: Path, beside: Path, say: Callable[[str], None]
    ) -> None:
        self._incoming = Incoming(transfers)
        self._report, self._folder, self._beside, self._say = report, folder, beside, say

    def bring(self, payload: dict[str, Any]) -> None:
        """Have all of it there; Refused, with DIRAC's minor status, for what cannot be had."""
        stated = payload["input_sandbox"]
        sandboxes = [one for one in stated if one.startswith("SB:")]
        lfns = [_location(one) for one in stated if one.upper().startswith(LFN)]
        data = [_location(one) for one in payload["input_data"]]
        if sandboxes:
            self._report.note(RUNNING, "Downloading InputSandbox")
            doing("Failed Downloading InputSandbox", lambda: self._sandboxes(sandboxes))
        if lfns:
            self._report.note(RUNNING, "Downloading InputSandbox LFN(s)")
            doing("Failed Downloading InputSandbox LFN(s)", lambda: self._files_of_sandbox(lfns))
        if data:
            self._report.note(RUNNING, "Input Data Resolution")
            doing("Input Data Not Available", lambda: self._data(data))

    def _sandboxes(self, names: Sequence[str]) -> None:
        archives = {}
        for number, name in enumerate(dict.fromkeys(names), 1):
            if not name.startswith(STORE):
                raise StagingError(
                    f"{name}: only sandboxes of {STORE.removeprefix('SB:')[:-1]} are known here"
                )
            archives[self._beside / f"sandbox-{number}"] = f"sandbox:{name.removeprefix(STORE)}"
        self._fetch(archives)
        for archive in archives:
            self._unpack(archive)

    def _files_of_sandbox(self, lfns: Sequence[str]) -> None:
        """Files with LFNs; those that are archives are unpacked, as DIRAC does, and stay."""
        files = self._placed(lfns)
        self._fetch(files)
        for path in files:
            if path.name.endswith(ARCHIVES):
                self._unpack(path)

    def _data(self, lfns: Sequence[str]) -> None:
        files = self._placed(lfns)
        self._fetch(files)
        entries = [_entry(self._incoming.guids.get(lfn, ""), path, lfn) for path, lfn in files.items()]
        (self._folder / CATALOGUE).write_text(f"{HEAD}{''.join(entries)}</POOLFILECATALOG>\n")

    def _placed(self, lfns: Sequence[str]) -> dict[Path, str]:
        """Beside the program; the second of one name in a folder of its own."""
        placed: dict[Path, str] = {}
        for number, lfn in enumerate(dict.fromkeys(lfns), 1):
            path = self._folder / lfn.rpartition("/")[2]
            if path in placed or path.exists():
                path = self._folder / f"InputData_{number}" / path.name
            placed[path] = lfn
        return placed

    def _fetch(self, files: dict[Path, str]) -> None:
        placing = Placing(self._folder, self._folder, frozenset())
        placing.wanted |= {path: Wanted(location) for path, location in files.items()}
        self._incoming.fetch(placing)

    def _unpack(self, archive: Path) -> None:
        """Of two archives' files of one name the later one's stays, as with tar."""
        made = self._beside / f"{archive.name}.unpacked"
        found = unpack(archive, made)
        for name in found.left_out:
            self._say(f"left out of the input sandbox, because it is no file: {name}")
        for path in found.files:
            target = self._folder / path.relative_to(made)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
            except OSError as error:
                raise StagingError(f"{path.name} of the input sandbox: {error.strerror}") from error
        for path in sorted(made.rglob("*")):
            (self._folder / path.relative_to(made)).mkdir(parents=True, exist_ok=True)
        shutil.rmtree(made)


def _location(name: str) -> str:
    return f"lfn:{name[len(LFN) :]}" if name.upper().startswith(LFN) else f"lfn:{name}"


def _entry(guid: str, path: Path, location: str) -> str:
    """POOL's entry of a file, as DIRAC's PoolXMLCatalog writes it."""
    lfn = location.removeprefix("lfn:")
    return (
        f"  <File ID={quoteattr(guid)}>\n"
        f'    <physical>\n      <pfn filetype="ROOT_All" name={quoteattr(str(path))}/>\n    </physical>\n'
        f"    <logical>\n      <lfn name={quoteattr(lfn)}/>\n    </logical>\n"
        "  </File>\n"
    )
