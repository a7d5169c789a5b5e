"""Pictures of workflows: well-formed, complete, in order, and nothing on top of something else."""

import random
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from diracx_tasks.cli.output import STATES
from diracx_tasks.cwl import check, draw
from diracx_tasks.cwl.graph import graph
from diracx_tasks.cwl.layered import Box, place
from diracx_tasks.cwl.ports import ports
from tests.unit.cwl.documents import TOOL, a_bundle, a_workflow

SVG = "{http://www.w3.org/2000/svg}"
Row = dict[str, Any]


def a_node(path: str, kind: str = "tool", **more: Any) -> Row:
    """A step."""
    parent, _, name = path.rpartition("/")
    return {"path": path, "name": name, "kind": kind, "parent": parent, "scatter": False, **more}


def drawn(*nodes: Row, edges: list[tuple[str, str]] | None = None, **more: Any) -> ElementTree.Element:
    """The picture of a graph, read as XML."""
    links = [{"from": source, "to": target} for source, target in edges or []]
    return ElementTree.fromstring(draw.svg({"nodes": list(nodes), "edges": links, **more}, "a title"))


def texts(picture: ElementTree.Element) -> list[str]:
    """All that can be read in a picture."""
    return [str(one.text) for one in picture.iter(f"{SVG}text")]


def frames(picture: ElementTree.Element, title: str) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the step with this title."""
    for group in picture.iter(f"{SVG}g"):
        if str(group.findtext(f"{SVG}title")).startswith(title + ","):
            *_, box = group.findall(f"{SVG}rect")
            x, y, width, height = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
            return x, y, x + width, y + height
    raise AssertionError(f"{title} is not in the picture")


def random_graph(count: int, seed: int) -> tuple[list[Row], list[tuple[str, str]]]:
    """So many steps, each after some of those before it."""
    chance = random.Random(seed)
    nodes = [a_node(f"s{number}") for number in range(count)]
    edges = [
        (f"s{chance.randrange(max(0, number - 9), number)}", f"s{number}")
        for number in range(1, count)
        for _ in range(2)
    ]
    return nodes, edges


@pytest.mark.parametrize("seed", range(5))
def test_fifty_steps_lie_side_by_side_each_right_of_what_it_comes_after(seed: int) -> None:
    nodes, edges = random_graph(50, seed)
    picture = drawn(*nodes, edges=edges)
    places = {node["path"]: frames(picture, node["path"]) for node in nodes}

    for source, target in edges:
        assert places[source][2] < places[target][0]
    boxes = list(places.values())
    for number, (left, top, right, bottom) in enumerate(boxes):
        assert 0 <= left < right <= float(picture.attrib["width"])
        assert 0 <= top < bottom <= float(picture.attrib["height"])
        for other in boxes[:number]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


def test_lines_pass_beside_boxes() -> None:
    boxes = [Box(name, 100, 40) for name in "abcd"]
    place(boxes, [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")])
    _, _, lines = place(boxes, [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")])
    long = next(line for line in lines if (line.source, line.target) == ("a", "d"))

    for x, y in long.points[1:-1]:
        assert not any(one.x <= x <= one.x + one.width and one.y <= y <= one.y + one.height for one in boxes)


def test_what_takes_from_every_step_of_a_long_chain_is_drawn_small() -> None:
    names = [f"s{number}" for number in range(300)]
    ties = [*pairwise(names), *((name, names[-1]) for name in names[:-2])]
    boxes = [Box(name, 100, 40) for name in names]
    _, _, lines = place(boxes, ties)
    assert {(line.source, line.target) for line in lines} == set(ties)
    assert sum(len(line.points) for line in lines) < 10_000
    # The shorter ones still pass beside what lies between.
    assert len(next(line for line in lines if (line.source, line.target) == ("s290", "s299")).points) > 2


def test_steps_that_wait_for_each_other_are_drawn_all_the_same() -> None:
    assert "a" in texts(drawn(a_node("a"), a_node("b"), edges=[("a", "b"), ("b", "a"), ("b", "b")]))


def test_a_subworkflow_is_a_box_around_its_steps() -> None:
    nodes = [a_node("outer", "workflow"), a_node("outer/deep", "workflow"), a_node("outer/deep/one")]
    picture = drawn(a_node("first"), *nodes, edges=[("first", "outer")])
    outer, deep, one = (frames(picture, path) for path in ("outer", "outer/deep", "outer/deep/one"))

    for around, inside in ((outer, deep), (deep, one)):
        assert around[0] < inside[0] and around[1] < inside[1]
        assert around[2] > inside[2] and around[3] > inside[3]


def test_states_are_words_and_colours() -> None:
    nodes = [a_node(f"s{state}", state=state, done=3, total=8) for state in STATES]
    picture = drawn(*nodes, a_node("many", scatter=True, state="Running", done=7, total=0))

    for state in STATES:
        assert f"{state} · tool" in texts(picture)
    assert "Running · scatter 7/? · tool" in texts(picture)
    assert {state: colour for state, (_, colour) in STATES.items()} == draw.COLOURS


def test_what_users_wrote_is_text_and_nothing_else() -> None:
    name = '</text><script>alert(1)</script> "&<\x00\ud800' + "x" * 500
    node = {**a_node("path"), "name": name, "path": name}
    picture = drawn(node, inputs=[{"name": name, "type": name, "to": [name]}])

    assert picture.find(f".//{SVG}script") is None
    assert all(len(text) <= draw.LONGEST for text in texts(picture))
    assert texts(picture)[1].startswith('</text><script>alert(1)</script> "&< ')
    text = draw.dot({"nodes": [node], "edges": []}, 'a "b"\n')
    assert text.startswith('digraph "a \\"b\\" " {\n') and "\x00" not in text


def test_inputs_and_outputs_of_a_document_are_tied_to_its_steps() -> None:
    document = a_workflow(
        "one: {run: tool.cwl, in: {text: text}, out: [out]}",
        "two: {run: tool.cwl, scatter: text, in: {text: texts, other: text}, out: [out]}",
        inputs="{text: string, texts: 'string[]', unused: [int, 'null']}",
        outputs="{a: {type: File, outputSource: one/out}, b: {type: string, outputSource: text}}",
    )
    root = check.loaded(a_bundle(document, tool__cwl=TOOL))
    found = {**graph(root), **ports(root)}

    assert found["inputs"] == [
        {"name": "text", "type": "string", "to": ["one", "two"]},
        {"name": "texts", "type": "string[]", "to": ["two"]},
        {"name": "unused", "type": "int?", "to": []},
    ]
    assert found["outputs"] == [
        {"name": "a", "type": "File", "from": ["one"]},
        {"name": "b", "type": "string", "from": ["<text"]},
    ]
    picture = drawn(*found["nodes"], inputs=found["inputs"], outputs=found["outputs"])
    assert frames(picture, "text")[2] < frames(picture, "one")[0] < frames(picture, "a")[0]


def test_a_tool_is_one_step_between_its_inputs_and_outputs() -> None:
    root = check.loaded(a_bundle(TOOL))
    found = {**graph(root), **ports(root)}

    assert found["inputs"] == [{"name": "text", "type": "string", "to": [""]}]
    picture = drawn(*found["nodes"], inputs=found["inputs"], outputs=found["outputs"])
    assert len(picture.findall(f"{SVG}path")) == 2
