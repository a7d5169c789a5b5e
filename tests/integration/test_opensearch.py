"""What we rely on in OpenSearch: the stand-in of the tests does it, and a real server where there is one.

The real one is DIRACX_TEST_OPENSEARCH_URL; its indexes are made and removed under a prefix of their own.
"""

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from opensearchpy import OpenSearch
from opensearchpy.exceptions import NotFoundError, RequestError

from tests.opensearch import REAL, OpenSearchDouble

pytestmark = pytest.mark.integration
Bulk = list[dict[str, Any]]


@pytest.fixture
def client() -> Iterator[OpenSearch]:
    if REAL:
        yield OpenSearch([REAL], timeout=30)
        return
    with OpenSearchDouble() as double:
        found = OpenSearch([double.url], timeout=30)
        yield found
        found.close()


@pytest.fixture
def index(client: OpenSearch) -> Iterator[str]:
    """A name under which there is nothing yet, with a template that fits."""
    name = f"test_{secrets.token_hex(4)}"
    fields = {"JobID": {"type": "long"}, "when": {"type": "date"}, "CEQueue": {"type": "keyword"}}
    body = {"index_patterns": [f"{name}*"], "template": {"mappings": {"properties": fields}}}
    client.indices.put_index_template(name=name, body=body)
    yield f"{name}_0m"
    client.indices.delete(index=f"{name}*")
    client.indices.delete_index_template(name=name)


def bulk(client: OpenSearch, *lines: dict[str, Any]) -> Bulk:
    body = "".join(json.dumps(line) + "\n" for line in lines)
    return [next(iter(item.values())) for item in client.bulk(body=body)["items"]]


def kinds(client: OpenSearch, index: str) -> dict[str, str]:
    properties = client.indices.get_mapping(index=index)[index]["mappings"]["properties"]
    return {name: one["type"] for name, one in properties.items()}


def test_it_says_what_it_is(client: OpenSearch) -> None:
    assert client.ping()
    assert "number" in client.info()["version"]


def test_a_template_is_there_or_not(client: OpenSearch, index: str) -> None:
    assert client.indices.exists_index_template(name=index.removesuffix("_0m"))
    assert not client.indices.exists_index_template(name="test_nobody_made_this")


def test_an_index_is_made_by_the_first_document_with_the_fields_of_the_template(
    client: OpenSearch, index: str
) -> None:
    document = {
        "JobID": 1,
        "a": 1,
        "b": 1.5,
        "c": True,
        "d": "2026-11-23T10:00:00Z",
        "e": "text",
        "f": "2026",
    }
    (answer,) = bulk(client, {"create": {"_index": index, "_id": "1"}}, document)
    assert (answer["status"], answer["result"], answer["_seq_no"]) == (201, "created", 0)
    assert kinds(client, index) == {
        "JobID": "long",
        "when": "date",
        "CEQueue": "keyword",
        "a": "long",
        "b": "float",
        "c": "boolean",
        "d": "date",
        "e": "text",
        "f": "text",
    }


def test_a_document_is_there_at_once_and_in_searches_after_a_refresh(client: OpenSearch, index: str) -> None:
    client.index(index=index, id="1", body={"JobID": 1}, params={"refresh": "true"})
    client.index(index=index, id="2", body={"JobID": 2})
    docs = [{"_index": index, "_id": key} for key in ("1", "2", "3")]
    assert [one["found"] for one in client.mget(body={"docs": docs})["docs"]] == [True, True, False]
    assert client.get(index=index, id="2")["_source"] == {"JobID": 2}
    query = {"query": {"ids": {"values": ["1", "2"]}}}
    if not REAL:  # a real one refreshes by itself, at some time
        assert [hit["_id"] for hit in client.search(index=index, body=query)["hits"]["hits"]] == ["1"]
    client.indices.refresh(index=index)
    assert {hit["_id"] for hit in client.search(index=index, body=query)["hits"]["hits"]} == {"1", "2"}
    terms = {"query": {"terms": {"JobID": [2, 3]}}}
    assert [hit["_id"] for hit in client.search(index=index, body=terms)["hits"]["hits"]] == ["2"]


