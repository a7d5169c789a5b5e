"""A configuration as a whole: read from its text, checked for every VO, and as the API shows it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from diracx_tasks.core.errors import SettingsError
from diracx_tasks.core.faults import Fault, Path, faults_of, unknown
from diracx_tasks.core.marked import TROUBLES, Marked, NotYaml
from diracx_tasks.core.registry import VirtualOrganization, alike
from diracx_tasks.core.scheduling import JobScheduling, Matching, SiteDirector
from diracx_tasks.core.sections import Operations, ResourceOptions, Section, Setup

DEFAULTS = "Defaults"
# Sections of Operations that a subject has a model for; its `tasks` or `tables` module adds it.
SECTIONS: dict[str, type[BaseModel]] = {
    "JobScheduling": JobScheduling,
    "Matching": Matching,
    "SiteDirector": SiteDirector,
}
# The one that is ours is known also where its model is not loaded.
OURS = "Tasks"
# Keys of which a VO's one goes over any other of the defaults, as `cron` over `every`.
ALTERNATIVES: list[frozenset[str]] = []
# More complaints than these help nobody.
MOST_FAULTS = 1000


class Config(Section):
    """What the configuration says; of Operations as it is stated, the defaults not yet in each VO."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    DIRAC: Setup = Setup()
    Operations: dict[str, dict[str, Any]] = Field({})
    Registry: dict[str, VirtualOrganization] = Field({})
    Resources: ResourceOptions = ResourceOptions()
    LocalSite: Any = None
    LogLevel: Any = None
    MCTestingDestination: Any = None
    Systems: Any = None
    WebApp: Any = None

    @field_validator("Operations", mode="before")
    @classmethod
    def _nothing_is_empty(cls, given: Any) -> Any:
        """`lhcb:` with nothing behind it is a VO that states nothing."""
        stated = {} if given is None else given
        if not isinstance(stated, dict):
            return stated
        return {vo: {} if section is None else section for vo, section in stated.items()}

    @field_validator("Registry")
    @classmethod
    def _vos_differ(cls, given: dict[str, VirtualOrganization]) -> dict[str, VirtualOrganization]:
        """What a VO owns no other sees: the database must be able to tell them apart."""
        often = Counter(alike(vo) for vo in given)
        if twice := sorted(vo for vo in given if often[alike(vo)] > 1):
            raise ValueError(f"{' and '.join(twice)} differ in capitals or accents only")
        return given

    def section(self, name: str, vo: str | None = None) -> Any:
        """A section of Operations: the defaults, and over them what the VO states."""
        return stated_of(self, vo or DEFAULTS, name).get(name) or {}

    # What was worked out of a configuration is kept under it.
    __hash__ = object.__hash__


def stated_of(found: Config, vo: str, *names: str) -> dict[str, Any]:
    """What is stated of a VO's operations, or of some sections: the defaults, and its own over them."""
    common, own = (found.Operations.get(one, {}) for one in (DEFAULTS, vo))
    if names:
        common, own = ({name: one[name] for name in names if name in one} for one in (common, own))
    return over(common, own)


