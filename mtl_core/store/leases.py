"""Who holds a batch: leases, fencing tokens, and what becomes of a batch whose worker died."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, delete, or_, select, update

from mtl_core.errors import LeaseLost
from mtl_core.records import RunResult
from mtl_core.store import processes
from mtl_core.store.base import Claim
from mtl_core.store.schema import Record, batches, checkpoints, runs, workers

LEASE = 30.0  # seconds a silent worker keeps a batch; a dead one on this machine is seen at once
BEAT = 3.0  # seconds between two writes of a heartbeat
MAX_ATTEMPTS = 6  # claims in a row that brought no new epoch, before the batch is given up


def in_hand() -> Select[Any]:
    """Batches that are queued or held, with the process that holds them, in the order they are served."""
    process = (workers.c.host, workers.c.pid, workers.c.birth)
    query = select(batches, *process).join(workers, workers.c.id == batches.c.worker, isouter=True)
    return query.where(or_(batches.c.state == "queued", batches.c.state == "running")).order_by(batches.c.queued, batches.c.id)


def dead(batch: Record, now: float) -> bool:
    """Whether nobody holds a running batch any more."""
    if batch.lease < now or batch.host is None:
        return True
    return processes.alive(batch.host, batch.pid, batch.birth) is False


def take(connection: Connection, batch: Record, worker: str, now: float) -> int:
    """Give the batch to the worker; returns the token that fences off everybody before."""
    values = {
        "state": "running",
        "worker": worker,
        "token": batch.token + 1,
        "lease": now + LEASE,
        "attempts": batch.attempts + 1,
    }
    connection.execute(update(batches).where(batches.c.id == batch.id).values(**values, started=batch.started or now))
    connection.execute(update(runs).where(runs.c.batch == batch.id, runs.c.status == "queued").values(status="running"))
    return int(batch.token) + 1


def hold(connection: Connection, claim: Claim, **values: Any) -> None:
    """Change a batch on behalf of its holder. Raises LeaseLost if that is somebody else by now."""
    mine = (batches.c.id == claim.batch, batches.c.token == claim.token, batches.c.state == "running")
    if not connection.execute(update(batches).where(*mine).values(**values)).rowcount:
        raise LeaseLost(f"Batch {claim.batch} was taken from worker {claim.worker}.")


def halt(connection: Connection, batch: int) -> None:
    """Stop a batch that no living worker holds; its history and its checkpoint stay."""
    values = {"state": "stopped", "stop": False, "worker": None, "token": batches.c.token + 1}
    connection.execute(update(batches).where(batches.c.id == batch).values(values))
    connection.execute(update(runs).where(runs.c.batch == batch, runs.c.result.is_(None)).values(status="stopped"))


def give_up(connection: Connection, batch: int, epoch: int, sentence: str) -> None:
    """Fail a batch: runs without a result carry the sentence."""
    result = RunResult(status="failed", sentence=sentence, epochs=epoch).to_json()
    connection.execute(update(batches).where(batches.c.id == batch).values(state="failed", worker=None))
    unfinished = update(runs).where(runs.c.batch == batch, runs.c.result.is_(None))
    connection.execute(unfinished.values(status="failed", result=result))
    connection.execute(delete(checkpoints).where(checkpoints.c.batch == batch))
