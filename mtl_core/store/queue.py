"""The workers' side of the store: claim a batch, keep it, add to it, give it back."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, case, delete, insert, select, update

from mtl_core.errors import LeaseLost
from mtl_core.own import is_known
from mtl_core.records import Channel, RunResult, Status
from mtl_core.specs import RunSpec
from mtl_core.store import history
from mtl_core.store.base import Claim, Epoch
from mtl_core.store.database import Database
from mtl_core.store.leases import BEAT, LEASE, MAX_ATTEMPTS, dead, give_up, halt, hold, in_hand, take
from mtl_core.store.schema import Record, batches, checkpoints, lanes, members, problems, runs, workers

logger = logging.getLogger(__name__)


class SqlQueue:
    """See `base.Queue`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, worker: str, experiment_id: str | None = None) -> Claim | None:
        """Take the batch that waits longest. Looking costs no write while there is nothing to take."""
        with self._database.read() as connection:
            if self._next(connection, experiment_id) is None:
                return None
        with self._database.write() as connection:
            while (batch := self._next(connection, experiment_id)) is not None:
                if batch.state == "running" and batch.stop:
                    halt(connection, batch.id)
                elif batch.attempts >= MAX_ATTEMPTS:
                    give_up(connection, batch.id, batch.epoch, _gave_up(batch))
                else:
                    token = take(connection, batch, worker, self._database.clock())
                    return _claim(connection, batch, token, worker)
        return None

    def load(self, experiment_id: str | None = None) -> tuple[int, int]:
        """How many batches wait, and how many are held; one whose holder has died waits again."""
        now = self._database.clock()
        with self._database.read() as connection:
            found = connection.execute(_open(experiment_id)).all()
        waiting = sum(row.state == "queued" or dead(row, now) for row in found)
        return waiting, len(found) - waiting

    def begin(self, claim: Claim, channels: Sequence[Channel], versions: Mapping[str, str]) -> None:
        """Say what the batch records and what it trains with."""
        with self._database.write() as connection:
            hold(connection, claim, channels=json.dumps(channels), versions=json.dumps(dict(versions)))

    def heartbeat(self, claim: Claim) -> bool:
        """Keep the lease; True when the batch is to stop."""
        now = self._database.clock()
        with self._database.read() as connection:
            columns = (batches.c.state, batches.c.token, batches.c.stop, batches.c.lease)
            row = connection.execute(select(*columns).where(batches.c.id == claim.batch)).first()
        if row is None or row.token != claim.token or row.state != "running":
            raise LeaseLost(f"Batch {claim.batch} was taken from worker {claim.worker}.")
        if row.lease < now + LEASE - BEAT:
            with self._database.write() as connection:
                hold(connection, claim, lease=now + LEASE)
                connection.execute(update(workers).where(workers.c.id == claim.worker).values(heartbeat=now))
        return bool(row.stop)

    def append(self, claim: Claim, epochs: Sequence[Epoch], checkpoint: bytes | None = None) -> None:
        """Store epochs, and the state after the last of them, in one commit."""
        last = epochs[-1].epoch if epochs else 0
        advances = batches.c.epoch < last
        progress = {
            "epoch": case((advances, last), else_=batches.c.epoch),  # epochs trained again do not turn it back
            "attempts": case((advances, 0), else_=batches.c.attempts),
            "lease": self._database.clock() + LEASE,
        }
        with self._database.write() as connection:
            hold(connection, claim, **progress)
            if epochs:
                history.write(connection, claim.batch, epochs)
                _mark(connection, claim.batch, epochs[-1].statuses)
            if checkpoint is not None:
                connection.execute(delete(checkpoints).where(checkpoints.c.batch == claim.batch))
                row = {"batch": claim.batch, "crc": zlib.crc32(checkpoint), "data": checkpoint}
                connection.execute(insert(checkpoints).values(row))

    def finish(self, claim: Claim, results: Sequence[RunResult]) -> None:
        """Store the lanes' results and give the batch back."""
        if len(results) != len(claim.runs):
            raise ValueError(f"{len(results)} results for {len(claim.runs)} lanes")
        ended = all(one.status != "stopped" for one in results)
        with self._database.write() as connection:
            stop = connection.execute(select(batches.c.stop).where(batches.c.id == claim.batch)).scalar()
            state = "done" if ended else "stopped" if stop else "queued"
            hold(connection, claim, state=state, stop=False, worker=None)
            for lane, result in enumerate(results):
                again = state == "queued" and result.status == "stopped"
                values = {"status": "queued", "result": None} if again else {"status": result.status, "result": result.to_json()}
                connection.execute(update(runs).where(runs.c.batch == claim.batch, runs.c.lane == lane).values(values))
            if ended:
                connection.execute(delete(checkpoints).where(checkpoints.c.batch == claim.batch))

    def fail(self, claim: Claim, sentence: str) -> None:
        """Give the batch back as failed."""
        with self._database.write() as connection:
            hold(connection, claim, stop=False)
            epoch = connection.execute(select(batches.c.epoch).where(batches.c.id == claim.batch)).scalar_one()
            give_up(connection, claim.batch, epoch, sentence)

    def _next(self, connection: Connection, experiment_id: str | None) -> Record | None:
        now = self._database.clock()
        waiting = (row for row in connection.execute(_open(experiment_id)).all() if row.state == "queued" or dead(row, now))
        return next((row for row in waiting if _can_train(connection, row)), None)


