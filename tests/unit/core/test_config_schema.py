"""The schema: what DiracX's own accepts is shown as it shows it, and all that is wrong is said at once."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diracx_tasks.core import config, document, registry
from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.registry import PROPERTIES
from tests.unit.core.documents import CONVERTED, SMALL, WHOLE, theirs

USER = "b824d4dc-1f9d-4ee8-8df5-c0ae55d46041"
TASKS = "Operations: {Defaults: {Tasks: {jobs.optimize: {every: 5}}}, lhcb: {Pilot: {a: 1}}}\n"
DOCUMENTS = {
    "the smallest": SMALL,
    "everything": WHOLE,
    "two VOs without operations": SMALL.replace("  lhcb:", "  lhcb: &vo") + "  belle: *vo\n",
    "a null over a section": SMALL + "Operations: {Defaults: {Pilot: {a: 1}}, lhcb: {Pilot: }}\n",
    "operations of a VO that is null": SMALL + "Operations: {Defaults: {EMail: {a: 1}}, lhcb: }\n",
}


def ours(text: str, *vos: str) -> Any:
    """What we answer, of some VOs or of all."""
    return document.shown(config.parse(text, "default.yml"), frozenset(vos) if vos else None)


@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_configuration_is_shown_exactly_as_diracx_shows_it(text: str) -> None:
    assert ours(text) == theirs(text)


def test_what_cfg_files_leave_behind_is_converted_as_diracx_does(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError):
        config.parse(CONVERTED, "default.yml")
    monkeypatch.setenv("DIRAC_COMPAT_ENABLE_CS_CONVERSION", "1")
    found = ours(CONVERTED)
    # DiracX 0.7 loses this section in its conversion.
    assert found.pop("Resources") == {"Computing": {"OSCompatibility": {"el9": ["el7", "el8", "el9"]}}}
    assert {**found, "Resources": {"Computing": {"OSCompatibility": {}}}} == theirs(CONVERTED)
    assert ours(CONVERTED)["Registry"]["lhcb"]["Groups"]["user"]["Properties"] == [
        "JobAdministrator",
        "NormalUser",
    ]


def test_the_section_tasks_is_ours_and_the_only_difference() -> None:
    with pytest.raises(ValueError, match="Tasks"):
        theirs(SMALL + TASKS)
    found = ours(SMALL + TASKS)
    assert found["Operations"]["lhcb"].pop("Tasks") == {"jobs.optimize": {"every": 5}}
    assert found == theirs(SMALL + TASKS.replace("Tasks: {jobs.optimize: {every: 5}}", ""))


def test_what_one_vo_sees_is_what_all_see_without_the_others() -> None:
    whole, one = ours(WHOLE), ours(WHOLE, "lhcb")
    assert {**whole, "Registry": one["Registry"], "Operations": one["Operations"]} == one
    assert list(one["Registry"]) == list(one["Operations"]) == ["lhcb"]
    assert one["Registry"]["lhcb"] == whole["Registry"]["lhcb"]
    assert one["Operations"]["lhcb"] == whole["Operations"]["lhcb"]


def test_a_vo_that_is_not_there_sees_no_vo() -> None:
    found = ours(WHOLE, "atlas")
    assert found["Registry"] == found["Operations"] == {}


def test_every_property_of_dirac_is_known_and_no_other() -> None:
    from diracx.core.properties import SecurityProperty

    assert {str(one) for one in SecurityProperty.available_properties()} | {"StageAllowed"} == PROPERTIES


def test_an_extension_may_add_a_property_and_a_section(monkeypatch: pytest.MonkeyPatch) -> None:
    text = SMALL.replace("NormalUser", "GubbinsSensei") + "Operations: {lhcb: {Gubbins: {every: 5}}}\n"
    with pytest.raises(SettingsError, match="GubbinsSensei"):
        config.parse(text, "default.yml")
    monkeypatch.setattr(registry, "PROPERTIES", PROPERTIES | {"GubbinsSensei"})
    monkeypatch.setitem(document.SECTIONS, "Gubbins", registry.SupportContact)
    with pytest.raises(SettingsError, match=r"default.yml:\d+: Operations.lhcb.Gubbins.every: unknown key"):
        config.parse(text, "default.yml")
    good = config.parse(text.replace("{every: 5}", "{Email: a@b.c}"), "default.yml")
    assert good.section("Gubbins", "lhcb") == {"Email": "a@b.c"}


WRONG = """\
Registry:
  lhcb:
    IdP: {URL: idp.example.org, ClientID: x}
    DefaultGroup: users
    Users:
      alice:
        PreferedUserName: alice
      bob: {PreferedUsername: bob, Quota: much}
      robert: {PreferedUsername: bob}
    Groups:
      user:
        Properties: [NormalUser, Normal]
        Users: [alice, carol]
      admin: {Users: []}
Operations:
  Defaults:
    JobDescription: {MaxPriority: high}
    Piolt: {}
  lhcb:
    Services:
      JobScheduling:
        MaxRescheduling: -1
  belle:
    SoftwareDist: x
