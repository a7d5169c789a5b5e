"""What is shown of a file is what is in it."""

import json

import pytest

from diracx_api.ui.preview import TEXT_BYTES, preview


def shown(text: str) -> tuple[str, str]:
    found = preview(text.encode(), len(text.encode()))
    return found.kind, found.text


@pytest.mark.parametrize(
    "value",
    [
        "123456789012345678901234567890",
        "9007199254740993",
        "0.1000000000000000055511151231257827",
        "1.0E+2",
        "-0",
        r'"\u00e9\/\"[1, 2]{"',
        '"é"',
    ],
)
def test_values_of_json_are_shown_as_they_are_written(value: str) -> None:
    assert shown('{"a":[' + value + ", 1]}") == ("json", f'{{\n  "a": [\n    {value},\n    1\n  ]\n}}')


def test_a_name_that_is_there_twice_is_shown_twice() -> None:
    assert shown('{"a": 1, "a": 2}') == ("json", '{\n  "a": 1,\n  "a": 2\n}')


@pytest.mark.parametrize("value", [{}, [], {"a": {}, "b": [[], [1, {"c": None}]]}, [True, "x: y", 1.5]])
def test_json_is_laid_out_as_everybody_does(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, indent=7), json.dumps(value, separators=(",", ":"))):
        assert shown(text) == ("json", json.dumps(value, indent=2))


def test_what_is_no_json_is_shown_as_a_text() -> None:
    for text in ("[1, 2", "{1: 2}", "[NaN]", "[1] [2]", "words"):
        assert shown(text) == ("text", text)


def test_of_long_json_that_is_wide_when_it_is_laid_out_the_beginning_is_shown() -> None:
    found = preview(text := b"[" * 100 + b"1," * 100_000 + b"1" + b"]" * 100, len(text))
    assert (found.kind, len(found.text)) == ("json", TEXT_BYTES) and "only the first" in found.words
