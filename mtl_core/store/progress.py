"""How far experiments are, from a few grouped rows: cheap enough for every page to poll."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, case, func, select

from mtl_core.records import RunResult
from mtl_core.store.base import Progress, State
from mtl_core.store.leases import dead
from mtl_core.store.schema import Record, batches, experiments, members, runs, workers

WAITING = ("queued", "running")  # states of a batch


def of_experiments(connection: Connection, now: float, ids: Sequence[str] | None = None) -> dict[str, Progress]:
    """Progress by experiment id; of all experiments if none are named."""
    heads = select(experiments.c.id, experiments.c.stopped, experiments.c.epochs)
    groups = _groups()
    if ids is not None:
        heads, groups = heads.where(experiments.c.id.in_(ids)), groups.where(members.c.experiment.in_(ids))
    rows: dict[str, list[Record]] = {}
    for row in connection.execute(groups):
        rows.setdefault(row.experiment, []).append(row)
    return {head.id: _progress(connection, now, head, rows.get(head.id, [])) for head in connection.execute(heads).all()}


def _groups() -> Any:
    batch = (batches.c.id, batches.c.state, batches.c.stop, batches.c.epoch, batches.c.started, batches.c.lease)
    process = (workers.c.host, workers.c.pid, workers.c.birth)
    by = (members.c.experiment, runs.c.status, *batch, *process)
    reused = func.sum(case((members.c.reused, 1), else_=0)).label("reused")
    return (
        select(*by, func.count().label("number"), reused, func.max(batches.c.queued).label("queued"))
        .select_from(members)
        .join(runs, runs.c.id == members.c.run)
        .join(batches, batches.c.id == runs.c.batch)
        .join(workers, workers.c.id == batches.c.worker, isouter=True)
        .group_by(*by)
    )


def _progress(connection: Connection, now: float, head: Record, groups: list[Record]) -> Progress:
    total = sum(row.number for row in groups)
    done = sum(row.number for row in groups if row.status in ("done", "diverged", "failed"))
    open_ = [row for row in groups if row.state in WAITING]
    training = [row for row in open_ if row.state == "running"]
    stopped = [row for row in groups if row.status == "stopped"]
    share = sum(row.number * _share(row, head.epochs) for row in groups) / max(total, 1)
    state = _state(bool(head.stopped), groups, now)
    found = Progress(
        experiment_id=head.id,
        state=state,
        sentence="",
        runs_done=done,
        runs_total=total,
        reused=sum(row.reused for row in groups),
        epoch=min((row.epoch for row in training or open_ or stopped), default=max((row.epoch for row in groups), default=0)),
        epochs=head.epochs,
        fraction=share,
        started=min((row.started for row in open_ if row.started), default=None),
        diverged=sum(row.number for row in groups if row.status == "diverged"),
    )
    return found._replace(sentence=_sentence(connection, now, found, groups))


def _share(row: Record, epochs: int) -> float:
    if row.status in ("done", "diverged", "failed"):
        return 1.0
    return min(1.0, float(row.epoch) / max(epochs, 1))


def _state(stopped: bool, groups: list[Record], now: float) -> State:  # noqa: FBT001
    states = {row.state for row in groups}
    if not states & set(WAITING):
        if any(row.status == "stopped" for row in groups):
            return "stopped"
        return "failed" if any(row.status == "failed" for row in groups) else "done"
    if stopped:
        return "stopping" if any(row.state == "running" and row.stop and not dead(row, now) for row in groups) else "stopped"
    return "running" if "running" in states else "queued"


def _sentence(connection: Connection, now: float, found: Progress, groups: list[Record]) -> str:
    match found.state:
        case "queued":
            return _waiting(connection, groups)
        case "running":
            return _training(now, found, groups)
        case "stopping":
            return "Stopping."
        case "stopped":
            others = any(row.state in WAITING for row in groups)
            more = " Some runs go on, because another comparison wants them." if others else ""
            return f"Stopped after epoch {found.epoch} of {found.epochs}.{more}"
        case "failed":
            return _failure(connection, found.experiment_id)
    if found.diverged:
        return f"{found.diverged} of {found.runs_total} runs diverged."
    return "Done: every run was there already." if found.reused == found.runs_total else f"Done: {found.runs_total} runs."


def _training(now: float, found: Progress, groups: list[Record]) -> str:
    if any(row.state == "running" and dead(row, now) for row in groups):
        return f"A worker was lost after epoch {found.epoch}; the next free one goes on from its last checkpoint."
    waiting = sum(row.number for row in groups if row.state == "queued")
    more = f" {waiting} of {found.runs_total} runs wait." if waiting else ""
    return f"Training: epoch {found.epoch} of {found.epochs}.{more}" if found.epoch else f"Training begins.{more}"


def _waiting(connection: Connection, groups: list[Record]) -> str:
    first = min((row.queued for row in groups if row.state == "queued"), default=0.0)
    ahead = select(func.count()).select_from(batches).where(batches.c.state.in_(WAITING), batches.c.queued < first)
    before = connection.execute(ahead).scalar_one()
    if before:
        return f"Queued behind {before} other {'batch' if before == 1 else 'batches'}."
    states = connection.execute(select(workers.c.state).where(workers.c.kind == "process")).scalars().all()
    if states and set(states) <= {"starting", "warming"}:
        return "Queued: the worker is warming up."
    return "Queued: waiting for a worker."


def _failure(connection: Connection, experiment_id: str) -> str:
    query = select(runs.c.result).join(members, members.c.run == runs.c.id)
    failed = query.where(members.c.experiment == experiment_id, runs.c.status == "failed")
    texts = connection.execute(failed).scalars().all()
    first = next((RunResult.from_json(text).sentence for text in texts if text), "")
    reason = f" {first.rstrip('.')}." if first else ""
    return f"{len(texts)} {'run' if len(texts) == 1 else 'runs'} failed.{reason}"
