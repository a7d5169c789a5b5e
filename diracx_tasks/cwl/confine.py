"""What a process gives up before it evaluates strangers' expressions; none of it can be taken back."""

import ctypes
import resource
from contextlib import suppress

from schema_salad import ref_resolver
from schema_salad.exceptions import ValidationException
from schema_salad.fetcher import DefaultFetcher

MAX_FILES = 64
MAX_DATA = 3 << 30
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000


class NoFetcher(DefaultFetcher):
    """Knows CWL's own schemas only: for the loaders that cwltool makes without asking for ours."""

    def fetch_text(self, url: str, content_types: list[str] | None = None) -> str:
        """A text of the package."""
        if isinstance(text := self.cache.get(url), str):
            return text
        raise ValidationException(f"{url} is not among the files sent with the workflow")

    def check_exists(self, url: str) -> bool:
        """Whether it is of the package."""
        return url in self.cache


def confine() -> None:
    """Give up the network, writing to files, and memory beyond MAX_DATA bytes."""
    setattr(ref_resolver, "DefaultFetcher", NoFetcher)  # noqa: B010 - mypy: the module does not export it
    # Not RLIMIT_AS: V8 reserves address space that it never uses.
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_DATA, MAX_DATA))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_FILES, MAX_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _leave_network()


def _leave_network() -> None:
    """Best effort: containers often forbid namespaces, and nothing here opens a connection anyway."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        if libc.unshare(CLONE_NEWNET) != 0:
            libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)
