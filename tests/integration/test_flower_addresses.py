"""What Flower's pages and ours call the pages of DiracX: the same."""

from types import ModuleType

import pytest

from diracx_api.ui.operate.subjects import page_of, task_page
from tests.integration.test_flower import pages

__all__ = ["pages"]
STAMP = "0f3c9a7be0d94b1f8a4d9b3f9c8e7d6a"
ELSEWHERE = "https://diracx.example.org"


@pytest.mark.parametrize(
    ("subject", "path"),
    [
        ("workflow-42", "/ui/workflows/42"),
        ("job-17", "/ui/jobs/17"),
        (STAMP, f"/ui/pilots/{STAMP}"),
        ("fan-3", ""),
        ("workflow-42/../../api", ""),
    ],
)
def test_a_subject_has_the_address_of_its_page(
    pages: ModuleType, subject: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pages.ui_address(subject) is None and pages.task_address("a") is None
    monkeypatch.setenv("FLOWER_DIRACX_UI", f"{ELSEWHERE}/")
    assert pages.ui_address(subject) == (f"{ELSEWHERE}{path}" if path else None)
    assert page_of(subject) == path
    assert pages.task_address("a/b c") == ELSEWHERE + task_page("a/b c")
