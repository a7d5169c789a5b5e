"""The page of Flower with plots of what jobs used."""

import base64
import re

import pytest

from tests.builders import installation, template
from tests.integration.test_flower import Flower, flower
from tests.unit.accounting.attempts import gather, measured

__all__ = ["flower", "installation", "template"]
pytestmark = pytest.mark.integration


def plots(page: str) -> list[str]:
    """The drawings of a page."""
    return [base64.b64decode(one).decode() for one in re.findall(r'src="data:image/svg[^,]+,([^"]+)"', page)]


def test_what_jobs_used_is_plotted_by_what_is_chosen(flower: Flower) -> None:
    measured(1, node="CERN/n1", owner="alice", vo="local")
    measured(1, node="RAL/n2", owner="<b>bob</b>", vo="local")
    assert gather() == 2
    used, states = plots(flower.page("/diracx/usage?vo=local&by=owner&measure=attempts&period=week"))
    assert "alice: 1 attempts" in used and "&lt;b&gt;bob&lt;/b&gt;: 1 attempts" in used
    assert "local: jobs" in states
    assert "RAL: 1 attempts" in plots(flower.page("/diracx/usage?by=site&measure=attempts"))[0]
    # What nobody offers is not taken.
    assert "by site" in flower.page("/diracx/usage?vo=mars&by=password&period=century")
