"""Workflows' documents over the API: an inputs file to fill in, drawings, and what a check looks up."""

from typing import Any
from xml.etree import ElementTree

import pytest
from sqlalchemy.orm import Session

from diracx_tasks.core.settings import settings
from diracx_tasks.storage.catalogue import catalogue
from diracx_tasks.storage.entries import Content, Entry
from tests.api.caller import Api
from tests.builders import HEX, TOOL, Installation, a_user, a_workflow

PATH = "/api/workflows"
LFN = "/lhcb/user/a/alice/data.txt"
CONFIGURATION = """
Registry: {lhcb: {DefaultGroup: user, Groups: {user: {Properties: [NormalUser]}}}}
Operations: {Defaults: {}}
Resources:
  Sites: {LCG: {LCG.CERN.ch: {}, LCG.IN2P3.fr: {}}}
  StorageElements: {CERN-USER: {Type: Folder}}
"""
HINTED = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: echo
$namespaces: {dirac: "https://diracgrid.org/cwl#"}
hints:
  dirac:Job:
    sites: [LCG.CERN.ch, LCG.IN2P3.de]
    banned_sites: [Nowhere]
inputs: {file: File?}
outputs: []
"""


@pytest.fixture
def configured(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration that lists sites."""
    file = installation.folder / "sites.yml"
    file.write_text(CONFIGURATION)
    monkeypatch.setenv("DIRACX_CONFIG_BACKEND_URL", str(file))
    settings.cache_clear()


def checked(api: Api, text: str, inputs: Any = None) -> Any:
    """The answer to a check of one document."""
    body = {"files": {"workflow.cwl": text}, "main": "workflow.cwl", "inputs": inputs}
    return api.post(f"{PATH}/check", body)


def told(answer: Any) -> list[tuple[Any, ...]]:
    """Severity, place and message of each complaint."""
    body = answer.json()
    found = body["diagnostics"] if answer.status_code == 200 else body["detail"]["diagnostics"]
    return [tuple(one[name] for name in ("severity", "file", "line", "column", "message")) for one in found]


def a_file(lfn: str) -> dict[str, Any]:
    """A File by its LFN."""
    return {"file": {"class": "File", "location": f"lfn:{lfn}"}}


def test_a_template_is_made_for_any_document(api: Api) -> None:
    body = {"files": {"workflow.cwl": TOOL}, "main": "workflow.cwl"}
    answer = api.post(f"{PATH}/template", body)

    assert answer.json() == {"inputs": "# string\nwords: text\n"}
    assert api.post(f"{PATH}/template", {**body, "files": {"workflow.cwl": "class: ["}}).status_code == 422


@pytest.mark.parametrize(
    ("form", "kind", "begin"),
    [
        ("svg", "image/svg+xml", "<svg "),
        ("dot", "text/vnd.graphviz; charset=utf-8", 'digraph "workflow '),
        ("json", "application/json", '{"nodes":['),
    ],
)
def test_a_graph_is_given_in_each_form(api: Api, form: str, kind: str, begin: str) -> None:
    number = api.submit().json()["workflow_id"]
    answer = api.get(f"{PATH}/{number}/graph", params={"format": form})

    assert answer.headers["content-type"] == kind
    assert answer.text.startswith(begin)
    assert "Waiting" in answer.text
    assert (
        api.get(f"{PATH}/{number}/graph", params={"format": form}, by=a_user(vo="belle")).status_code == 404
    )
    assert api.get(f"{PATH}/{number}/graph", params={"format": "png"}).status_code == 422


def test_a_picture_shows_nothing_but_itself_in_a_browser(api: Api, db: Session) -> None:
    found = a_workflow(db)
    found.name = "<script>alert(1)</script>"
    db.commit()
    answer = api.get(f"{PATH}/{found.workflow_id}/graph", params={"format": "svg"})

    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert ElementTree.fromstring(answer.text).find(".//{*}script") is None


def test_a_site_that_is_not_configured_is_refused_where_it_stands(api: Api, configured: None) -> None:
    answer = checked(api, HINTED)

    assert answer.status_code == 422
    assert told(answer) == [
        ("error", "workflow.cwl", 7, 26, "there is no site 'LCG.IN2P3.de'"),
        ("warning", "workflow.cwl", 8, 20, "there is no site 'Nowhere'"),
    ]
    assert answer.json()["detail"]["diagnostics"][0]["advice"] == "Did you mean `LCG.IN2P3.fr`?"
    assert api.submit(HINTED, {}).status_code == 422


def test_a_type_of_jobs_that_the_vo_does_not_have_is_refused_where_it_stands(api: Api) -> None:
    answer = checked(api, HINTED.replace("sites: [LCG.CERN.ch, LCG.IN2P3.de]", "type: Usr"))
    assert answer.status_code == 422
    assert told(answer) == [("error", "workflow.cwl", 7, 5, "there is no job type 'Usr'")]
    assert answer.json()["detail"]["diagnostics"][0]["advice"] == "Did you mean `User`?"


def test_the_ban_of_an_unknown_site_is_a_warning(api: Api, configured: None) -> None:
    answer = checked(api, HINTED.replace(", LCG.IN2P3.de", ""))

    assert answer.status_code == 200
    assert told(answer) == [("warning", "workflow.cwl", 8, 20, "there is no site 'Nowhere'")]


def test_without_sites_in_the_configuration_every_site_may_be_named(api: Api) -> None:
    assert told(checked(api, HINTED)) == []


def test_an_lfn_that_the_catalogue_does_not_have_is_a_complaint_about_the_input(
    api: Api, db: Session
) -> None:
    answer = checked(api, HINTED, a_file(LFN))
    words = f"file: 'lfn:{LFN}' is not in the file catalogue of lhcb"

    assert told(answer) == [("error", "inputs", None, None, words)]
    catalogue(db, "lhcb").register([Entry(LFN, Content(3), HEX[:36], "alice", "user")])
    db.commit()
    assert checked(api, HINTED, a_file(LFN)).status_code == 200


@pytest.mark.parametrize("lfn", ["/belle/user/x", "/lhcb/a b", "x"])
def test_what_is_no_lfn_of_the_vo_is_a_complaint_too(api: Api, lfn: str) -> None:
    (found,) = told(checked(api, HINTED, a_file(lfn)))

    assert found[:2] == ("error", "inputs")
    assert "lhcb" in found[-1] or "is no LFN" in found[-1]
