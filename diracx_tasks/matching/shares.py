"""Shares: whose turn it is how often, from the configuration and from recent use.

A group's weight is its JobShare over DIRAC's 1000, a tier's is stated; owners of a group have the same. With
EnableSharesCorrection who has used less than his share gets more, and the other way round (DIRAC's
WorkloadManagementSystem/private/correctors/BaseHistoryCorrector).
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.config import config
from diracx_tasks.core.operations import job_scheduling, matching, operations
from diracx_tasks.core.redis import redis
from diracx_tasks.core.registry import Group
from diracx_tasks.core.scheduling import Correction, Slice
from diracx_tasks.matching import keys, store, use
from diracx_tasks.matching.tables import JobClass

SHARE = 1000
# DIRAC's TQ_MIN_SHARE: no group is left without.
LEAST = 0.001
SHARING = "JobSharing"
Used = Mapping[tuple[str, str], int]


def recompute(db: Session, vo: str) -> dict[str, float]:
    """Put tiers, weights and sharing groups of a VO into Redis; answers the weights that are not 1."""
    groups = _groups(vo)
    tiers = matching(vo).Tiers
    weights = {f"tier:{name}": tier.Weight for name, tier in tiers.items()}
    weights |= {f"group:{name}": max(group.JobShare / SHARE, LEAST) for name, group in groups.items()}
    for name, factor in _corrections(db, vo, groups).items():
        weights[name] = weights.get(name, 1.0) * factor
    found = {name: weight for name, weight in sorted(weights.items()) if weight != 1}
    store.set_tiers(vo, {job_type: name for name, tier in tiers.items() for job_type in tier.JobTypes})
    _write(vo, found, {name for name, group in groups.items() if SHARING in group.Properties})
    return found


def corrected(
    expected: Mapping[str, float], slices: Sequence[tuple[Slice, Mapping[str, float]]], most: float
) -> dict[str, float]:
    """By which factor each weight changes, from what was used in slices of time; DIRAC's formula.

    In a slice it is the expected share over the used one, within the slice's MaxCorrection; slices count by
    their weights, and `most` bounds what they make together. Without any use all factors are 1.
    """
    whole = sum(expected.values())
    used = [(one, found) for one, found in slices if any(found.get(name) for name in expected)]
    weight = sum(one.Weight for one, _ in used)
    factors = {}
    for name, share in expected.items():
        factor = 0.0 if used else 1.0
        for one, found in used:
            part = found.get(name, 0) / sum(found.get(other, 0) for other in expected)
            wanted = share / whole / part if part else one.MaxCorrection
            factor += min(max(wanted, 1 / one.MaxCorrection), one.MaxCorrection) * one.Weight / weight
        factors[name] = min(max(factor, 1 / most), most)
    return factors


def _groups(vo: str) -> dict[str, Group]:
    registry = config().Registry
    return dict(registry[vo].Groups) if vo in registry else {}


def _corrections(db: Session, vo: str, groups: Mapping[str, Group]) -> dict[str, float]:
    scheduling = job_scheduling(vo)
    if not (
        scheduling.EnableSharesCorrection or operations(vo).Services.JobScheduling.EnableSharesCorrection
    ):
        return {}
    private = [name for name, group in groups.items() if SHARING not in group.Properties]
    stated = scheduling.ShareCorrections
    wanted = stated.started if stated else [Correction(), *(Correction(Group=name) for name in private)]
    spans = {one.TimeSpan for correction in wanted for one in correction.slices}
    used: dict[int, Used] = {span: use.recent(db, vo, span) for span in spans}
    waiting = _waiting(db, vo)
    found: dict[str, float] = defaultdict(lambda: 1.0)
    for correction in wanted:
        for name, factor in _correction(correction, groups, used, waiting):
            found[name] *= factor
    return found


def _waiting(db: Session, vo: str) -> set[tuple[str, str]]:
    """(group, owner) of the classes that there are."""
    query = select(JobClass.group, JobClass.owner).where(JobClass.vo == vo).distinct()
    return {(group, owner) for group, owner in db.execute(query)}


def _correction(
    correction: Correction,
    groups: Mapping[str, Group],
    used: Mapping[int, Used],
    waiting: Collection[tuple[str, str]],
) -> Iterator[tuple[str, float]]:
    """Only those count who have jobs or have had some: others would take part of what is expected."""
    of = correction.Group
    slices = [(one, _summed(used[one.TimeSpan], of)) for one in correction.slices]
    present = {owner if of else group for group, owner in waiting if of in (None, group)}
    present |= {name for _, found in slices for name in found}
    if of is None:
        shares = {name: max(groups[name].JobShare, 1.0) for name in groups if name in present}
        prefix = "group:"
    else:
        shares, prefix = dict.fromkeys(sorted(present), 1.0), f"owner:{of}/"
    if shares:
        for name, factor in corrected(shares, slices, correction.most).items():
            yield prefix + name, factor


def _summed(used: Used, group: str | None) -> dict[str, float]:
    """By group, or by owner within one."""
    found: dict[str, float] = defaultdict(float)
    for (of, owner), seconds in used.items():
        if group in (None, of):
            found[owner if group else of] += seconds
    return found


def _write(vo: str, weights: Mapping[str, float], sharing: Collection[str]) -> None:
    prefix = keys.prefix(vo)
    with redis().pipeline(transaction=True) as pipe:
        pipe.delete(f"{prefix}weights", f"{prefix}sharing")
        if weights:
            pipe.hset(f"{prefix}weights", mapping={name: repr(weight) for name, weight in weights.items()})
        if sharing:
            pipe.sadd(f"{prefix}sharing", *sharing)
        pipe.execute()
