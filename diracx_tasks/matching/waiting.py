"""Why a waiting job waits: nothing fits it, something holds it back, or others are before it."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.jobs import use
from diracx_tasks.matching import ahead as counting
from diracx_tasks.matching import health, queue, store
from diracx_tasks.matching.ahead import Ahead
from diracx_tasks.matching.obstacles import BANNED, DELAYED, FULL, UNCOUNTED, Obstacle, measure
from diracx_tasks.matching.seen import Condition, Nodes, Seen, Who, conditions, seen
from diracx_tasks.matching.specification import from_json
from diracx_tasks.matching.store import Class
from diracx_tasks.matching.tables import Queued
from diracx_tasks.matching.verdict import Unmet, not_seen, verdict
from diracx_tasks.matching.words import counted, listed, span, summary
from diracx_tasks.resources import mask

# Nodes that have not asked for so many seconds are probably gone.
GONE = 600
SHOWN = 3
BACK = "Allow other sites (sites in dirac:Job, Site in JDL), or wait until they may be used again."
MOST_PRIORITY = queue.MOST_PRIORITY


@dataclass
class Why:
    """Why a job is where it is: sentences, what to change, and the same in numbers.

    `last_asked_seconds` is when a node that fits asked last; None: none did within the hour.
    """

    job_id: int
    status: str
    reasons: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    ahead: Ahead | None = None
    last_asked_seconds: float | None = None
    unmet: list[Unmet] = field(default_factory=list)


@dataclass(frozen=True)
class _Alternative:
    conditions: list[Condition]
    misses: list[int]


def waiting(db: Session, why: Why, vo: str, *, sees_all: bool) -> None:
    """Add to `why` what there is to say of a waiting job; others' names only for those who see all jobs.

    Raises Unavailable and what Redis raises.
    """
    class_no = db.scalar(select(Queued.class_no).where(Queued.job_id == why.job_id))
    of = queue.classes_of(db, vo, [class_no]).get(class_no) if class_no is not None else None
    if of is None:
        why.reasons.append("It waits and is not in the matcher's queue: a sweep puts it there in 10 minutes.")
        return
    who = counting.owner_of(of)
    kinds = seen(vo)
    if not kinds:
        why.reasons.append("No node has asked for work within the last hour.")
        why.advice.append("Have pilots started: `diracx matching nodes` shows when they ask.")
        return
    nodes = Nodes(kinds)
    wanted = [conditions(one, who) for one in from_json(of.needs)]
    alternatives = [_Alternative(one, nodes.misses(one)) for one in wanted]
    fitting = [
        kinds[place] for place in range(len(kinds)) if any(not one.misses[place] for one in alternatives)
    ]
    if fitting:
        _held_back(db, why, _Case(of, who, fitting, sees_all))
    else:
        _nothing_fits(why, alternatives, nodes)
    _banned(why, vo, alternatives, {one.site for one in fitting})


@dataclass(frozen=True)
class _Case:
    of: Class
    who: Who
    fitting: list[Seen]
    sees_all: bool

    @property
    def vo(self) -> str:
        return self.of.vo

    @property
    def sites(self) -> list[str]:
        """Where nodes fit, those with most kinds first."""
        return [site for site, _ in Counter(one.site for one in self.fitting).most_common()]


def _nothing_fits(why: Why, alternatives: Sequence[_Alternative], nodes: Nodes) -> None:
    why.reasons.append(not_seen(nodes))
    for number, one in enumerate(alternatives, 1):
        found = verdict(one.conditions, nodes, nodes.groups(one.misses))
        if len(alternatives) > 1:
            words = f"Alternative {number} of {len(alternatives)} asks for {summary(one.conditions)}."
            why.reasons.append(words)
        why.reasons += found.reasons
        why.unmet += found.unmet
        why.advice += [text for text in found.advice if text not in why.advice]


def _held_back(db: Session, why: Why, case: _Case) -> None:
    last = case.fitting[0]
    why.last_asked_seconds = round(last.ago, 1)
    fits = "fits" if len(case.fitting) == 1 else "fit"
    why.reasons.append(
        f"{counted(len(case.fitting), 'kind')} of nodes {fits}, at {listed(case.sites)}; "
        f"one of them last asked {span(last.ago)} ago ({last.site})."
    )
    if last.ago > GONE:
        why.reasons.append("They may be gone: nodes with room ask every few seconds.")
        why.advice.append(f"Have pilots started at {listed(case.sites)}.")
    is_blocked = _obstacles(db, why, case)
    _slowed(why, case)
    if not _is_in_queue(why, case.vo):
        return
    why.ahead = counting.ahead(db, case.of, why.job_id, case.fitting)
    _queue(why, case, why.ahead, is_blocked)


def _obstacles(db: Session, why: Why, case: _Case) -> bool:
    """Say which rules hold it back; whether they do everywhere."""
    places = list(dict.fromkeys((one.site, one.ce) for one in case.fitting))
    measured = measure(case.vo, places)
    against = {place: measured.against(place, case.who) for place in places}
    blocked = [place for place, found in against.items() if found]
    if not blocked:
        return False
    everywhere = len(blocked) == len(places)
    if everywhere:
        where = "there" if len(places) == 1 else "at all of these"
        why.reasons.append(f"No more jobs like it may start {where} now.")
    else:
        free = list(dict.fromkeys(site for site, ce in places if not against[site, ce]))
        why.reasons.append(f"Limits hold it back at some of them; it may start at {listed(free)}.")
    found = list(dict.fromkeys(one for place in blocked for one in against[place]))
    for one in found[:SHOWN]:
        why.reasons.append(f"{one.words}{_holders(db, case, one)}.")
    if len(found) > SHOWN:
        why.reasons.append(f"{len(found) - SHOWN} more limits hold it back: see `diracx matching limits`.")
    if everywhere:
        why.advice += list(dict.fromkeys(_about(one) for one in found))
    return everywhere


def _about(one: Obstacle) -> str:
    if one.kind == UNCOUNTED:
        return (
            "Ask the operators whether the task matching.recount runs: until it does, what is limited waits."
        )
    if one.kind == BANNED:
        return BACK
    if one.kind == DELAYED:
        return "Wait: it is started soon."
    return "Wait until some of these end, or allow other sites; operators set the limits (RunningLimit)."


def _holders(db: Session, case: _Case, one: Obstacle) -> str:
    """Who has the places of a full limit, by owner."""
    if one.kind != FULL:
        return ""
    site, _, ce = one.scope.partition("/")
    counts: Counter[str] = Counter()
    for row in use.running(db, case.vo, [site]):
        mine = {"type": row.job_type, "group": row.group, "owner": row.owner}
        if mine[one.attribute] == one.value and ce in ("", row.ce):
            is_shown = case.sees_all or row.owner == case.who.owner
            counts[row.owner if is_shown else "others"] += row.jobs
    held = [f"{name} {count}" for name, count in counts.most_common()]
    return f" ({listed(held)})" if held else ""


def _slowed(why: Why, case: _Case) -> None:
    sites = set(case.sites)
    for one in health.slowed(case.vo):
        if one.site in sites and not one.node:
            why.reasons.append(
                f"Jobs fail at {one.site} (lately {one.failed:g} failed, {one.done:g} were Done): "
                f"each of its nodes gets one every {one.seconds:g} s at most."
            )
            if len(sites) == 1:
                why.advice.append("Allow other sites, or have the operators see `diracx matching health`.")


def _is_in_queue(why: Why, vo: str) -> bool:
    if not store.is_ready(vo):
        why.reasons.append("The matcher's queue is being made from the database, as after a loss of Redis.")
        why.advice.append("Wait: it takes seconds, or minutes with millions of jobs.")
    if counting.is_in_redis(vo, why.job_id):
        return True
    if counting.is_leased(vo, why.job_id):
        why.reasons.append("A node has just taken it, and has not confirmed that yet.")
        why.advice.append("Wait: if the node does not confirm it, it returns to the queue within a minute.")
    else:
        why.reasons.append("It has not reached the matcher yet: a sweep brings it there within a minute.")
    return False


def _queue(why: Why, case: _Case, ahead: Ahead, is_blocked: bool) -> None:
    if ahead.same:
        more = "More than " if ahead.is_more else ""
        are = "is" if ahead.same == 1 else "are"
        why.reasons.append(
            f"{more}{counted(ahead.same, 'job')} of its class {are} ahead: they ask for the same and are "
            "of the same type, group, owner and priority."
        )
    if ahead.sooner:
        why.reasons.append(
            f"About {counted(ahead.sooner, 'job')} of {case.who.owner} in {case.who.group} with a higher "
            f"priority than {case.of.priority} {'goes' if ahead.sooner == 1 else 'go'} first."
        )
    if others := ahead.competing - ahead.sooner:
        why.reasons.append(
            f"About {counted(others, 'job')} of other classes want the same nodes: "
            "groups and owners take turns."
        )
    if is_blocked:
        return
    if not (ahead.same or ahead.competing):
        why.reasons.append("It is next: the next of these nodes that has room gets it.")
        return
    why.advice.append("Wait: nodes that fit are there.")
    if case.of.priority < MOST_PRIORITY and (ahead.sooner or ahead.competing):
        why.advice.append(
            f"A higher priority puts it before other jobs of {case.who.owner}: it is {case.of.priority}, "
            f"{MOST_PRIORITY} is the highest."
        )


def _banned(why: Why, vo: str, alternatives: Sequence[_Alternative], known: Collection[str]) -> None:
    """Say which of the sites that it names are banned, besides those that were told already."""
    named = list(dict.fromkeys(site for one in alternatives for site in _sites(one.conditions)))
    if not named:
        return
    barred = mask.barred(vo)
    found = [site for site in named if site in barred]
    for site in [site for site in found if site not in known][:SHOWN]:
        why.reasons.append(f"{site}, where it may run, is banned: {barred[site]}.")
    if len(found) == len(named) and BACK not in why.advice:
        why.advice.append(BACK)


def _sites(wanted: Sequence[Condition]) -> Iterator[str]:
    for one in wanted:
        if one.name == "site":
            yield from one.wanted
