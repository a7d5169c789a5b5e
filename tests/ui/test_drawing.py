"""Graphs inside of pages: what a person reads of each step, and that what users wrote stays text."""

from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from diracx_api.ui.drawing import graph

Row = dict[str, Any]


def a_node(path: str, kind: str = "tool", **more: Any) -> Row:
    """A step."""
    parent, _, name = path.rpartition("/")
    return {
        "path": path,
        "name": name,
        "kind": kind,
        "parent": parent,
        "scatter": False,
        "loop": False,
        **more,
    }


def drawn(*nodes: Row, link: Any = None, **more: Any) -> ElementTree.Element:
    """The graph, read as XML: in HTML it stands without a namespace."""
    return ElementTree.fromstring(graph({"nodes": list(nodes), "edges": [], **more}, link))


def steps(found: ElementTree.Element) -> dict[str, ElementTree.Element]:
    """The steps by what is said of each."""
    items = [one for one in found.iter("g") if one.get("role") == "listitem"]
    return {next(str(title.text) for title in one.iter("title")): one for one in items}


def test_a_step_says_its_state_in_words_and_a_scatter_how_far_it_is() -> None:
    state: Row = {"state": "Running", "done": 7, "total": 8, "scatter": True}
    found = steps(drawn(a_node("simulate", **state), a_node("gather", state="Waiting")))
    assert list(found) == ["simulate, Running 7/8, scatter, tool", "gather, Waiting, tool"]
    words = [str(one.text) for one in found["simulate, Running 7/8, scatter, tool"].iter("text")]
    assert words == ["simulate", "Running 7/8"]
    assert "s-running" in str(found["simulate, Running 7/8, scatter, tool"].get("class"))


def test_each_step_leads_to_its_page_and_inputs_lead_nowhere() -> None:
    ports = {"inputs": [{"name": "x", "type": "int", "to": ["outer"]}]}
    nodes = a_node("outer", "workflow"), a_node("outer/inner")
    found = drawn(*nodes, link=lambda path: f"/steps/{path}", **ports)
    assert [one.get("href") for one in found.iter("a")] == ["/steps/outer", "/steps/outer/inner"]
    assert list(steps(found)) == ["outer, workflow", "outer/inner, tool", "x, input, int"]
    (inner,) = [one for one in found.iter("g") if one.get("aria-label") == "Steps of outer"]
    assert "outer/inner, tool" in steps(inner)


def test_a_step_stays_where_it_is_while_it_goes_on() -> None:
    def places(**state: Any) -> list[tuple[str | None, str | None]]:
        nodes = a_node("one", scatter=True, **state), a_node("two", **state)
        boxes = [one for one in drawn(*nodes).iter("rect") if one.get("class") == "box"]
        return [(one.get("x"), one.get("width")) for one in boxes]

    waits = places(state="Waiting", done=0, total=0)
    assert (
        waits == places(state="Running", done=99_999, total=100_000) == places(state="Done", done=5, total=5)
    )


def test_what_users_wrote_is_text_and_nothing_else() -> None:
    name = "</text><script>alert(1)</script>\"'&<\x00" + "x" * 500
    node = {**a_node("path"), "name": name, "path": name}
    found = drawn(node, link=quote, outputs=[{"name": name, "type": name, "from": []}])
    assert not list(found.iter("script"))
    assert len([one for one in found.iter("text") if "alert" in str(one.text)]) == 3


def test_more_links_than_anybody_could_follow_are_counted_and_not_drawn() -> None:
    names = [f"s{number:03}" for number in range(120)]
    node = {"kind": "tool", "parent": "", "scatter": False, "loop": False}
    nodes = [{**node, "path": name, "name": name} for name in names]
    edges = [{"from": one, "to": other} for at, one in enumerate(names) for other in names[at + 1 :]]
    drawn = graph({"nodes": nodes, "edges": edges, "inputs": [{"name": "x", "type": "int", "to": names}]})
    assert f"{len(edges) + len(names)} links between steps" in drawn
    assert "<path d=" not in drawn.partition("</defs>")[2]
    assert drawn.count('role="listitem"') == len(names) + 1
