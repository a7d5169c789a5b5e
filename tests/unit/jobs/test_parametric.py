"""Parametric descriptions: how many jobs, what each says, and where DIRACCommon's expansion is wrong."""

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from DIRACCommon.Core.Utilities.ClassAd.ClassAdLight import ClassAd
from DIRACCommon.WorkloadManagementSystem.Utilities.ParametricJob import (
    generateParametricJobs,
    getParameterVectorLength,
)
from hypothesis import given
from hypothesis import strategies as st

from diracx_tasks.jobs.jdl import Ad, InvalidJdl, parse, render
from diracx_tasks.jobs.parametric import count, expand

CORPUS = Path(__file__).parent / "corpus"
NUMBERS = st.integers(-50, 50) | st.floats(-3, 3).map(lambda number: round(number, 3))
HARMLESS = st.text("abcXYZ019.:/_+*-", min_size=1, max_size=8)


def jobs(text: str, *bounds: int) -> list[Ad]:
    return list(expand(parse(text), *bounds))


def theirs(text: str) -> list[Any]:
    """DIRAC's jobs of a description, read again."""
    answer = generateParametricJobs(ClassAd(f"[{text}]"))
    assert answer["OK"], answer
    return [ClassAd(job) for job in answer["Value"]]


def refusal(text: str) -> str:
    with pytest.raises(InvalidJdl) as caught:
        count(parse(text))
    with pytest.raises(InvalidJdl) as again:
        expand(parse(text))
    assert str(again.value) == str(caught.value)
    return str(caught.value)


def assert_same(text: str) -> None:
    ours, peers = jobs(text), theirs(text)
    assert len(ours) == len(peers) == count(parse(text))
    assert [render(ad) for ad in ours] == [peer.asJDL() for peer in peers]


def test_a_plain_description_is_not_parametric() -> None:
    ad = parse('Executable = "a"; Arguments = "%s %n %(x)s"; ParameterStart = 1; ParametersFile = "x";')
    assert count(ad) is None
    assert list(expand(ad)) == [ad]
    assert list(expand(ad, 1)) == list(expand(ad, 0, 0)) == []


def test_a_list_of_parameters_is_a_job_for_each() -> None:
    found = jobs('Name = "%n of %s"; Parameters = {"a", b, 3};')
    assert found == [
        {"Name": "0 of a", "Parameter": "a", "ParameterNumber": 0},
        {"Name": "1 of b", "Parameter": "b", "ParameterNumber": 1},
        {"Name": "2 of 3", "Parameter": "3", "ParameterNumber": 2},
    ]


def test_a_number_of_parameters_is_a_sequence() -> None:
    found = jobs("A = %s; Parameters = 3; ParameterStart = 1; ParameterStep = 2; ParameterFactor = 2;")
    assert [ad["A"] for ad in found] == [1, 4, 10]
    assert [ad["Parameter"] for ad in found] == ["1", "4", "10"]
    assert "Parameters" not in found[0] and "ParameterStart" not in found[0]


def test_named_vectors_need_no_plain_one() -> None:
    found = jobs('A = "%(x)s-%(y.z)s %s"; Parameters.x = {1, 2}; Parameters.y.z = 2; ParameterStep.y.z = 5;')
    assert [ad["A"] for ad in found] == ["1-1 %s", "2-6 %s"]
    assert found[1] == {"A": "2-6 %s", "Parameter.x": "2", "Parameter.y.z": "6", "ParameterNumber": 1}
    # DIRAC makes one job of it, with the placeholder in it, and says nothing.
    (peer,) = theirs('A = "%(x)s"; Parameters.x = {1, 2};')
    assert peer.getAttributeString("A") == "%(x)s"


def test_the_index_is_padded_and_replaced_only_where_it_stands_by_itself() -> None:
    text = 'A = "--fmt %nodes x%n %n_y %n.z%n"; Parameters = 11;'
    assert jobs(text)[3]["A"] == "--fmt %nodes x03 03_y 03.z03"
    assert theirs(text)[3].getAttributeString("A") == "--fmt 03odes x03 03_y 03.z03"


def test_the_number_of_the_job_is_left_to_be_known() -> None:
    assert jobs('A = "%j %s"; Parameters = {"x"};')[0]["A"] == "%j x"


def test_a_parameter_is_not_searched_for_placeholders() -> None:
    text = 'A = "%(x)s"; Parameters = {"p"}; Parameters.x = {"%(y)s %s %n"}; Parameters.y = {"q"};'
    assert jobs(text)[0]["A"] == "%(y)s %s %n"
    assert theirs(text)[0].getAttributeString("A") == "q%s%n"


def test_unknown_placeholders_stay() -> None:
    assert jobs('A = "%(z)s %d %(x) %%s"; Parameters = {"p"};')[0]["A"] == "%(z)s %d %(x) %p"


@pytest.mark.parametrize(
    "evil", ['x"; Owner = "root', "x; Owner = root", "x]; [Owner = root", '\\"; Owner = "', "\\"]
)
@pytest.mark.parametrize(
    "place", ['"%s"', "%s", '{"%s"}', "{%s}", '[ B = "%s"; ]', "[ B = %s; ]", 'x == "%s"', "x > %s"]
)
def test_a_parameter_cannot_bring_in_an_attribute(evil: str, place: str) -> None:
    ad = parse("A = " + place + "; Z = 1;")
    ad["Parameters"] = [evil, "harmless"]
    for job in expand(parse(render(ad))):
        again = parse(render(job))
        assert again == job
        assert list(again) == ["A", "Parameter", "ParameterNumber", "Z"]
        inner = again["A"]
        assert not isinstance(inner, Ad) or list(inner) == ["B"]
        if place == '"%s"':
            assert inner == job["Parameter"]