def test_many_documents_are_asked_for_by_index_one_of_which_is_missing(
    client: OpenSearch, index: str
) -> None:
    client.index(index=index, id="1", body={"JobID": 1})
    docs = [
        {"_index": index, "_id": "1", "_source": False},
        {"_index": index.replace("_0m", "_1m"), "_id": "1000000"},
    ]
    first, second = client.mget(body={"docs": docs})["docs"]
    assert first["found"] and (first["_seq_no"], first["_primary_term"]) == (0, 1) and "_source" not in first
    assert second["error"]["type"] == "index_not_found_exception"
    with pytest.raises(NotFoundError):
        client.get(index=index, id="7")


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("JobID", ["12", 12.7, "12.5", None, [1, 2], ""], ["abc", True, {"a": 1}, 2**64, [1, "x"]]),
        ("when", ["2026-11-23", 1764000000000, "1764000000000"], ["abc", "2026-13-01", True]),
        ("CEQueue", ["q", 5, True, ["a", "b"]], [{"a": 1}, "x" * 40_000]),
    ],
)
def test_values_fit_the_type_of_their_field_or_only_their_document_is_refused(
    client: OpenSearch, index: str, name: str, good: list[Any], bad: list[Any]
) -> None:
    lines: list[dict[str, Any]] = []
    for number, value in enumerate([*good, *bad]):
        lines += [{"create": {"_index": index, "_id": str(number)}}, {name: value}]
    answers = bulk(client, *lines)
    assert [one["status"] for one in answers] == [201] * len(good) + [400] * len(bad)
    kept = client.get(index=index, id="0")["_source"]
    assert kept == {name: good[0]}, "a document stays as it was given"
    for one in answers[len(good) :]:
        assert one["error"]["type"] in ("mapper_parsing_exception", "illegal_argument_exception")
        assert name in one["error"]["reason"]


@pytest.mark.parametrize("document", [{"a.": 1}, {".a": 1}, {"a..b": 1}, {" ": 1}, {"_id": 1}, {".": 1}])
def test_names_that_can_be_no_fields_are_refused(
    client: OpenSearch, index: str, document: dict[str, Any]
) -> None:
    targets = [{"create": {"_index": index, "_id": key}} for key in ("1", "2")]
    bad, good = bulk(client, targets[0], document, targets[1], {"a": 1})
    assert (bad["status"], good["status"]) == (400, 201)
    assert bad["error"]["type"] in ("mapper_parsing_exception", "illegal_argument_exception")


def test_a_name_with_dots_is_a_path_and_no_text_can_be_above_it(client: OpenSearch, index: str) -> None:
    client.index(index=index, id="1", body={"a.b": 1})
    for document in ({"a": "text"}, {"a.b.c": 1}):
        with pytest.raises(RequestError, match="mapper_parsing_exception"):
            client.index(index=index, id="2", body=document)
    assert client.get(index=index, id="1")["_source"] == {"a.b": 1}


def test_the_first_value_of_a_field_decides_for_all_later_ones(client: OpenSearch, index: str) -> None:
    client.index(index=index, id="1", body={"load": 3, "name": "x"})
    with pytest.raises(RequestError, match="mapper_parsing_exception"):
        client.index(index=index, id="2", body={"load": "high"})
    client.index(index=index, id="3", body={"name": 7})
    assert client.get(index=index, id="3")["_source"] == {"name": 7}


def test_an_index_has_a_thousand_fields_at_most(client: OpenSearch, index: str) -> None:
    client.index(index=index, id="1", body={f"n{number}": number for number in range(900)})
    with pytest.raises(RequestError, match="illegal_argument_exception"):
        client.index(index=index, id="2", body={f"m{number}": number for number in range(200)})
    client.index(index=index, id="3", body={"n1": 5})


