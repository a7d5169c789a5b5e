"""What a file catalogue holds: files by their contents, and where their replicas are."""

from dataclasses import dataclass, replace

from diracx_tasks.core.errors import DiracXError


class Taken(DiracXError):
    """An LFN is of another file already."""

    http_status = 409


@dataclass(frozen=True)
class Replica:
    """A copy at a storage element; the PFN is what the element knows it by."""

    se: str
    pfn: str


@dataclass(frozen=True)
class Content:
    """What a file is known by: its size in bytes, and those of its checksums (hex) that are known."""

    size: int
    adler32: str | None = None
    sha1: str | None = None
    sha256: str | None = None

    def is_other(self, than: "Content") -> bool:
        """Whether two contents cannot be the same."""
        pairs = [(self.sha256, than.sha256), (self.sha1, than.sha1), (self.adler32, than.adler32)]
        return self.size != than.size or any(one and two and one != two for one, two in pairs)

    def completed(self, other: "Content") -> "Content":
        """This content with the checksums that only the other one knows."""
        return replace(
            self,
            adler32=self.adler32 or other.adler32,
            sha1=self.sha1 or other.sha1,
            sha256=self.sha256 or other.sha256,
        )

    def __str__(self) -> str:
        """For people: the size and the best checksum."""
        known = {"SHA-256": self.sha256, "SHA-1": self.sha1, "Adler-32": self.adler32}
        kind, value = next(((name, one) for name, one in known.items() if one), ("checksum", "unknown"))
        return f"{self.size} bytes, {kind} {value}"


@dataclass(frozen=True)
class Entry:
    """A file of the catalogue; `created_at` is in UTC, in ISO format."""

    lfn: str
    content: Content
    guid: str
    owner: str
    group: str
    replicas: tuple[Replica, ...] = ()
    job_id: int | None = None
    created_at: str = ""


@dataclass(frozen=True)
class Folder:
    """What is right below a folder: names of folders, and files; with `after` one asks for the rest."""

    folders: list[str]
    files: list[Entry]
    after: str | None = None
