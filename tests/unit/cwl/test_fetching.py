"""Documents never make the server fetch: neither addresses nor files outside the bundle are read."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl import check
from diracx_tasks.workflows.isolate import Isolate
from tests.site import site as a_site
from tests.unit.cwl.documents import HEAD, TOOL, WORKFLOW, a_bundle, a_plan, a_workflow, checked, refusal

SECRET = "top-secret-words"
OUTSIDE = f"{TOOL}label: {SECRET}\n"


@dataclass
class Site:
    """A web server that has everything; and a file that is readable here."""

    url: str
    file: str


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site that nobody may ask."""
    (tmp_path / "x.cwl").write_text(OUTSIDE)
    with a_site(OUTSIDE) as (url, asked):
        yield Site(f"{url}/x.cwl", (tmp_path / "x.cwl").as_uri())
    assert asked == []


JS_LIBRARY = "requirements: {InlineJavascriptRequirement: {expressionLib: [{$include: '@'}]}}\n"
DEFAULT = "{f: {type: File, default: {class: File, location: '@'}}}"
REFERENCES = {
    "run": WORKFLOW.replace("tool.cwl", "'@'"),
    "$import": f"{HEAD}inputs: {{$import: '@'}}\noutputs: {{}}\n",
    "$include": TOOL + JS_LIBRARY,
    "default": f"{HEAD}inputs: {DEFAULT}\noutputs: {{}}\n",
    "step default": a_workflow(f"one: {{run: tool.cwl, in: {DEFAULT.replace('type: File, ', '')}, out: []}}"),
    "main": "{$import: '@'}",
    "mixin": "cwlVersion: v1.2\n$mixin: '@'\nclass: CommandLineTool\n",
}


@pytest.mark.parametrize("kind", REFERENCES)
@pytest.mark.parametrize("where", ["url", "file"])
def test_a_reference_out_of_the_bundle_is_refused_at_its_place(kind: str, where: str, site: Site) -> None:
    address = getattr(site, where)
    error = refusal(
        a_bundle(REFERENCES[kind].replace("@", address), tool__cwl=TOOL.replace("text", "f")), text="x"
    )
    assert "is not among the files sent with the workflow" in str(error) or kind in ("main", "mixin")
    assert SECRET not in str(error)
    assert error.diagnostics[0]["file"] == "main.cwl"
    assert error.diagnostics[0]["line"] or kind == "main"


@pytest.mark.parametrize(
    "path", ["/etc/hostname", "../../../../etc/hostname", "x/%2e%2e/%2e%2e/etc/hostname"]
)
def test_a_path_out_of_the_bundle_is_refused(path: str) -> None:
    error = refusal(a_bundle(WORKFLOW.replace("tool.cwl", path)), text="x")
    assert "is not among the files sent" in str(error)


@pytest.mark.parametrize("where", ["url", "file"])
def test_ontologies_outside_are_left_out(where: str, site: Site) -> None:
    checked(a_bundle(f"{TOOL}$schemas: ['{getattr(site, where)}']\n"), text="x")


@pytest.mark.parametrize("name", ["x.jsonld", "x.json", "x.html", "x.n3", "x.owl", "x.ttl"])
def test_an_ontology_cannot_refer_outside(name: str, site: Site) -> None:
    linked = json.dumps({"@context": site.url, "@graph": []})
    entity = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{site.url}"><!ENTITY f SYSTEM "{site.file}">]><x>&e;&f;</x>'
    for text in (linked, entity, f"@prefix : <{site.url}#> . <{site.url}> :a :b ."):
        checked(a_bundle(f"{TOOL}$schemas: [{name}]\n", **{name.replace(".", "__"): text}), text="x")


@pytest.mark.parametrize("where", ["url", "file"])
def test_an_input_file_outside_is_refused(where: str, site: Site) -> None:
    bundle = a_bundle(f"{HEAD}inputs: {{f: File, d: 'Directory?'}}\noutputs: {{}}\n")
    address = getattr(site, where)
    for given in (
        {"class": "File", "location": address},
        {"class": "File", "path": address},
        {"class": "File", "location": "main.cwl", "secondaryFiles": [{"class": "File", "location": address}]},
    ):
        assert SECRET not in str(refusal(bundle, f=given))
    folder = {"class": "Directory", "location": address.rpartition("/")[0]}
    refusal(bundle, f={"class": "File", "location": "main.cwl"}, d=folder)


@pytest.mark.parametrize("where", ["url", "file"])
def test_an_expression_cannot_have_a_file_read(where: str, site: Site) -> None:
    address = getattr(site, where)
    code = f"${{return {{class: 'File', location: '{address}'}};}}"
    step = f"one: {{run: inner.cwl, in: {{f: {{valueFrom: {json.dumps(code)}}}}}, out: []}}"
    inner = (
        "cwlVersion: v1.2\nclass: ExpressionTool\nrequirements: {InlineJavascriptRequirement: {}}\n"
        "inputs: {f: {type: File, loadContents: true}}\noutputs: {}\n"
        "expression: '${return {o: inputs.f.contents};}'\n"
    )
    found = a_plan(a_bundle(a_workflow(step), inner__cwl=inner)).release("", {}, {}, [])
    assert SECRET not in json.dumps(found) and "one" in found["broken"]


@pytest.mark.parametrize("where", ["url", "file"])
def test_an_input_object_as_the_main_document_cannot_refer_outside(
    where: str, site: Site, isolate: Isolate
) -> None:
    address = getattr(site, where)
    for more in (
        f"cwl:tool: '{address}'\n",
        f"cwl:tool: tool.cwl\ncwltool:overrides: {{tool.cwl: {{requirements: {{$import: '{address}'}}}}}}\n",
        f"cwl:tool: tool.cwl\ncwltool:overrides: {{'{address}': {{requirements: []}}}}\n",
        f"cwl:tool: tool.cwl\ncwl:requirements: [{{$import: '{address}'}}]\n",
    ):
        bundle = a_bundle(
            f'text: x\n$namespaces: {{cwltool: "http://commonwl.org/cwltool#"}}\n{more}', tool__cwl=TOOL
        )
        answer = isolate.ask(bundle, {"op": "check", "inputs": {}, "contents": {}})
        assert SECRET not in json.dumps(answer)


def test_files_of_the_bundle_are_read() -> None:
    check.loaded(a_bundle(WORKFLOW.replace("tool.cwl", "sub/tool.cwl"), **{"sub/tool__cwl": TOOL}))
    with pytest.raises(InvalidCwl):
        check.loaded(a_bundle(WORKFLOW.replace("tool.cwl", "sub/other.cwl"), **{"sub/tool__cwl": TOOL}))
