"""What jobs ask for and what nodes offer, in words; and what to change about it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from diracx_tasks.core import words
from diracx_tasks.cwl.tags import is_name
from diracx_tasks.matching import grid
from diracx_tasks.matching.seen import Condition
from diracx_tasks.matching.specification import DEFAULT_RAM_MB, Specification
from diracx_tasks.matching.tags import render

LISTED = 5
UPPER = frozenset({"level_max", "capability_max"})
LONGEST = 200


def span(seconds: float) -> str:
    """A time span in whole seconds."""
    return words.span(int(seconds))


def listed(names: Sequence[str], most: int = LISTED) -> str:
    """Names with commas, the first few of very many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def joined(parts: Sequence[str]) -> str:
    """Parts of a sentence: `a, b and c`."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def _version(unit: int) -> Callable[[int], str]:
    return lambda value: f"{value // unit}.{value % unit}"


def _duration(value: int) -> str:
    return span(value)


# Of a number: how it is shown, a phrase for what is asked for, and what to change.
_NUMBERS: dict[str, tuple[Callable[[int], str], str, str]] = {
    "cores": (str, "{} cores", "coresMin in CWL, NumberOfProcessors in JDL"),
    "ram": ("{} MB".format, "{} of RAM", "ramMin in CWL, MinRAM in JDL"),
    "wall_time": (_duration, "{} of wall time", "timelimit in CWL"),
    "cpu_time": (_duration, "{} of CPU time", "CPUTime in JDL"),
    "cpu_work": ("{} DB12 s".format, "{} of CPU work", "cpu_work in dirac:Job"),
    "glibc": (_version(1000), "glibc {}", "system.glibc in dirac:Job"),
    "user_namespaces": (str, "user namespaces", "system.user_namespaces in dirac:Job"),
    "level": (str, "level {} of the processor's architecture", "architecture.level in dirac:Job"),
    "level_max": (str, "level {} of the architecture at most", "architecture.level in dirac:Job"),
    "capability": (_version(100), "compute capability {}", "gpu.compute_capability in dirac:Job"),
    "capability_max": (_version(100), "compute capability {} at most", "gpu.compute_capability in dirac:Job"),
    "gpus": (str, "{} GPUs", "gpu.count in dirac:Job, cudaDeviceCountMin in CWL"),
    "gpu_ram": ("{} MB".format, "{} of GPU memory", "gpu.ram_mb in dirac:Job"),
    "scratch": ("{} MB".format, "{} of scratch space", "tmpdirMin and outdirMin in CWL"),
    "lan": ("{} Mbit/s".format, "{} on the local network", "io.lan_mbits in dirac:Job"),
}
# Of a choice: its phrase for one value and for several, and what to change.
_CHOICES: dict[str, tuple[str, str, str]] = {
    "site": ("the site {}", "one of the sites {}", "sites in dirac:Job, Site in JDL"),
    "ce": ("the computing element {}", "one of the computing elements {}", "grid_ces, GridCE in JDL"),
    "platform": ("the platform {}", "one of the platforms {}", "platform in dirac:Job, Platform in JDL"),
    "system": ("the operating system {}", "one of the operating systems {}", "system.name in dirac:Job"),
    "architecture": ("the architecture {}", "one of the architectures {}", "architecture.name in dirac:Job"),
    "gpu_vendor": ("GPUs of {}", "GPUs of one of {}", "gpu.vendor in dirac:Job"),
}


# Tags that jobs have without having stated them, and what they ask for.
OURS = {"payload:jdl": "a pilot that runs jobs described in JDL (the tag payload:jdl)"}


def shown(name: str, value: Any) -> Any:
    """A value of a condition or an offer as people read it: limits as they were stated, without units."""
    if value is None or not isinstance(value, int):
        return value
    if value >= grid.UNLIMITED:
        return None
    value = -value if name in UPPER else value
    return _NUMBERS[name][0](value) if name in ("glibc", "capability", "capability_max") else value


def phrase(name: str, wanted: Any) -> str:
    """What a condition asks for, as a noun: `8 cores`, `one of the sites A, B`, `the tag gpu`."""
    if name in _NUMBERS:
        show, words, _ = _NUMBERS[name]
        text = words.format(show(-wanted if name in UPPER else wanted))
        return text.removesuffix("s") if wanted == 1 and name in ("cores", "gpus") else text
    if name in _CHOICES:
        one, several, _ = _CHOICES[name]
        return one.format(wanted[0]) if len(wanted) == 1 else several.format(listed(wanted))
    if name == "banned_site":
        return f"a site other than {listed(wanted)}"
    if name == "tags":
        return tag_phrase(wanted)
    if name == "required_tags":
        return "nodes that insist on no tags but its own"
    return f"nodes for jobs of the {', the '.join(wanted)}"


def tag_phrase(text: str) -> str:
    """What an expression over tags asks for."""
    if text in OURS:
        return OURS[text]
    if is_name(text):
        return f"the tag {text}"
    if text.startswith("~"):
        return f"no tag {text[1:]}"
    return f"the tags {text[:LONGEST]}"


def quantity(name: str, value: int) -> str:
    """A number of a condition with its unit."""
    if value >= grid.UNLIMITED:
        return "no limit"
    return _NUMBERS[name][0](-value if name in UPPER else value)


def where_to_change(name: str) -> str:
    """The fields that state a condition."""
    if name in _NUMBERS:
        return _NUMBERS[name][2]
    if name in _CHOICES:
        return _CHOICES[name][2]
    fields = {
        "banned_site": "banned_sites in dirac:Job, BannedSites in JDL",
        "tags": "tags in dirac:Job, Tags in JDL",
        "required_tags": "tags in dirac:Job, Tags in JDL",
    }
    return fields.get(name, "JobType, or the group that you submit in")


def is_trivial(condition: Condition) -> bool:
    """Whether it is what every job asks for."""
    least = {"cores": 1, "ram": DEFAULT_RAM_MB}
    return condition.name in ("required_tags", "only") or least.get(condition.name) == condition.wanted


def summary(conditions: Iterable[Condition]) -> str:
    """What one alternative asks for, in one line."""
    asked = [phrase(one.name, one.wanted) for one in conditions if not is_trivial(one)]
    return "; ".join(asked) if asked else f"1 core and {DEFAULT_RAM_MB} MB of RAM, anywhere"


def record(spec: Specification) -> dict[str, Any]:
    """What one alternative asks for, by field; numbers as shown."""
    terms = spec.terms()
    found: dict[str, Any] = dict(terms["one_of"])
    if terms["none_of"]:
        found["banned_site"] = terms["none_of"]
    found |= {name: shown(name, value) for name, value in terms["least"].items()}
    if spec.tags is not None:
        found["tags"] = render(spec.tags)
    return found


def offer_words(terms: Mapping[str, Any]) -> str:
    """What a kind of nodes offers, in one line, without its site."""
    has = terms["has"]
    numbers = [phrase(name, has[name]) for name in _NUMBERS if name not in UPPER and _is_told(has.get(name))]
    names = [value for name, value in terms["is"].items() if name not in ("site", "ce")]
    tags = [f"tags {listed(terms['tags'])}"] if terms["tags"] else []
    insists = [f"only for jobs with the tags {listed(terms['requires'])}"] if terms["requires"] else []
    only = [f"only for the {name} {listed(values)}" for name, values in terms["only"].items()]
    return "; ".join([*numbers, *names, *tags, *insists, *only])


def _is_told(value: int | None) -> bool:
    return value is not None and value < grid.UNLIMITED
