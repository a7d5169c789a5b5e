"""What MkDocs calls: the navigation is made of the index, and `{{ name }}` on a line becomes a reference."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

# Where each piece is made; the modules are loaded when a page wants them.
MADE = {
    "breakers": "states:breakers",
    "commands": "commands:commands",
    "configuration": "configuration:configuration",
    "errors": "errors:errors",
    "job drawing": "states:job_drawing",
    "job states": "states:job_states",
    "pilot states": "states:pilot_states",
    "routes": "routes:routes",
    "settings": "settings:settings",
    "tasks": "tasks:tasks",
    "workflow states": "states:workflow_states",
}
MARK = re.compile(r"^\{\{ ([a-z ]+) \}\}$", re.MULTILINE)
HEADING = re.compile(r"^## (.+)$")
ENTRY = re.compile(r"^- \[(?P<title>[^\]]+)\]\((?P<page>[a-z0-9-]+\.md)\)")


def on_config(config: Any) -> Any:
    """The index is the navigation: what stands there in a list is there, what does not is an error."""
    config.nav = navigation((Path(config.docs_dir) / "index.md").read_text())
    # The offline search would load one from a public network; it must be there before the theme's script.
    config.extra["polyfills"] = ["from-disk.js"]
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with what is made from the code, and sessions marked as such."""
    return MARK.sub(lambda found: made(found[1]), marked(markdown))


def made(name: str) -> str:
    """A piece that is made from the code, as Markdown."""
    module, _, function = MADE[name].partition(":")
    found: str = getattr(import_module(f"docs.reference.{module}"), function)()
    return found


def navigation(index: str) -> list[dict[str, Any]]:
    """The sections of the index, each with its pages."""
    sections: list[dict[str, Any]] = [{"Documentation": "index.md"}]
    pages: list[dict[str, str]] = []
    for line in index.splitlines():
        if heading := HEADING.match(line):
            pages = []
            sections.append({heading[1]: pages})
        elif entry := ENTRY.match(line):
            pages.append({entry["title"].replace("`", ""): entry["page"]})
    return [section for section in sections if all(section.values())]


def marked(markdown: str) -> str:
    """The page with a language for each indented session, so that prompts and outputs look different."""
    lines, found, is_session = markdown.split("\n"), list[str](), False
    for number, line in enumerate(lines):
        if not is_session and line.startswith("    $ ") and not "".join(lines[number - 1 : number]).strip():
            is_session = True
            found.append("```console")
        elif is_session and not line.startswith("    ") and not (line == "" and _goes_on(lines, number)):
            is_session = False
            found.append("```")
        found.append(line.removeprefix("    ") if is_session else line)
    return "\n".join([*found, "```"] if is_session else found)


def _goes_on(lines: list[str], number: int) -> bool:
    """Whether the next line that is not empty is indented as well."""
    return next((line.startswith("    ") for line in lines[number:] if line.strip()), False)