def test_parameters_that_are_lists_take_the_place_of_an_item() -> None:
    text = 'A = {%s}; B = {"%s", "/z"}; C = %s; D = "[%s]"; Parameters = {{"/x", "/y"}, {"/w"}};'
    first, second = jobs(text)
    assert first["A"] == first["C"] == first["Parameter"] == ["/x", "/y"]
    assert first["B"] == ["/x", "/y", "/z"]
    assert first["D"] == "[/x,/y]"
    assert second["A"] == ["/w"]
    assert theirs('A = {%s}; Parameters = {{"/x", "/y"}, {"/w"}};')[0].getListFromExpression("A") == [
        "/x",
        "/y",
    ]


def test_values_without_quotes_become_numbers() -> None:
    found = jobs('CPUTime = %s; X = %s0; Y = {%s, "%s"}; Parameters = {300, "1.5", "true", "a b"};')
    assert [ad["CPUTime"] for ad in found] == [300, 1.5, True, "a b"]
    assert found[0]["X"] == 3000 and found[0]["Y"] == [300, "300"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Parameters = 0;", "Illegal number of job parameters 0"),
        ("Parameters = -1;", "Illegal number of job parameters -1"),
        ("Parameters = {};", "Illegal number of job parameters 0"),
        (
            "Parameters = 2; Parameters.X = {1};",
            "Different length of parameter vectors: for Parameters.X, 2 != 1",
        ),
        (
            "Parameters.X = {1}; Parameters.Y = {1, 2};",
            "Different length of parameter vectors: for Parameters.Y, 1 != 2",
        ),
        (
            "Parameters = many;",
            "Inconsistent parametric job description: Parameters: 'many' is not a whole number",
        ),
        ("Parameters = 2; ParameterStep = x;", "Illegal value for ParameterStep JDL field: x"),
        ("Parameters = 2; ParameterStart.a = inf;", "Illegal value for ParameterStart.a JDL field: inf"),
        ("Parameters = 2; ParameterStart = nan;", "Illegal value for ParameterStart JDL field: nan"),
        (
            "Parameters = 5000; ParameterFactor = 2;",
            "Parameters: its numbers grow beyond 1e300 before the last of 5000",
        ),
    ],
)
def test_wrong_vectors_are_refused_before_the_first_job(text: str, words: str) -> None:
    assert refusal(text) == words


@pytest.mark.parametrize("text", ["Parameters = 0;", "Parameters = 2; Parameters.X = {1};"])
def test_dirac_says_the_same_of_vectors(text: str) -> None:
    assert refusal(text) in getParameterVectorLength(ClassAd(f"[{text}]"))["Message"]


def test_a_million_cost_nothing_before_they_are_asked_for() -> None:
    ad = parse('A = "%s %n"; Parameters = 1000000000000; ParameterStep = 3;')
    assert count(ad) == 10**12
    assert [one["A"] for one in islice(expand(ad), 2)] == ["1 000000000000", "4 000000000001"]
    last = list(expand(ad, 10**12 - 1))
    assert [one["A"] for one in last] == ["2999999999998 999999999999"]


def test_a_part_is_the_same_as_in_the_whole() -> None:
    text = 'A = "%s %(x)s %n"; Parameters = 12; ParameterStep = 0.1; ParameterFactor.x = -1;'
    whole = jobs(text)
    assert jobs(text, 5, 8) == whole[5:8]
    assert jobs(text, 10, 99) == whole[10:]
    assert jobs(text, 12) == jobs(text, 5, 5) == []


def test_dirac_counts_up_to_infinity() -> None:
    text = "A = %s; Parameters = 1100; ParameterFactor = 2.0;"
    assert theirs(text)[-1].getAttributeString("A") == "inf"
    assert refusal(text) == "Parameters: its numbers grow beyond 1e300 before the last of 1100"


def test_constant_sequences_may_have_a_large_factor() -> None:
    text = "A = %s; Parameters = 100000; ParameterStart = 1; ParameterStep = -1; ParameterFactor = 2;"
    assert [ad["A"] for ad in jobs(text, 99_999)] == [1]


@pytest.mark.parametrize("name", ["parametric_list", "parametric_number", "parametric_named"])
def test_the_corpus_becomes_the_same_jobs(name: str) -> None:
    assert_same((CORPUS / f"{name}.jdl").read_text().strip()[1:-1])


@given(st.integers(1, 12), NUMBERS, NUMBERS, NUMBERS)
def test_sequences_are_those_of_dirac(number: int, start: float, step: float, factor: float) -> None:
    rule = f"ParameterStart = {start}; ParameterStep = {step}; ParameterFactor = {factor};"
    assert_same(f'Executable = "x"; A = "%s"; Parameters = {number}; {rule}')


@given(st.lists(st.tuples(HARMLESS, HARMLESS), min_size=1, max_size=12))
def test_lists_become_the_jobs_of_dirac(rows: list[tuple[str, str]]) -> None:
    plain = ",".join(f'"{one}"' for one, _ in rows)
    named = ",".join(f'"{other}"' for _, other in rows)
    body = 'A = "%s-%n-%(x)s"; B = {"%s","b"}; C = [ D = "%(x)s"; E = 1; ];'
    assert_same(f"{body} Parameters = {{{plain}}}; Parameters.x = {{{named}}};")
