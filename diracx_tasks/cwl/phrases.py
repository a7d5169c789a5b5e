"""What cwltool and schema-salad say, in a user's words: one line for each of their messages."""

import re
from difflib import get_close_matches
from typing import NamedTuple

LONGEST = 300
LONGEST_READ = 2000
ELSE = "Compare with the CWL v1.2 specification, https://www.commonwl.org/v1.2/."
SEND = "Send the file along with the workflow: the server reads nothing else, and fetches no addresses."
SPELLING = "Correct the spelling."
TYPES = "Make the two types agree, or convert in between with `valueFrom`."


class Phrase(NamedTuple):
    """A message by its pattern; what is said instead and what to do about it, both as templates."""

    pattern: str
    words: str
    advice: str
    # The key in the document that it is about, for messages that come without a place.
    key: str = ""


class Said(NamedTuple):
    """A message as users read it."""

    words: str
    advice: str
    key: str


PHRASES = (
    Phrase(
        r"^(\S*) ?is not among the files sent.*", r"\1 is not among the files sent with the workflow", SEND
    ),
    Phrase(r"^Field 'class' contains undefined reference to '(.*)'", r"there is no class '\1'", SPELLING),
    Phrase(
        r"^Field '(.*?)' contains undefined reference to '(.*)'",
        r"\1: '\2' is not among the files sent with the workflow",
        SEND,
    ),
    Phrase(
        r"^Field 'type' references unknown identifier '(.*?)'.*",
        r"there is no type '\1'",
        "Correct the spelling, or define the type with SchemaDefRequirement.",
    ),
    Phrase(
        r"^Field '(.*?)' references unknown identifier '(.*?)'.*",
        r"\1: there is no '\2' in this workflow",
        "Name an input of the workflow, or `step/output` with an output that the step lists under `out`.",
    ),
    Phrase(
        r"^Step is missing required parameters? (.*)",
        r"the step gives its tool no value for \1",
        "Add it under `in`.",
    ),
    Phrase(
        r"^Required parameter '(.*?)' does not have source, default, or valueFrom.*",
        r"the step gives its tool no value for '\1'",
        "Add a source, a default or a valueFrom.",
    ),
    Phrase(
        r"^Workflow step output '(.*?)' does not correspond to tool output \(expected (.*?)\)?$",
        r"the step's tool has no output '\1', only \2",
        "Name an output of the tool under `out`.",
    ),
    Phrase(
        r"^Scatter parameter '(.*?)' does not correspond to an input parameter of this step, .*? '(.*)'",
        r"scatter: the step has no input '\1', only \2",
        "Scatter over an input that the step lists under `in`.",
    ),
    Phrase(
        r"^Source '.*?' of type .* is incompatible with sink '(.*?)' of type (.*?) "
        r"(?:pickValue is: (\w+)|source has linkMerge method (\w+)).*",
        r"several sources give '\1' an array, but it takes \2",
        "Make it an array, or pick one value with `pickValue: first_non_null` or `the_only_non_null`.",
    ),
    Phrase(
        r"^Source '(.*?)' of type (.*) is incompatible with sink '(.*?)' of type (.*)",
        r"'\1' gives \2, but '\3' takes \4",
        TYPES,
    ),
    Phrase(
        r"^Type mismatch between source '(?:\S*[#/])?(.*?)' \((.*?)\) and sink '(?:\S*[#/])?(.*?)' \((.*)\)",
        r"'\1' gives \2, but '\3' takes \4",
        TYPES,
    ),
    Phrase(
        r"^Workflow contains scatter but (\w+) not in requirements",
        r"`scatter` needs \1",
        "Add `ScatterFeatureRequirement: {}` under the workflow's `requirements`.",
        "scatter",
    ),
    Phrase(
        r"^Workflow contains embedded workflow but (\w+) not in requirements",
        r"a workflow as a step needs \1",
        "Add `SubworkflowFeatureRequirement: {}` under the workflow's `requirements`.",
        "run",
    ),
    Phrase(
        r"^Must specify scatterMethod when scattering over multiple inputs",
        "scatter over several inputs needs a scatterMethod",
        "Add `scatterMethod: dotproduct`, `nested_crossproduct` or `flat_crossproduct`.",
        "scatter",
    ),
    Phrase(
        r"^The following steps have circular dependency: (.*)",
        r"steps wait for each other in a circle: \1",
        "Let one of them take its value from elsewhere.",
    ),
    Phrase(
        r"^No cwlVersion found.*",
        "the document does not state its cwlVersion",
        "Write `cwlVersion: v1.2` at its top.",
        "class",
    ),
    Phrase(
        r"^(?:The CWL reference runner no longer supports pre CWL v1.0|Version '.*' is a development).*",
        "this cwlVersion is not supported, only v1.0, v1.1 and v1.2 are",
        "Write `cwlVersion: v1.2`, or convert an older document with cwl-upgrader.",
        "cwlVersion",
    ),
    Phrase(
        r"^workflowjobj must be a dict.*",
        "this is not a CWL document",
        "A CWL document is a mapping with `cwlVersion` and `class`, or `$graph`.",
    ),
    Phrase(
        r'^"outputs" section is not valid\.',
        "`outputs` is missing, or neither a mapping nor a list",
        "Write `outputs: {}` if there are none.",
        "outputs",
    ),
    Phrase(
        r"^Tool file contains graph of multiple objects, must specify one of (.*)",
        r"the document holds several processes, none of them is #main: \1",
        "Say which one is meant, for example `workflow.cwl#main`.",
        "$graph",
    ),
    Phrase(
        r"^Reference '(.*)' not found in file .*",
        r"there is no \1 in the document",
        "Check the name after `#`.",
    ),
    Phrase(
        r"^Missing required secondary file '(.*?)'.*",
        r"the secondary file '\1' is missing",
        "Send it along, and name it under the File's `secondaryFiles` unless it lies beside the file.",
    ),
    Phrase(
        r"^Expected value of '(.*?)' to have format (.*?) but File has .*?format.*?"
        r'(?:"format": "([^"]*)".*)?$',
        r"'\1' must have the format \2, the file has '\3'",
        "State the file's `format`, or convert the file.",
    ),
    Phrase(
        r'^File has an incompatible format: .*"format": "([^"]*)".*',
        r"a file has the format '\1', which is not the declared one",
        "State the file's `format`, or convert the file.",
    ),
    Phrase(r"^Missing required input parameter '(.*)'", r"the input '\1' is missing", "Give a value for it."),
    Phrase(r"^missing required field ('.*?')", r"the field \1 is missing", "Add it."),
    Phrase(
        r'^found duplicate key "(.*?)".*', r"the key '\1' stands here a second time", "Remove one of the two."
    ),
    Phrase(
        r"^All sources for '(.*)' are null",
        r"pickValue: all sources of '\1' are null",
        "Let one of them give a value, or use `all_non_null`.",
    ),
    Phrase(
        r"^Expected only one source for '(.*?)' to be non-null.*",
        r"pickValue: several sources of '\1' have a value",
        "Let only one of them give a value, or use `first_non_null`.",
    ),
    Phrase(
        r"^Workflow contains multiple inbound links .*",
        "several sources for one parameter need MultipleInputFeatureRequirement",
        "Add `MultipleInputFeatureRequirement: {}` under the workflow's `requirements`.",
    ),
    Phrase(
        r"^Syntax error in parameter reference '(.*?)'(?:: (.*?))?\.+ This could be due to .*",
        r"the expression '\1' cannot be evaluated: \2",
        "Correct the reference; JavaScript needs `InlineJavascriptRequirement: {}` under `requirements`.",
    ),
    Phrase(r"^value is a (\w+), expected (.*)", r"a \1 cannot stand here", r"Write \2."),
    Phrase(
        r"^the value (.*) is not a valid \S+, expected (?:one of )?(.*)",
        r"\1 is not allowed here",
        r"Write \2.",
    ),
    Phrase(r'^"(.*?)" is not int$', r"\1 is not int", "Write a whole number of at most 32 bits."),
    Phrase(
        r"^Expected class '\S*?(\w+)' but this is '(.*)'",
        r"this is a \2, not a \1",
        r"Write `{class: \1, location: ...}`.",
    ),
    Phrase(
        r"^is not a dict\. Expected a (\w+) object\.",
        r"this is not a \1",
        r"Write `{class: \1, location: ...}`.",
    ),
)
YAML_KINDS = {"CommentedMap": "mapping", "CommentedSeq": "list", "str": "text"}
NOISE = re.compile(
    r"^(?:Expression evaluation error:|Invalid job input record:|Tool definition .*? failed validation:"
    r"|checking (?:field|object) '.*?'|tried .*? but|Object '.*?' is not valid because|\* |- )\s*"
)
# The name in an identifier as cwltool writes it, 'workflow.cwl#main/step'.
IDENTIFIER = re.compile(r"'[^'\s#]*\.\w+#([^'\s]+)'")


def said(message: str) -> Said:
    """A message of cwltool's in one short line, with advice."""
    # Patterns with several wildcards take too long on very long texts.
    text = IDENTIFIER.sub(r"'\1'", " ".join(message[:LONGEST_READ].split()))
    while (shorter := NOISE.sub("", text)) != text:
        text = shorter
    if unknown := re.match(r"^invalid field '(.*?)', expected one of: (.*)", text):
        return _unknown_field(unknown[1], re.findall(r"'(.*?)'", unknown[2]))
    for pattern, words, advice, key in PHRASES:
        if match := re.match(pattern, text):
            shown = _yaml_kinds(match.expand(words)).strip(": ")
            return Said(_cut(shown), _cut(_yaml_kinds(match.expand(advice))), key)
    return Said(_cut(text), ELSE, "")


def _unknown_field(name: str, known: list[str]) -> Said:
    close = get_close_matches(name, known, 1)
    hint = f"Did you mean `{close[0]}`?" if close else f"Remove it; allowed here: {', '.join(known)}."
    return Said(f"unknown field '{name}'", hint, name)


def _yaml_kinds(text: str) -> str:
    for kind, name in YAML_KINDS.items():
        text = re.sub(rf"\b{kind}\b", name, text)
    return text


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