def test_an_update_merges_and_inserts_what_is_missing(client: OpenSearch, index: str) -> None:
    target = {"update": {"_index": index, "_id": "1", "retry_on_conflict": 10}}
    for part in ({"a": 1, "m": {"x": 1}}, {"b": 2, "m": {"y": 2}}):
        (answer,) = bulk(client, target, {"doc": part, "doc_as_upsert": True})
    assert (answer["status"], answer["result"]) == (200, "updated")
    assert client.get(index=index, id="1")["_source"] == {"a": 1, "b": 2, "m": {"x": 1, "y": 2}}
    (noop,) = bulk(client, target, {"doc": {"a": 1}})
    assert (noop["result"], noop["_seq_no"]) == ("noop", answer["_seq_no"])
    (forced,) = bulk(client, target, {"doc": {"a": 1}, "detect_noop": False})
    assert (forced["result"], forced["_seq_no"]) == ("updated", answer["_seq_no"] + 1)
    (missing,) = bulk(client, {"update": {"_index": index, "_id": "2"}}, {"doc": {"a": 1}})
    assert (missing["status"], missing["error"]["type"]) == (404, "document_missing_exception")


def test_a_write_on_a_condition_fails_when_there_was_another(client: OpenSearch, index: str) -> None:
    first = client.index(index=index, id="1", body={"a": 1})
    seen = {"if_seq_no": first["_seq_no"], "if_primary_term": first["_primary_term"]}
    target = {"_index": index, "_id": "1", **seen}
    answers = bulk(client, *({"update": target}, {"doc": {"a": 2}}), *({"update": target}, {"doc": {"a": 3}}))
    assert [one["status"] for one in answers] == [200, 409]
    assert answers[1]["error"]["type"] == "version_conflict_engine_exception"
    (deleted,) = bulk(client, {"delete": target})
    assert deleted["status"] == 409
    (created,) = bulk(client, {"create": {"_index": index, "_id": "1"}}, {"a": 4})
    assert created["status"] == 409
    assert client.get(index=index, id="1")["_source"] == {"a": 2}


def test_conditions_cannot_be_had_with_retries_and_the_whole_request_is_refused(
    client: OpenSearch, index: str
) -> None:
    seen = {"if_seq_no": 0, "if_primary_term": 1}
    good = ({"create": {"_index": index, "_id": "1"}}, {"a": 1})
    with pytest.raises(RequestError, match="can not be retried"):
        bulk(
            client,
            *good,
            {"update": {"_index": index, "_id": "2", "retry_on_conflict": 3, **seen}},
            {"doc": {}},
        )
    with pytest.raises(RequestError, match="can not be used with upsert"):
        bulk(
            client,
            *good,
            {"update": {"_index": index, "_id": "2", **seen}},
            {"doc": {}, "doc_as_upsert": True},
        )
    assert not client.exists(index=index, id="1")


def test_a_removed_document_is_gone_and_can_come_again(client: OpenSearch, index: str) -> None:
    client.index(index=index, id="1", body={"a": 1})
    deletions = bulk(client, *[{"delete": {"_index": index, "_id": "1"}}] * 2)
    assert [one["status"] for one in deletions] == [200, 404]
    (created,) = bulk(client, {"create": {"_index": index, "_id": "1"}}, {"a": 2})
    assert created["status"] == 201


def test_an_index_cannot_have_every_name(client: OpenSearch, index: str) -> None:
    names = [f"{index}{end}" for end in ("A", " ", ",", "*", "#", "x" * 255)]
    lines: list[dict[str, Any]] = []
    for name in names:
        lines += [{"create": {"_index": name, "_id": "1"}}, {"a": 1}]
    answers = bulk(client, *lines)
    assert [one["status"] for one in answers] == [400] * len(names)
    (good,) = bulk(client, {"create": {"_index": f"{index}~0f", "_id": "1"}}, {"a": 1})
    assert good["status"] == 201
