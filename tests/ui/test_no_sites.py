"""The page of sites where the configuration has none, as after `diracx up`."""

import re

from tests.architecture.source import ROOT
from tests.ui.operating import Visit


def test_without_sites_the_page_says_why_and_what_to_do(visit: Visit) -> None:
    alice = visit("alice")
    words = alice.goto("/ui/sites").locator(".empty").inner_text()
    assert "names no computing element" in words and "diracx up runs needs none" in words
    (page,) = re.findall(r"docs/[a-z-]+\.md", words)
    assert "    Resources:\n      Sites:" in (ROOT / page).read_text()
    alice.is_accessible()
    alice.page.get_by_role("link", name="pilots", exact=True).last.click()
    assert alice.page.url.endswith("/ui/pilots")
