"""Storage elements and file catalogues of other packages, and what is said when there is none."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.database import session
from diracx_tasks.core.errors import SettingsError
from diracx_tasks.storage import elements, read, write
from diracx_tasks.storage.catalogue import catalogue
from diracx_tasks.storage.names import Writer
from diracx_tasks.storage.tables import File
from tests.builders import VO, Installation, environment

ALICE = Writer("alice", "user", VO)
LFN = "/lhcb/user/a/alice/x"
CONTENT = b"content"
KNOWN = (len(CONTENT), sha256(CONTENT).hexdigest())
PACKAGE = '''
import pickle
from pathlib import Path

class Tape:
    """A folder whose PFNs are LFNs."""
    largest = 100
    def __init__(self, name, options):
        self.folder = Path(options["Folder"])
    def pfn(self, lfn, vo, sha256):
        return lfn[1:].replace("/", ".")
    def grant(self, pfn, *, sha256, size):
        return {"url": f"tape:{pfn}", "fields": {}}
    def url(self, pfn):
        return f"tape:{pfn}"
    def size(self, pfn):
        path = self.folder / pfn
        return path.stat().st_size if path.exists() else None
    def read(self, pfn, most):
        return (self.folder / pfn).read_bytes()[:most]
    def remove(self, pfns):
        for pfn in pfns:
            (self.folder / pfn).unlink(missing_ok=True)

class Paper:
    """A catalogue in one file."""
    def __init__(self, db, vo):
        self.path = Path(__file__).with_name(f"{vo}.catalogue")
    @property
    def entries(self):
        return pickle.loads(self.path.read_bytes()) if self.path.exists() else {}
    def look_up(self, lfns):
        return {lfn: entry for lfn, entry in self.entries.items() if lfn in lfns}
    def register(self, files):
        self.path.write_bytes(pickle.dumps({**self.entries, **{one.lfn: one for one in files}}))
        return []
'''
CONFIGURATION = """
Operations: {{lhcb: {{DataManagement: {{FileCatalog: {catalogue}}}}}}}
Registry: {{lhcb: {{DefaultGroup: user, Groups: {{user: {{Properties: [NormalUser]}}}}}}}}
Resources: {{StorageElements: {{RAL-TAPE: {{Type: {kind}, Folder: "{folder}"}}}}}}
"""
Configured = Callable[..., AbstractContextManager[None]]


@contextmanager
def _configured(
    installation: Installation, folder: Path, catalogue: str = "paper", kind: str = "tape"
) -> Iterator[None]:
    text = CONFIGURATION.format(catalogue=catalogue, kind=kind, folder=folder)
    (installation.folder / "configuration.yml").write_text(text)
    stated = {"DIRACX_DATA": str(installation.folder), "DIRACX_REDIS_URL": installation.redis.url}
    with environment(**stated, DIRACX_CONFIG_BACKEND_URL=str(installation.folder / "configuration.yml")):
        yield


@pytest.fixture
def configured(installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configured:
    """The installation with a package that brings a tape and a catalogue on paper."""
    about = tmp_path / "package/storage-1.0.dist-info"
    about.mkdir(parents=True)
    (tmp_path / "package/paper_and_tape.py").write_text(PACKAGE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: storage\nVersion: 1.0\n")
    points = "[diracx.file_catalogues]\npaper = paper_and_tape:Paper\n"
    (about / "entry_points.txt").write_text(
        f"{points}[diracx.storage_elements]\ntape = paper_and_tape:Tape\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "package"))
    (tmp_path / "tape").mkdir()
    return partial(_configured, installation, tmp_path / "tape")


def stored(db: Session, folder: Path) -> list[dict[str, Any]]:
    """The grants for a file that is now on tape and registered."""
    grants = write.announce(db, ALICE, [write.Announced(LFN, *KNOWN, ("RAL-TAPE",))])
    (folder / "lhcb.user.a.alice.x").write_bytes(CONTENT)
    write.register(db, ALICE, [write.Uploaded(LFN, "RAL-TAPE", *KNOWN)])
    return grants


def test_files_lie_where_another_package_puts_them(configured: Configured, tmp_path: Path) -> None:
    with configured("diracx"), session() as db:
        (grant,) = stored(db, tmp_path / "tape")
        assert grant["url"] == "tape:lhcb.user.a.alice.x"
        (address,) = read.addresses(db, VO, [LFN])
        assert address.urls == ["tape:lhcb.user.a.alice.x"]
        assert elements.names(VO) == ["SE-USER", "RAL-TAPE"]


def test_a_vo_has_the_catalogue_that_its_configuration_names(configured: Configured, tmp_path: Path) -> None:
    with configured("paper"), session() as db:
        stored(db, tmp_path / "tape")
        assert read.resolve(db, VO, [LFN])[LFN].owner == "alice"
        assert db.scalars(select(File)).all() == []
        assert read.resolve(db, "belle", ["/belle/x"]) == {}


def test_a_file_that_is_too_large_goes_elsewhere_or_nowhere(configured: Configured) -> None:
    with configured("diracx"), session() as db:
        big = write.Announced(LFN, 101, "0" * 64, ("RAL-TAPE", "SE-USER"))
        assert write.announce(db, ALICE, [big])[0]["se"] == "SE-USER"
        with pytest.raises(Exception, match="has 101 bytes, RAL-TAPE takes 100"):
            write.announce(db, ALICE, [write.Announced(LFN, 101, "0" * 64, ("RAL-TAPE",))])


def test_what_no_package_brings_is_named(configured: Configured) -> None:
    with configured("parchment", "punched-cards"), session() as db:
        with pytest.raises(
            SettingsError, match="no file catalogue 'parchment' for lhcb; there are diracx, paper"
        ):
            catalogue(db, VO)
        words = "nobody serves the storage element RAL-TAPE: its Type is none of folder, s3, tape"
        with pytest.raises(SettingsError, match=words):
            elements.element("RAL-TAPE")


@pytest.mark.parametrize("path", ["..", "../../x", "/etc", "."])
def test_a_folder_stays_in_the_data_folder(configured: Configured, path: str) -> None:
    with configured("diracx", f'folder, Path: "{path}"'), pytest.raises(SettingsError, match="leads out of"):
        elements.element("RAL-TAPE")


def test_an_s3_element_says_what_it_lacks(configured: Configured) -> None:
    words = "RAL-TAPE lacks Endpoint and Bucket and a key in DIRACX_STORAGE_KEYS"
    with configured("diracx", "s3"), pytest.raises(SettingsError, match=words):
        elements.element("RAL-TAPE")
