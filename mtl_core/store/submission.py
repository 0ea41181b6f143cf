"""What pages do to the queue: submit, stop and delete experiments. Each function is one write transaction's work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from mtl_core.errors import UserError
from mtl_core.records import ProblemInfo
from mtl_core.specs import ExperimentSpec, RunSpec
from mtl_core.store.base import problem_key
from mtl_core.store.leases import dead, halt, in_hand
from mtl_core.store.schema import Record, batches, checkpoints, chunks, experiments, lanes, members, problems, runs

MAX_QUEUED = 256  # batches


def submit(connection: Connection, now: float, spec: ExperimentSpec, info: ProblemInfo, plan: Sequence[Sequence[RunSpec]]) -> str:
    """Keep the experiment and queue what is missing; returns its id."""
    placed = [(arm, seed, run.id) for (arm, seed), run in spec.runs().items()]
    known = _known(connection, [run for _, _, run in placed])
    _keep_info(connection, problem_key(spec.data), info)
    _keep_experiment(connection, now, spec)
    _keep_members(connection, spec.id, placed, {run for run, row in known.items() if _finished(row)})
    for batch in {row.batch for row in known.values() if row.state in ("queued", "running")}:
        connection.execute(update(batches).where(batches.c.id == batch).values(stop=False))
    going_on = _continue(connection, now, spec.device, known)
    missing = {run for _, _, run in placed if run not in known or _to_train_again(known[run])} - going_on
    for lane_specs in plan:
        _queue(connection, now, spec, [one for one in _unique(lane_specs) if one.id in missing])
    _refuse_when_full(connection)
    sweep(connection)
    return spec.id


def put_info(connection: Connection, key: str, info: ProblemInfo) -> bool:
    """Replace what is known of a problem; False if the problem is not known at all."""
    values = {"name": info.name, "complete": bool(info.baselines), "info": info.to_json()}
    return bool(connection.execute(update(problems).where(problems.c.key == key).values(values)).rowcount)


def stop(connection: Connection, now: float, experiment_id: str) -> None:
    """Ask the workers to stop what nobody else wants; what no worker holds is stopped at once."""
    connection.execute(update(experiments).where(experiments.c.id == experiment_id).values(stopped=True))
    mine = select(runs.c.batch).join(members, members.c.run == runs.c.id).where(members.c.experiment == experiment_id)
    for batch in connection.execute(in_hand().where(batches.c.id.in_(mine))).all():
        if _wanted(connection, batch.id):
            continue
        if batch.state == "queued" or dead(batch, now):
            halt(connection, batch.id)
        else:
            connection.execute(update(batches).where(batches.c.id == batch.id).values(stop=True))


def remove(connection: Connection, now: float, experiment_id: str) -> None:
    """Forget an experiment. A worker that trains its runs for nobody else loses its lease."""
    stop(connection, now, experiment_id)
    connection.execute(delete(members).where(members.c.experiment == experiment_id))
    connection.execute(delete(experiments).where(experiments.c.id == experiment_id))
    connection.execute(delete(runs).where(runs.c.id.not_in(select(members.c.run))))
    connection.execute(delete(problems).where(problems.c.key.not_in(select(experiments.c.problem))))
    sweep(connection)


def sweep(connection: Connection) -> None:
    """Delete the batches that have no run any more."""
    query = select(batches.c.id).where(batches.c.id.not_in(select(runs.c.batch)))
    for (batch,) in connection.execute(query).all():
        for table in (chunks, checkpoints, lanes):
            connection.execute(delete(table).where(table.c.batch == batch))
        connection.execute(delete(batches).where(batches.c.id == batch))


def _keep_info(connection: Connection, key: str, info: ProblemInfo) -> None:
    complete = connection.execute(select(problems.c.complete).where(problems.c.key == key)).scalar()
    if not complete and not put_info(connection, key, info):
        connection.execute(insert(problems).values(key=key, name=info.name, complete=bool(info.baselines), info=info.to_json()))


def _known(connection: Connection, ids: Sequence[str]) -> dict[str, Record]:
    columns = (runs.c.id, runs.c.status, runs.c.batch, batches.c.state)
    query = select(*columns).join(batches, batches.c.id == runs.c.batch).where(runs.c.id.in_(ids))
    return {row.id: row for row in connection.execute(query)}


def _finished(row: Record) -> bool:
    return row.status in ("done", "diverged") and row.state not in ("queued", "running")


def _to_train_again(row: Record) -> bool:
    return row.status in ("stopped", "failed")


def _keep_experiment(connection: Connection, now: float, spec: ExperimentSpec) -> None:
    values: dict[str, Any] = {
        "name": spec.name,
        "problem": problem_key(spec.data),
        "spec": spec.model_dump_json(),
        "epochs": spec.training.epochs or 0,
        "submitted": now,
        "stopped": False,
    }
    changed = connection.execute(update(experiments).where(experiments.c.id == spec.id).values(values))
    if not changed.rowcount:
        connection.execute(insert(experiments).values(id=spec.id, created=now, pinned=False, note="", **values))


def _keep_members(connection: Connection, experiment_id: str, placed: list[tuple[str, int, str]], reused: set[str]) -> None:
    connection.execute(delete(members).where(members.c.experiment == experiment_id))
    rows = [
        {"experiment": experiment_id, "position": position, "arm": arm, "seed": seed, "run": run, "reused": run in reused}
        for position, (arm, seed, run) in enumerate(placed)
    ]
    connection.execute(insert(members), rows)


def _continue(connection: Connection, now: float, device: str, known: dict[str, Record]) -> set[str]:
    """Queue again the stopped batches whose every unfinished lane is asked for; returns the runs this takes care of.

    A checkpoint holds all lanes of its batch: where only some are wanted, or some are trained elsewhere by now, the
    wanted ones start anew in another batch.
    """
    going_on: set[str] = set()
    for batch in {row.batch for row in known.values() if row.status == "stopped" and row.state == "stopped"}:
        inside = connection.execute(select(runs.c.id, runs.c.status).where(runs.c.batch == batch)).all()
        unfinished = {row.id for row in inside if row.status == "stopped"}
        if unfinished <= set(known) and len(inside) == _lanes(connection, batch):
            values = {"state": "queued", "queued": now, "stop": False, "attempts": 0, "device": device}
            connection.execute(update(batches).where(batches.c.id == batch).values(values))
            waiting = update(runs).where(runs.c.batch == batch, runs.c.status == "stopped")
            connection.execute(waiting.values(status="queued", result=None))
            going_on |= unfinished
    return going_on


def _lanes(connection: Connection, batch: int) -> int:
    return connection.execute(select(func.count()).select_from(lanes).where(lanes.c.batch == batch)).scalar_one()


def _unique(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """Two arms of different names may be the same run."""
    return list({one.id: one for one in specs}.values())


def _queue(connection: Connection, now: float, spec: ExperimentSpec, specs: list[RunSpec]) -> None:
    if not specs:
        return
    new = {"stop": False, "token": 0, "lease": 0.0, "attempts": 0, "epoch": 0, "channels": "[]", "versions": "{}"}
    values = {"state": "queued", "problem": problem_key(spec.data), "device": spec.device, "queued": now, **new}
    batch = connection.execute(insert(batches).values(values).returning(batches.c.id)).scalar_one()
    ids = [one.id for one in specs]
    connection.execute(delete(runs).where(runs.c.id.in_(ids)))
    rows = [{"id": run, "batch": batch, "lane": lane, "status": "queued"} for lane, run in enumerate(ids)]
    connection.execute(insert(runs), rows)
    of_lanes = [{"batch": batch, "lane": n, "run": one.id, "spec": one.model_dump_json()} for n, one in enumerate(specs)]
    connection.execute(insert(lanes), of_lanes)


def _refuse_when_full(connection: Connection) -> None:
    waiting = connection.execute(select(func.count()).select_from(batches).where(batches.c.state == "queued")).scalar_one()
    if waiting > MAX_QUEUED:
        raise UserError(f"The queue is full: {MAX_QUEUED} batches wait already. Stop some of them, or try again later.")


def _wanted(connection: Connection, batch: int) -> bool:
    """Whether an experiment that was not stopped has a run of the batch."""
    wants: ColumnElement[bool] = experiments.c.stopped.is_(False)
    query = (
        select(runs.c.id)
        .join(members, members.c.run == runs.c.id)
        .join(experiments, experiments.c.id == members.c.experiment)
        .where(runs.c.batch == batch, wants)
        .limit(1)
    )
    return connection.execute(query).first() is not None
