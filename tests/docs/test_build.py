"""The documentation is built as it is for readers; what leads nowhere fails the build."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from docs.reference.hooks import MADE, MARK, marked, navigation
from tests.architecture.source import ROOT
from tests.docs.pages import DOCS, pages

LOADED = re.compile(r'<(?:script|img|iframe|source)[^>]+src="([^"]+)"|<link[^>]+href="([^"]+)"')


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """What `make docs` does, into another folder."""
    command = [sys.executable, "-m", "mkdocs", "build", "-f", str(config), "-d", str(site)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built documentation."""
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def small(folder: Path, index: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Build a few pages with our configuration; `more` are pages by their names."""
    (folder / "docs").mkdir()
    for name, text in {"index": index, **more}.items():
        (folder / "docs" / f"{name}.md").write_text(text)
    config = {
        "INHERIT": str(ROOT / "mkdocs.yml"),
        "docs_dir": "docs",
        "extra_css": [],
    }
    hooks = [str(DOCS / "reference" / "hooks.py")]
    (folder / "mkdocs.yml").write_text(yaml.safe_dump({**config, "hooks": hooks}))
    return build(folder / "mkdocs.yml", folder / "site")


def test_every_page_is_built_and_loads_nothing_from_elsewhere(site: Path) -> None:
    built = {path.stem for path in site.glob("*.html")}
    assert {page.stem for page in pages() if page.parent == DOCS} <= built
    for path in site.glob("*.html"):
        text = path.read_text()
        loaded = {one for pair in LOADED.findall(text) for one in pair if one}
        assert [one for one in loaded if one.startswith(("http:", "https:", "//"))] == [], path.name
        # The theme would fetch what draws these.
        assert 'class="mermaid"' not in text, path.name


def test_the_search_works_from_disk(site: Path) -> None:
    text = (site / "index.html").read_text()
    assert 0 < text.index('src="from-disk.js"') < text.index("assets/javascripts/bundle.")
    assert (site / "from-disk.js").exists()
    assert "rerun" in (site / "search" / "search_index.js").read_text()


def test_everything_that_is_made_from_the_code_is_on_one_page() -> None:
    found = [name for page in DOCS.glob("*.md") for name in MARK.findall(page.read_text())]
    assert sorted(found) == sorted(MADE)


def test_the_reference_has_what_the_code_has(site: Path) -> None:
    wanted = {
        "command-line": ("diracx workflows rerun", "--failed", "diracx-pilot", "--idle-seconds"),
        "settings": ("DIRACX_LEASE_SECONDS", "number &gt; 0", "30"),
        "configuration": ("Operations.&lt;VO&gt;.Tasks", "MaxRescheduling", "Resources.Sites"),
        "api": ("POST /api/workflows", "the owner, or an administrator of the VO"),
        "states": ("<svg", "Submitting", "Aborted", "half-open"),
        "exit-codes": ("core.errors.UnsupportedCwl", "33"),
        "tasks-and-schedule": ("jobs.check_stalled", "every 5 s", "realtime.medium"),
    }
    for page, words in wanted.items():
        text = (site / f"{page}.html").read_text()
        assert [word for word in words if word not in text] == [], page


def test_what_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    links = "[page](gone.md) [anchor](b.md#gone) [absolute](/b.md)"
    done = small(tmp_path, f"## A\n- [b](b.md)\n- [d](d.md)\n\n{links}\n", b="# B\n", c="# C\n")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    places = ("link 'gone.md'", "link 'b.md#gone'", "link '/b.md'", "'d.md'", "  - c.md")
    assert [one for one in places if one not in said] == [], said


def test_what_is_right_is_built(tmp_path: Path) -> None:
    done = small(tmp_path, "## A\n- [b](b.md)\n\n[c](b.md#c)\n", b="# B\n## C\n{{ breakers }}\n")
    assert done.returncode == 0, done.stderr
    assert "half-open" in (tmp_path / "site" / "b.html").read_text()


def test_links_of_the_first_page_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not link.startswith("http") and not (ROOT / link).exists()] == []


def test_the_index_is_the_navigation_and_sessions_are_marked() -> None:
    found = navigation("# X\n## A\n- [One](one.md): words\n- [Two](two.md)\n## Empty\n")
    assert found == [{"Documentation": "index.md"}, {"A": [{"One": "one.md"}, {"Two": "two.md"}]}]
    page = "Say\n\n    $ ls\n    a\n\n    $ pwd\n\nand\n\n    text\n"
    assert marked(page) == "Say\n\n```console\n$ ls\na\n\n$ pwd\n```\n\nand\n\n    text\n"
