"""An experiment with everything known of it, read in bulk."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float32, Int
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
) -> Float32[np.ndarray, "epochs runs channels"]:
    """What the batches recorded, put together; of an experiment that is one batch, that batch's history as it is kept."""
    epochs = max(row.epoch for row in rows)
    heads = {row.batch: row for row in rows if row.epoch}
    parts = {n: histories.read(connection, n, head.lanes, len(json.loads(head.channels))) for n, head in heads.items()}
    if len(parts) == 1 and _is_batch(rows, wanted) and len(parts[rows[0].batch]) >= epochs:
        return parts[rows[0].batch][:epochs]
    history = np.full((epochs, len(rows), len(wanted)), np.nan, dtype=np.float32)
    for batch, part in parts.items():
        positions = [position for position, row in enumerate(rows) if row.batch == batch]
        place(history, part, positions, [rows[p].lane for p in positions], columns(heads[batch].channels, wanted))
    return history


def _is_batch(rows: Sequence[Record], wanted: Sequence[Channel]) -> bool:
    """Whether the runs are the lanes of one batch in their order, with just the wanted channels."""
    lanes_ = [(rows[0].batch, lane) for lane in range(rows[0].lanes)]
    return [(row.batch, row.lane) for row in rows] == lanes_ and columns(rows[0].channels, wanted) == list(range(len(wanted)))


def _lasts(history: Float32[np.ndarray, "epochs runs channels"]) -> Int[np.ndarray, " runs"]:
    """The last epoch with any value of each run: mostly the newest, so that one is looked at first."""
    lasts = np.full(history.shape[1], len(history))
    behind = np.flatnonzero(~np.isfinite(history[-1:]).any((0, 2)))
    recorded = np.isfinite(history[:, behind]).any(2)  # [epochs, runs behind]
    lasts[behind] = np.where(recorded, np.arange(len(history))[:, None] + 1, 0).max(0, initial=0)
    return lasts


@lru_cache(maxsize=1024)
def result_of(text: str) -> RunResult:
    """Read once, as every rerun of a page asks for it again."""
    return RunResult.from_json(text)


def _records(rows: Sequence[Record], history: Float32[np.ndarray, "epochs runs channels"]) -> tuple[RunRecord, ...]:
    return tuple(
        RunRecord(row.arm, row.seed, row.id, row.status, last, result_of(row.result) if row.result else None)
        for row, last in zip(rows, _lasts(history).tolist(), strict=True)
    )
