"""An experiment with everything known of it, read in bulk."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection, func, select

from mtl_core.records import Channel, Comparison, ProblemInfo, RunRecord, RunResult, channels
from mtl_core.specs import ExperimentSpec
from mtl_core.store.history import Histories, columns, place
from mtl_core.store.schema import Record, batches, lanes, members, problems, runs


def comparison(connection: Connection, histories: Histories, head: Record, since_epoch: int) -> Comparison:
    """The experiment of the row `head`, its history from the epoch after `since_epoch`."""
    info = connection.execute(select(problems.c.info).where(problems.c.key == head.problem)).scalar_one()
    problem = ProblemInfo.from_json(info)
    wanted = channels(problem.tasks)
    rows = _rows(connection, head.id)
    history = _history(connection, histories, rows, wanted)
    newest = max(rows, key=lambda row: row.batch)
    return Comparison(
        experiment_id=head.id,
        spec=ExperimentSpec.model_validate_json(head.spec),
        problem=problem,
        runs=_records(rows, history),
        channels=wanted,
        history=history[since_epoch:],
        versions=json.loads(newest.versions),
        created=datetime.datetime.fromtimestamp(head.created, datetime.UTC).isoformat(timespec="seconds"),
    )


def _rows(connection: Connection, experiment_id: str) -> Sequence[Record]:
    """The experiment's runs in its order, each with its batch."""
    count = select(func.count()).select_from(lanes).where(lanes.c.batch == batches.c.id).scalar_subquery()
    run = (members.c.arm, members.c.seed, runs.c.id, runs.c.status, runs.c.result, runs.c.batch, runs.c.lane)
    batch = (batches.c.epoch, batches.c.channels, batches.c.versions, count.label("lanes"))
    query = (
        select(*run, *batch)
        .join(runs, runs.c.id == members.c.run)
        .join(batches, batches.c.id == runs.c.batch)
        .where(members.c.experiment == experiment_id)
        .order_by(members.c.position)
    )
    return connection.execute(query).all()


def _history(
    connection: Connection, histories: Histories, rows: Sequence[Record], wanted: Sequence[Channel]
) -> Float[np.ndarray, "epochs runs channels"]:
    epochs = max(row.epoch for row in rows)
    history = np.full((epochs, len(rows), len(wanted)), np.nan)
    for batch in {row.batch: row for row in rows}.values():
        if batch.epoch:
            part = histories.read(connection, batch.batch, batch.lanes, len(json.loads(batch.channels)))
            positions = [position for position, row in enumerate(rows) if row.batch == batch.batch]
            place(history, part, positions, [rows[p].lane for p in positions], columns(batch.channels, wanted))
    return history


def _records(rows: Sequence[Record], history: Float[np.ndarray, "epochs runs channels"]) -> tuple[RunRecord, ...]:
    recorded = np.isfinite(history).any(2)  # [epochs, runs]
    lasts = [int(np.flatnonzero(recorded[:, run]).max(initial=-1)) + 1 for run in range(len(rows))]
    return tuple(
        RunRecord(row.arm, row.seed, row.id, row.status, last, RunResult.from_json(row.result) if row.result else None)
        for row, last in zip(rows, lasts, strict=True)
    )
