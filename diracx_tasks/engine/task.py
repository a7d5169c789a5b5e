"""The `@task` decorator: what an operator expects around a task, stated where the task is declared.

A task must be harmless to run twice. Wrong statements are errors at import.

- `size`, `priority`: its queue, and what it may use: `timeout` seconds, `memory` in MiB.
- `lock`: a template such as `workflow:{workflow_id}` (a mutex), `Read`, `Write`, or several of them.
- `limit`: `Concurrent(5, per="se:{se}")`, `Rate(100, 60)`, or several; shared by all workers.
- `retry`: a `Backoff`; when tries are used up the task is a dead letter, unless `dead_letter` is False, as it
  is for scheduled tasks, which come again anyway.
- `every` seconds, `cron` or `rrule`: beat starts it; `per_vo` once for each VO, as the argument `vo`. While
  one runs, another waits.
- `batch`: it takes up to so many calls at once, as one list: see `engine.batches`.
- `subject`: a template of what it is about; else the first argument that ends in `_id`.
- `override`: it replaces the task of that name (stated with `name`) of another package.
"""

import time
from collections.abc import Callable
from typing import Any

from celery import Task, shared_task

from diracx_tasks.core.origin import origin
from diracx_tasks.engine.declared import ENGINES, REGISTRY, Declared, arguments_of, served
from diracx_tasks.engine.overrides import effective
from diracx_tasks.engine.policies import (
    Limit,
    Lock,
    Mutex,
    check_limits,
    check_locks,
    check_template,
    locks_of,
)
from diracx_tasks.engine.queues import ALLOWANCES, LONGEST, PRIORITIES, Priority, Size
from diracx_tasks.engine.retries import Backoff
from diracx_tasks.engine.timing import Timing

# Between the soft time limit, which a task may catch, and the hard one.
GRACE = 10
TURN = 25.0
Function = Callable[..., str]
# Celery's task of a name: it runs what REGISTRY has, also when that was replaced.
MADE: dict[str, "EngineTask"] = {}


class EngineTask(Task):
    """A Celery task whose messages say where they come from and how long they may run."""

    Request = "diracx_tasks.engine.reconnect:LateRequest"

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Send a message; Celery's options hold."""
        arguments = dict(kwargs or {})
        policy = effective(served(self.name, arguments), arguments.get("vo"))
        source = origin()
        given = options.pop("headers", None) or {}
        sent = {"sent": time.time(), "by": source.by, "parent": source.parent, "traceparent": source.trace}
        # A message that runs several children one after the other: its last may begin at the end of its turn.
        seconds = policy.timeout + (TURN if self.name in ENGINES else 0)
        limits = {"soft_time_limit": seconds, "time_limit": seconds + GRACE}
        return super().apply_async(args, arguments, **{**limits, **options}, headers={**sent, **given})


def task(
    *,
    name: str | None = None,
    size: Size = "small",
    priority: Priority = "normal",
    lock: str | Lock | tuple[str | Lock, ...] | None = None,
    limit: Limit | tuple[Limit, ...] = (),
    retry: Backoff | None = None,
    dead_letter: bool | None = None,
    every: float | None = None,
    cron: str | None = None,
    rrule: str | None = None,
    per_vo: bool = False,
    timeout: float | None = None,
    memory: int | None = None,
    batch: int = 0,
    subject: str | None = None,
    override: bool = False,
) -> Callable[[Function], EngineTask]:
    """Declare a task: a function of typed keyword arguments that says in a word what it did; see above."""
    is_scheduled = any(one is not None for one in (every, cron, rrule))

    def declare(function: Function) -> EngineTask:
        found = name or _name(function)
        if (found in REGISTRY) is not override:
            known = "already: say override=True to replace it" if found in REGISTRY else "to be replaced"
            raise ValueError(f"there is {'a' if found in REGISTRY else 'no'} task {found} {known}")
        own_lock = (Mutex(_own_lock(found, per_vo)),) if is_scheduled else ()
        declared = Declared(
            name=found,
            function=function,
            size=size,
            priority=priority,
            locks=locks_of(lock) or own_lock,
            limits=limit if isinstance(limit, tuple) else (limit,),
            retry=retry or Backoff(),
            dead_letter=not is_scheduled if dead_letter is None else dead_letter,
            timing=Timing(every, cron, rrule) if is_scheduled else None,
            per_vo=per_vo,
            timeout=timeout or ALLOWANCES[size].seconds,
            memory=memory or ALLOWANCES[size].memory,
            batch=batch,
            subject=subject,
            arguments=arguments_of(function, found),
        )
        _check(declared)
        return _registered(declared)

    return declare


def _registered(declared: Declared) -> EngineTask:
    is_new = declared.name not in REGISTRY
    REGISTRY[declared.name] = declared
    if is_new:
        MADE[declared.name] = _celery_task(declared)
    return MADE[declared.name]


def _celery_task(declared: Declared) -> EngineTask:
    def run(self: Task, **arguments: Any) -> str:
        from diracx_tasks.engine.execute import execute

        # By name: another package may have replaced it.
        return execute(REGISTRY[declared.name], self.request, arguments)

    run.__doc__ = declared.function.__doc__
    made: EngineTask = shared_task(
        name=declared.name,
        base=EngineTask,
        bind=True,
        soft_time_limit=declared.timeout,
        time_limit=declared.timeout + GRACE,
        max_retries=None,
        # Events cost a small task a third of its time: `engine.history` has it all the same.
        send_events=declared.size != "small",
    )(run)
    return made


def _check(declared: Declared) -> None:
    parameters = set(declared.arguments.model_fields)
    if declared.per_vo and "vo" not in parameters:
        raise ValueError(f"{declared.name}: a task per VO takes the argument vo")
    if "delay" in parameters:
        raise ValueError(f"{declared.name}: `delay` is what `enqueue` takes: choose another name")
    check_locks(declared.locks, parameters)
    check_limits(declared.limits, parameters)
    check_template(declared.subject or "", parameters)
    if declared.priority not in PRIORITIES:
        raise ValueError(f"{declared.name}: the priority is one of {', '.join(PRIORITIES)}")
    if not 0 < declared.timeout <= LONGEST:
        raise ValueError(
            f"{declared.name}: a timeout of {declared.timeout} s; cut it into tasks below {LONGEST:g} s"
        )
    if declared.batch and len(parameters) != 1:
        raise ValueError(f"{declared.name}: a task that works in batches takes one list of calls")


def _name(function: Function) -> str:
    subject = function.__module__.removesuffix(".tasks").rpartition(".")[2]
    return f"{subject}.{function.__name__}"


def _own_lock(name: str, per_vo: bool) -> str:
    return f"task:{name}@{{vo}}" if per_vo else f"task:{name}"