def _open(experiment_id: str | None) -> Select[Any]:
    """Batches that are queued or held; of one experiment if it is named."""
    query = in_hand()
    if experiment_id is None:
        return query
    mine = select(runs.c.batch).join(members, members.c.run == runs.c.id)
    return query.where(batches.c.id.in_(mine.where(members.c.experiment == experiment_id)))


def _can_train(connection: Connection, batch: Record) -> bool:
    """Whether this process has the module that the batch's lanes are made of, if it is one of somebody's own."""
    text = connection.execute(select(lanes.c.spec).where(lanes.c.batch == batch.id).limit(1)).scalar()
    module = json.loads(text)["training"].get("module") if text else None
    return not module or is_known(module)


def _claim(connection: Connection, batch: Record, token: int, worker: str) -> Claim:
    texts = connection.execute(select(lanes.c.spec).where(lanes.c.batch == batch.id).order_by(lanes.c.lane)).scalars()
    complete = connection.execute(select(problems.c.complete).where(problems.c.key == batch.problem)).scalar()
    return Claim(
        batch=batch.id,
        token=token,
        worker=worker,
        runs=tuple(RunSpec.model_validate_json(text) for text in texts),
        device=batch.device,
        checkpoint=_checkpoint(connection, batch.id),
        problem=batch.problem,
        complete=bool(complete),
    )


def _checkpoint(connection: Connection, batch: int) -> bytes | None:
    row = connection.execute(select(checkpoints).where(checkpoints.c.batch == batch)).first()
    if row is None:
        return None
    if zlib.crc32(row.data) != row.crc:
        logger.error("The checkpoint of batch %s is damaged: it starts anew.", batch)
        return None
    return bytes(row.data)


def _mark(connection: Connection, batch: int, statuses: tuple[Status, ...]) -> None:
    """Lanes that ended while the others go on; there are none in most epochs."""
    for status in set(statuses) - {"running"}:
        ended = [lane for lane, one in enumerate(statuses) if one == status]
        of_lanes = update(runs).where(runs.c.batch == batch, runs.c.lane.in_(ended), runs.c.status != status)
        connection.execute(of_lanes.values(status=status))


def _gave_up(batch: Record) -> str:
    return (
        f"The worker ended {batch.attempts} times without finishing another epoch, last after epoch {batch.epoch}, "
        "perhaps for want of memory. Try fewer seeds, smaller layers or a smaller batch size."
    )
