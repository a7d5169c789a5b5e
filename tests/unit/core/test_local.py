"""The configuration that an embedded installation begins with."""

import pytest

from diracx_tasks.core import config
from diracx_tasks.core.local import local_configuration


@pytest.mark.parametrize(("vo", "name"), [("local", "alice"), ("a b", "yes"), ("12", "1e5"), ("x: {", 'o"b')])
def test_the_configuration_of_an_embedded_installation_has_its_user_in_both_groups(
    vo: str, name: str
) -> None:
    found = config.parse(local_configuration(vo, name), "config.yml").Registry[vo]
    assert found.subject_of(name) == name and found.IdP is None and found.DefaultGroup == "user"
    groups = {group: set(one.Properties) for group, one in found.groups_of(name).items()}
    admin = {"NormalUser", "JobAdministrator", "ServiceAdministrator"}
    assert groups == {"user": {"NormalUser"}, "admin": admin}
