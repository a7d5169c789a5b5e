"""The ontologies of a document (`$schemas`): what the formats of files are compared with."""

import logging
from collections.abc import Iterable
from typing import Any
from xml.sax import SAXParseException

from cwltool.process import Process
from rdflib import Graph
from rdflib.exceptions import ParserError
from rdflib.plugins.parsers.notation3 import BadSyntax

from diracx_tasks.cwl.access import Files

# Not all that rdflib knows: its JSON-LD and RDFa parsers fetch what a text refers to.
KINDS = ("xml", "turtle")


def give(processes: Iterable[Process], files: Files) -> None:
    """Let processes compare formats by the ontologies in the bundle; others are left out, as cwltool does."""
    graph = Graph()
    taken: set[str] = set()
    for process in processes:
        schemas: Any = process.metadata.get("$schemas") or []
        for uri in [schemas] if isinstance(schemas, str) else schemas:
            if uri not in taken and (content := files.find(uri)) is not None:
                taken.add(uri)
                _add(graph, content, uri)
        process.formatgraph = graph


def _add(graph: Graph, content: bytes, uri: str) -> None:
    for kind in KINDS:
        try:
            graph.parse(data=content, format=kind, publicID=uri)
        except (SAXParseException, BadSyntax, ParserError, ValueError):
            continue
        return
    logging.getLogger(__name__).info("%s is neither RDF/XML nor Turtle", uri)