Resources: {Computing: {OSCompatibility: {el9: el8}}}
Sites: {}
"""
NUMBER = "Input should be a valid integer, unable to parse string as an integer"
FAULTS = [
    "3: Registry.lhcb.IdP.URL: String should match pattern '^https?://[^\\s?#]+$', not 'idp.example.org'",
    "4: Registry.lhcb.DefaultGroup: 'users' is none of the groups; there are user, admin",
    "6: Registry.lhcb.Users.alice.PreferedUsername: it is missing",
    "7: Registry.lhcb.Users.alice.PreferedUserName: unknown key; is PreferedUsername meant?; "
    "there are PreferedUsername, DNs, Email, Suspended, Quota",
    f"8: Registry.lhcb.Users.bob.Quota: {NUMBER}, not 'much'",
    "8: Registry.lhcb.Users.bob.PreferedUsername: 'bob' is the name of 2 users",
    "9: Registry.lhcb.Users.robert.PreferedUsername: 'bob' is the name of 2 users",
    "12: Registry.lhcb.Groups.user.Properties.1: 'Normal' is no property; is NormalUser meant?; "
    f"there are {', '.join(sorted(PROPERTIES))}",
    "13: Registry.lhcb.Groups.user.Users.1: 'carol' is no subject in Users",
    "14: Registry.lhcb.Groups.admin.Properties: it is missing",
    f"17: Operations.Defaults.JobDescription.MaxPriority: {NUMBER}, not 'high'",
    "18: Operations.Defaults.Piolt: unknown key; is Pilot meant?",
    "22: Operations.lhcb.Services.JobScheduling.MaxRescheduling: Input should be greater than or equal to 0, "
    "not -1",
    "24: Operations.belle.SoftwareDist: unknown key; is SoftwareDistModule meant?",
    "25: Resources.Computing.OSCompatibility.el9: Input should be a valid frozenset, not 'el8'",
    "26: Sites: unknown key; there are DIRAC, Operations, Registry, Resources, LocalSite",
]


def test_everything_that_is_wrong_is_said_at_once_each_at_its_line_and_path() -> None:
    found, faults = document.check(WRONG)
    assert found is None
    said = [fault.at("default.yml").removeprefix("default.yml:") for fault in faults]
    assert len(said) == len(FAULTS), said
    for one, expected in zip(said, FAULTS, strict=True):
        assert one.startswith(expected)


def test_an_error_names_the_first_fault_and_counts_the_others() -> None:
    with pytest.raises(SettingsError) as refused:
        config.parse(WRONG, "default.yml", "24a94625d6")
    assert str(refused.value).startswith("default.yml:3 at 24a94625d6: Registry.lhcb.IdP.URL: ")
    assert "(and 15 more; `diracx admin config check` says them)" in str(refused.value)


def test_the_same_mistake_of_two_vos_is_said_twice() -> None:
    _, faults = document.check("Operations:\n  a: {X: 1}\n  b: {X: 1}\n")
    assert [(fault.line, fault.path) for fault in faults] == [
        (2, ("Operations", "a", "X")),
        (3, ("Operations", "b", "X")),
    ]


AMBIGUOUS = {
    "Registry: {}\nRegistry: {}\n": "default.yml:2: not YAML: the key 'Registry' stands twice",
    "Registry: {}\n---\nRegistry: {}\n": "default.yml:2: not YAML: expected a single document",
    "WebApp: &a [*a]": "default.yml:1: not YAML: an alias contains itself",
    "WebApp:\n- &a0 [x, x]\n" + "".join(f"- &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)): "values",
    "WebApp: !!binary /w==": "it cannot be written as JSON",
    'WebApp: "\\ud800"': "not YAML|cannot be written as JSON",
    "WebApp: !!python/object:os.system {}": "could not determine a constructor",
    "WebApp: 2026-13-45": "not YAML: month must be in",
    "Registry:\n\tlhcb: {}": "default.yml:2: not YAML: ",
    "WebApp: " + "[" * 900 + "]" * 900: "nested too deeply|maximum",
}


@pytest.mark.parametrize(("text", "words"), AMBIGUOUS.items(), ids=range(len(AMBIGUOUS)))
def test_a_text_that_does_not_mean_one_thing_is_refused(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        config.parse(text, "default.yml")


KEYS = [
    *document.Config.model_fields,
    "Defaults",
    "lhcb",
    "IdP",
    "Users",
    "Groups",
    "Properties",
    "DefaultGroup",
]
KEYS += ["Services", "Computing", "OSCompatibility", "PreferedUsername", "Pilot", "URL", "a"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(KEYS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4))
def test_any_document_is_a_configuration_or_a_settings_error(content: dict[str, Any]) -> None:
    text = json.dumps(content)
    try:
        found = config.parse(text, "default.yml")
    except SettingsError as error:
        assert str(error).startswith("default.yml:")
    else:
        assert json.loads(document.as_json(found, "lhcb")).keys() == document.Config.model_fields.keys()


@given(st.text("{}[]:,&*!|>'\"%@`#-?~=<. \n\t\r\x85\u2028\ufeff\x00ab019_onxe+", max_size=60))
def test_any_text_of_yamls_signs_is_a_configuration_or_a_settings_error(text: str) -> None:
    try:
        config.parse(text, "default.yml")
    except SettingsError as error:
        assert str(error).startswith("default.yml:")
