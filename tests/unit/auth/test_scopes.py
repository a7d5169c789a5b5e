"""A login may ask for the properties that the configuration knows, an extension's among them."""

import pytest

from diracx_tasks.auth import scopes
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.core.registry import PROPERTIES
from tests.builders import Installation
from tests.logins import configuration, configured


def test_an_extensions_property_may_be_asked_for(installation: Installation) -> None:
    with configured(installation, configuration()):
        assert {f"property:{name}" for name in PROPERTIES} <= set(scopes.supported())
        with pytest.raises(BadRequest, match=r"'BeamOperator'.* are not valid properties"):
            scopes.parse("vo:lhcb property:BeamOperator")
        PROPERTIES.add("BeamOperator")
        try:
            assert scopes.parse("vo:lhcb property:BeamOperator").properties == {"BeamOperator"}
            assert "property:BeamOperator" in scopes.supported()
        finally:
            PROPERTIES.discard("BeamOperator")
