"""Which processes there are: each enters itself, and is believed as long as it lives or beats."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from mtl_core.store import processes
from mtl_core.store.base import Worker, WorkerKind, WorkerState
from mtl_core.store.database import Database
from mtl_core.store.schema import workers

STARTING = 60.0  # seconds that a worker may take to start; so long one that crashes meanwhile is not tried again
SILENT = 60.0  # seconds without a heartbeat after which a process elsewhere is not counted on
FORGOTTEN = 86_400.0  # and after which it is forgotten
COMING = ("starting", "warming")


class SqlWorkers:
    """See `base.Workers`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, kind: WorkerKind, worker: str | None = None, state: WorkerState = "warming") -> str:
        """Enter the calling process."""
        name = worker or uuid.uuid4().hex[:12]
        me = processes.me()
        with self._database.write() as connection:
            self._enter(connection, name, kind=kind, state=state, **me._asdict())
        return name

    def beat(self, worker: str, state: WorkerState, device: str | None = None) -> None:
        """Say that the process lives, and what it does."""
        values: dict[str, Any] = {"heartbeat": self._database.clock(), "state": state}
        if device is not None:
            values["device"] = device
        with self._database.write() as connection:
            known = connection.execute(update(workers).where(workers.c.id == worker).values(values)).rowcount
        if not known:  # forgotten while this machine slept
            self.register("process", worker, state)

    def retire(self, worker: str) -> None:
        """The process is about to end."""
        with self._database.write() as connection:
            connection.execute(delete(workers).where(workers.c.id == worker))

    def live(self) -> list[Worker]:
        """Processes that are believed to live, oldest first."""
        with self._database.read() as connection:
            return self._living(connection)

    def reserve(self, count: int) -> list[str]:
        """Names to start on this machine so that it has `count` worker processes."""
        host = processes.me().host
        with self._database.write() as connection:
            living = self._living(connection)
            self._forget(connection)
            present = [one for one in living if one.kind == "process" and one.host == host]
            names = [uuid.uuid4().hex[:12] for _ in range(count - len(present))]
            for name in names:
                self._enter(connection, name, kind="process", state="starting", host=host, pid=0, birth="")
        return names

    def _enter(self, connection: Connection, name: str, **values: Any) -> None:
        now = self._database.clock()
        connection.execute(delete(workers).where(workers.c.id == name))
        connection.execute(insert(workers).values(id=name, device="", heartbeat=now, started=now, **values))

    def _living(self, connection: Connection) -> list[Worker]:
        now = self._database.clock()
        return [one for one in _rows(connection) if _lives(one, now)]

    def _forget(self, connection: Connection) -> None:
        """Processes elsewhere that fell silent may wake up again; one that ended here will not."""
        now = self._database.clock()
        gone = [one.id for one in _rows(connection) if not _lives(one, now) and _stays_away(one, now)]
        connection.execute(delete(workers).where(workers.c.id.in_(gone)))


def _rows(connection: Connection) -> list[Worker]:
    columns = [workers.c[name] for name in Worker._fields]
    return [Worker(*row) for row in connection.execute(select(*columns).order_by(workers.c.started))]


def _stays_away(worker: Worker, now: float) -> bool:
    here = processes.alive(worker.host, worker.pid, worker.birth) is not None
    return here or worker.state in COMING or now - worker.heartbeat > FORGOTTEN


def _lives(worker: Worker, now: float) -> bool:
    silence = now - worker.heartbeat
    if worker.state in COMING and silence < STARTING:
        return True
    alive = processes.alive(worker.host, worker.pid, worker.birth)
    return silence < SILENT if alive is None else alive
