"""What cwltool may read: the bundle, and stored files whose contents were given; never disk or network."""

import io
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any
from urllib.parse import quote, unquote, urldefrag, urljoin, urlsplit

from cwltool.stdfsaccess import StdFsAccess
from schema_salad.exceptions import ValidationException
from schema_salad.fetcher import Fetcher

from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.limits import MAX_DOCUMENT_NODES, check_text
from diracx_tasks.cwl.values import STORED

# Before an LFN: whether it is there is asked for, not what it holds.
EXISTS = "exists:"
DOCUMENTS = (".cwl", ".yml", ".yaml")


class Files:
    """The bundle's files by their URIs below `base`."""

    def __init__(self, bundle: Bundle, base: str) -> None:
        self._bundle = bundle
        self._base = base
        self._checked: set[str] = set()

    def name(self, uri: str) -> str:
        """The name inside the bundle; another address as it is."""
        return unquote(urldefrag(uri)[0].removeprefix(self._base))

    def find(self, uri: str) -> bytes | None:
        """The content of a file; None if the bundle does not have it."""
        return self._bundle.files.get(self.name(uri)) if uri.startswith(self._base) else None

    def below(self, uri: str) -> Iterator[str]:
        """The names of the files below a folder."""
        folder = self.name(uri).rstrip("/") + "/"
        if uri.startswith(self._base):
            yield from (name for name in self._bundle.files if folder == "/" or name.startswith(folder))

    def text(self, uri: str) -> str:
        """The text of a file within the limits of documents; ValidationException if there is none."""
        content, name = self.find(uri), self.name(uri)
        if content is None:
            raise ValidationException(f"{name} is not among the files sent with the workflow")
        if name not in self._checked:
            # A file of another name may be text that is included, but a document may have any name.
            must_be_yaml = name.endswith(DOCUMENTS)
            check_text(name, content, must_be_yaml=must_be_yaml, most=MAX_DOCUMENT_NODES)
            self._checked.add(name)
        return content.decode()


class BundleFetcher(Fetcher):
    """Reads documents from the bundle; every other address is refused."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def fetch_text(self, url: str, content_types: list[str] | None = None) -> str:
        """The text of a file of the bundle; InvalidCwl when it is over the limits."""
        return self._files.text(url)

    def check_exists(self, url: str) -> bool:
        """Whether the bundle has it, as a file or as a folder."""
        return self._files.find(url) is not None or any(self._files.below(url))

    def urljoin(self, base_url: str, url: str) -> str:
        """The usual meaning of a relative reference."""
        if base_url.startswith("_:") or url.startswith(("_:", "sandbox:")):
            return url
        return urljoin(base_url, url)


class BundleAccess(StdFsAccess):
    """cwltool's file access during evaluation.

    A stored file whose content was not given reads as empty and is noted in `unread`: what was evaluated with
    it is worthless, and has to be evaluated again with its content.
    """

    def __init__(self, files: Files, contents: dict[str, str]) -> None:
        super().__init__("")
        self._files = files
        self._contents = contents
        self.unread: list[str] = []

    def open(self, fn: str, mode: str) -> IO[Any]:
        """A readable stream."""
        is_stored = urlsplit(fn).scheme in STORED
        if is_stored and fn not in self._contents:
            self.unread.append(fn)
        if is_stored:
            return io.BytesIO(self._contents.get(fn, "").encode())
        return io.BytesIO(self._read(fn))

    def exists(self, fn: str) -> bool:
        """Whether it is a file or folder of the bundle or, for secondary files, of the file catalogue."""
        if fn.startswith("lfn:"):
            asked = f"{EXISTS}{fn}"
            if asked not in self._contents:
                self.unread.append(asked)
            return bool(self._contents.get(asked))
        return self.isfile(fn) or self.isdir(fn)

    def size(self, fn: str) -> int:
        """In bytes."""
        return len(self._read(fn))

    def isfile(self, fn: str) -> bool:
        """Whether it is a file of the bundle."""
        return self._files.find(fn) is not None

    def isdir(self, fn: str) -> bool:
        """Whether files of the bundle lie below it."""
        return any(self._files.below(fn))

    def listdir(self, fn: str) -> list[str]:
        """The URIs right below a folder of the bundle."""
        depth = len(PurePosixPath(self._files.name(fn)).parts)
        names = {PurePosixPath(name).parts[depth] for name in self._files.below(fn)}
        return [f"{fn.rstrip('/')}/{quote(name)}" for name in sorted(names)]

    def glob(self, pattern: str) -> list[str]:
        """Nothing: patterns are for worker nodes."""
        return []

    def realpath(self, path: str) -> str:
        """The path itself: the bundle has no links."""
        return path

    def _read(self, fn: str) -> bytes:
        content = self._files.find(fn)
        if content is None:
            raise FileNotFoundError(f"{self._files.name(fn)} is not among the files sent with the workflow")
        return content