def over(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of Operations over those of the defaults."""
    ours = {name for name in own if name not in Operations.model_fields and own[name] is not None}
    found = merged(common, {name: section for name, section in own.items() if name not in ours})
    for name in ours & common.keys():
        found |= merged({name: common[name]}, {name: own[name]}, null_counts=True)
    return found | {name: own[name] for name in ours - common.keys()}


def merged(common: Mapping[str, Any], own: Mapping[str, Any], *, null_counts: bool = False) -> dict[str, Any]:
    """`common` with `own` over it, mapping by mapping.

    In DIRAC's sections null in `own` says nothing; in ours it takes away what the defaults say.
    """
    stated = {name for name, value in own.items() if null_counts or value is not None}
    replaced = {name for group in ALTERNATIVES if group & stated for name in group}
    found = {name: value for name, value in common.items() if name not in replaced}
    for name, value in own.items():
        before = found.get(name)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            found[name] = merged(before, value, null_counts=null_counts)
        elif name in stated or before is None:
            found[name] = value
    return found


def forget_made() -> None:
    """Let go of what was made of configurations that are in force no more."""
    operations_of.cache_clear()
    as_json.cache_clear()


@lru_cache(256)
def operations_of(found: Config, vo: str) -> Operations:
    """What a configuration says of a VO's operations: the defaults, and over them what the VO states."""
    return Operations.model_validate(stated_of(found, vo))


def shown(found: Config, vos: frozenset[str] | None = None) -> dict[str, Any]:
    """The configuration with every default filled in, as DiracX shows it; of some VOs only, or of all."""
    whole = found.model_dump(mode="json")
    stated = found.Operations.keys() - {DEFAULTS}
    chosen = {vo for vo in found.Registry.keys() | stated if vos is None or vo in vos}
    whole["Registry"] = {vo: entry for vo, entry in whole["Registry"].items() if vo in chosen}
    whole["Operations"] = {vo: _shown_operations(found, vo) for vo in sorted(chosen)}
    return whole


def _shown_operations(found: Config, vo: str) -> dict[str, Any]:
    # DiracX gives the defaults to the VOs of the Registry only.
    if vo in found.Registry:
        return operations_of(found, vo).model_dump(mode="json")
    return Operations.model_validate(found.Operations[vo]).model_dump(mode="json")


@lru_cache(64)
def as_json(found: Config, vo: str) -> bytes:
    """What a user of a VO sees of the configuration, ready to be sent."""
    return _json(shown(found, frozenset((vo,))))


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def parse(text: str, name: str, revision: str = "") -> Config:
    """A configuration from its text; SettingsError says what is wrong first, and how much besides."""
    found, faults = check(text)
    if faults or found is None:
        more = f" (and {len(faults) - 1} more; `diracx admin config check` says them)" if faults[1:] else ""
        raise SettingsError(faults[0].at(name, revision) + more)
    return found


def check(text: str) -> tuple[Config | None, list[Fault]]:
    """The configuration of a text, None when it is wrong, and everything that is wrong with it."""
    try:
        marked = Marked(text)
    except NotYaml as error:
        return None, [Fault((), f"not YAML: {error}", error.line)]
    stated = marked.values
    if stated is None:
        # An editor that writes in place empties the file first.
        return None, [Fault((), "it is empty; for a configuration that says nothing, state `{}`")]
    if not isinstance(stated, dict):
        return None, [Fault((), f"a mapping is wanted, with {', '.join(Config.model_fields)}", 1)]
    faults: list[Fault] = []
    found = _valid(Config, stated, (), faults)
    faults += _of_operations(stated.get("Operations"))
    if found and not faults:
        faults += _not_json(found)
    placed = [Fault(one.path, one.words, marked.line(one.path)) for one in faults[:MOST_FAULTS]]
    return None if faults else found, sorted(placed, key=lambda one: one.line or 0)


def _of_operations(stated: Any) -> Iterator[Fault]:
    """What is wrong in the defaults, and in what each VO makes of them, once."""
    if not isinstance(stated, dict):
        return
    sections = {vo: one for vo, one in stated.items() if isinstance(vo, str) and isinstance(one, dict)}
    common = sections.get(DEFAULTS, {})
    known: set[tuple[Path, str]] = set()
    # The defaults first: what is wrong there is not every VO's.
    for vo in sorted(sections, key=lambda one: (one != DEFAULTS, one)):
        for fault in _of_vo(over(common, sections[vo])):
            if vo == DEFAULTS:
                known.add((fault.path, fault.words))
            if vo == DEFAULTS or (fault.path, fault.words) not in known:
                yield Fault(("Operations", vo, *fault.path), fault.words)


def _of_vo(stated: dict[str, Any]) -> list[Fault]:
    faults: list[Fault] = []
    _valid(Operations, stated, (), faults)
    allowed = [*Operations.model_fields, *sorted({OURS, *SECTIONS} - Operations.model_fields.keys())]
    for name, value in stated.items():
        if name not in allowed:
            faults.append(Fault((str(name),), f"unknown key{unknown(str(name), allowed)}"))
        elif name in SECTIONS:
            _valid(SECTIONS[name], {} if value is None else value, (name,), faults)
    return faults


def _valid(model: type[Any], stated: Any, path: Path, faults: list[Fault]) -> Any:
    """A section as its model, None when it is wrong, which is then among the faults."""
    try:
        return model.model_validate(stated)
    except ValidationError as error:
        faults += faults_of(error, model, path)
    except RecursionError:
        faults.append(Fault(path, "it is nested too deeply"))
    return None


def _not_json(found: Config) -> Iterator[Fault]:
    """Bytes, halves of characters: what could not be sent."""
    try:
        _json(shown(found))
    except (RecursionError, *TROUBLES) as error:
        yield Fault((), f"it cannot be written as JSON: {error}")
