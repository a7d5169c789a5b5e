"""What an isolate needs of the disk, read before it may read nothing any more."""

import encodings
import importlib
import pkgutil
from contextlib import suppress

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl import check, copies
from diracx_tasks.cwl.bundle import Bundle
from diracx_tasks.cwl.evaluate import Evaluation
from diracx_tasks.cwl.graph import graph

# The versions whose schemas cwltool reads from its package.
VERSIONS = ("v1.0", "v1.1", "v1.2", "v1.3.0-dev1")
DOCUMENT = b"""cwlVersion: %b
class: Workflow
inputs: {file: File?, words: string?}
outputs: []
steps:
  one:
    run: {class: ExpressionTool, inputs: {file: File?}, outputs: [], expression: "$(null)"}
    in: {file: file}
    out: []
$namespaces: {x: "http://example.org/"}
$schemas: [x.owl, x.ttl]
"""
ONTOLOGIES = {
    "x.owl": b"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'/>",
    "x.ttl": b"<http://example.org/a> <http://example.org/b> 'c' .",
}


def warm_up() -> None:
    """Import what is otherwise imported when it is first needed, and keep what is read from packages."""
    copies.install()
    for module in pkgutil.iter_modules(encodings.__path__, "encodings."):
        # Some are of other systems.
        with suppress(ImportError):
            importlib.import_module(module.name)
    for version in VERSIONS:
        document = DOCUMENT % version.encode()
        for text in (document, document + b"stepss: 1\n", document.replace(b"file}", b"fil}"), b"a: ["):
            _read(text)


def _read(text: bytes) -> None:
    bundle = Bundle({"x.cwl": text, **ONTOLOGIES}, "x.cwl")
    with suppress(InvalidCwl):
        root = check.loaded(bundle)
        graph(root)
        for inputs in ({}, {"words": 1}):
            with suppress(InvalidCwl):
                check.checked(root, bundle, inputs, Evaluation(bundle, {}))
