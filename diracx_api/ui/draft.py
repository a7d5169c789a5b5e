"""A workflow that somebody is about to submit: everything that its page holds, in a form without a script."""

import posixpath
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from starlette.datastructures import FormData, UploadFile

from diracx_api.models.fields import LARGEST
from diracx_api.models.workflows import Running
from diracx_tasks.core.errors import BadRequest
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.workflows.submit import Options

DOCUMENT = re.compile(
    r"""^[ \t]*(["']?cwlVersion["']?\s*:|["']?\$graph["']?\s*:|[{]\s*["']cwlVersion)""", re.MULTILINE
)
INPUTS = (".yml", ".yaml", ".json")
FILE = ("File", "Directory")
START = "workflow.cwl"
# Of inputs that are read here, outside of the isolate: longer ones would take the server's time.
READ = 64 * 1024


class Choices(Running):
    """What is chosen beside the texts; `again` is the workflow whose other files go along."""

    model_config = ConfigDict(extra="ignore")
    action: Literal["check", "run", "template", "add"] = "check"
    main: str = Field("", max_length=1024)
    name: str = Field("", max_length=1024)
    key: str = Field("", max_length=64)
    again: int | None = Field(None, ge=0, le=LARGEST)


@dataclass
class Draft:
    """Documents by name, which of them is started from, the inputs' text, and how it is to be run.

    `files` are input files by their names: where they are stored. `remarks` tell what became of what was
    brought. `carried` are files of a workflow of before that are no texts, as they are.
    """

    documents: dict[str, str] = field(default_factory=dict)
    inputs: str = ""
    files: dict[str, str] = field(default_factory=dict)
    choices: Choices = field(default_factory=Choices)
    remarks: list[str] = field(default_factory=list)
    brought: dict[str, bytes] = field(default_factory=dict)
    carried: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def again(cls, bundle: Bundle, workflow_id: int) -> "Draft":
        """What a workflow was submitted with, to be changed."""
        found = cls(
            {name: text for name, one in bundle.files.items() if (text := _editable(bundle, name, one))}
        )
        found.choices.main, found.choices.again = bundle.entrypoint, workflow_id
        found.carry(bundle)
        return found

    def carry(self, bundle: Bundle) -> None:
        """Have those files of a workflow go along that a form would change."""
        self.carried = {
            name: content
            for name, content in bundle.files.items()
            if name not in self.documents and not _editable(bundle, name, content)
        }

    @property
    def main(self) -> str:
        """Where it starts, with the process if one was named: the chosen one, a workflow, or the first."""
        if self._chosen in self.documents:
            return self.choices.main
        found = [name for name in self.starts if re.search(r"class\W+Workflow", self.documents[name])]
        return (found or [*self.starts, START])[0]

    @property
    def starts(self) -> list[str]:
        """The documents that can be started from; all when none seems to."""
        fits = [name for name, text in self.documents.items() if "cwlVersion" in text or name == self._chosen]
        return fits or list(self.documents)

    @property
    def _chosen(self) -> str:
        return self.choices.main.partition("#")[0]

    @property
    def options(self) -> Options:
        """How it is to be run."""
        return Options(self.choices.on_error, self.choices.reuse, self.choices.retries)

    @property
    def bundle(self) -> Bundle:
        """The documents and what goes along; errors are those of `Bundle.of`."""
        texts = {name: text.encode() for name, text in self.documents.items()}
        return Bundle.of({**self.carried, **texts}, self.main)

    @property
    def given(self) -> dict[str, Any] | str:
        """The inputs: their text, or their values where stored files take the place of local ones.

        BadRequest when they are too long for that.
        """
        if not self.files:
            return self.inputs or "{}"
        if len(self.inputs) > READ:
            words = f"files that were brought are put into inputs of up to {READ} characters"
            raise BadRequest(f"{words}, and these have {len(self.inputs)}: use `diracx workflows submit`")
        try:
            values = YAML(typ="safe", pure=True).load(self.inputs)
        except (YAMLError, RecursionError):
            return self.inputs
        return _Placed(self.files).value(values) if isinstance(values, dict) else self.inputs

    def take(self, name: str, content: bytes) -> None:
        """Sort in a file that was brought: a document, the inputs, or an input file to be stored."""
        text = _text(content)
        if text is not None and DOCUMENT.search(text):
            self.documents[name] = text
        elif text is not None and name.endswith(INPUTS) and not self.inputs.strip():
            self.inputs = text
        elif text is not None and any(posixpath.basename(name) in one for one in self.documents.values()):
            self.documents[name] = text
        else:
            self.brought[posixpath.basename(name)] = content


class _Placed:
    """Replaces local files' names by where they are stored; BadRequest when aliases make too much of it."""

    def __init__(self, files: dict[str, str]) -> None:
        self._files, self._left = files, READ

    def value(self, value: Any) -> Any:
        """The same value with its files in their places."""
        self._left -= 1
        if self._left < 0:
            raise BadRequest(f"the inputs have more than {READ} values: aliases repeat them")
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if not isinstance(value, dict):
            return value
        found = {key: self.value(one) for key, one in value.items()}
        name = posixpath.basename(str(value.get("location") or value.get("path") or ""))
        if value.get("class") in FILE and name in self._files:
            found = {key: one for key, one in found.items() if key != "path"}
            found |= {"location": self._files[name], "basename": value.get("basename", name)}
        return found


def _editable(bundle: Bundle, name: str, content: bytes) -> str:
    """The text of a file that a form can show and send back; empty when it would become another one.

    Of documents the line ends do not matter, of data they may.
    """
    text = _text(content) or ""
    is_document = name == bundle.entrypoint.partition("#")[0] or DOCUMENT.search(text)
    return text if text.strip() and (is_document or b"\r" not in content) else ""


def _text(content: bytes) -> str | None:
    try:
        found = content.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in found else _lines(found)


def _lines(text: str) -> str:
    """Browsers send texts with the line ends of the last century."""
    return text.replace("\r\n", "\n")


class Sent(BaseModel):
    """Names and texts of a form that come in pairs."""

    names: list[str]
    texts: list[str]

    def pairs(self) -> dict[str, str]:
        """The texts by their names, without those whose text was emptied."""
        found = zip(self.names, self.texts, strict=False)
        return {name.strip(): _lines(text) for name, text in found if name.strip() and text.strip()}


async def draft_of(request: Request) -> Draft:
    """What the page has sent."""
    form = await request.form()
    # An unchecked box is not sent at all.
    choices = {name: str(form[name]) for name in Choices.model_fields if name in form}
    found = Draft(
        _pairs(form, "document"),
        _lines(str(form.get("inputs", ""))),
        _pairs(form, "file"),
        _chosen({"reuse": "reuse" in form, **choices}),
    )
    brought = [one for one in form.getlist("uploads") if isinstance(one, UploadFile)]
    # Documents first: whether another file belongs to them is told by their texts.
    for one in sorted(brought, key=lambda one: not str(one.filename).endswith(".cwl")):
        if one.filename:
            found.take(one.filename, await one.read())
        await one.close()
    request.state.draft = found
    return found


def _chosen(given: dict[str, Any]) -> Choices:
    try:
        return Choices.model_validate(given)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_context=False)) from error


def _pairs(form: FormData, what: str) -> dict[str, str]:
    texts = {kind: [str(one) for one in form.getlist(f"{what}_{kind}")] for kind in ("name", "text")}
    return Sent(names=texts["name"], texts=texts["text"]).pairs()


SentDraft = Annotated[Draft, Depends(draft_of)]
