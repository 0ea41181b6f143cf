"""The store in an SQL database: SQLite by default, PostgreSQL by its URL."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update

from mtl_core.errors import UserError
from mtl_core.records import Comparison, ProblemInfo
from mtl_core.specs import ExperimentSpec, RunSpec, digest
from mtl_core.store import progress, submission
from mtl_core.store.base import ExperimentRow, Progress, TableRow
from mtl_core.store.comparing import comparison
from mtl_core.store.database import Database
from mtl_core.store.history import Histories
from mtl_core.store.queue import SqlQueue
from mtl_core.store.schema import Record, experiments, problems, tables
from mtl_core.store.workers import SqlWorkers


class SqlStore:
    """See `base.Store`. Opening brings the schema up to date; any number of processes may open one store at once."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self._database = Database(url, clock)
        self._histories = Histories()
        self.queue = SqlQueue(self._database)
        self.workers = SqlWorkers(self._database)

    @property
    def url(self) -> str:
        """Opens the same store in another process."""
        return self._database.url

    @property
    def file(self) -> Path | None:
        """The store's file on this machine; None for a server."""
        return self._database.file

    def put_table(self, name: str, data: bytes) -> str:
        """Keep a table's bytes; the same bytes are kept once."""
        fingerprint = digest(data)
        with self._database.write() as connection:
            known = connection.execute(select(tables.c.name).where(tables.c.fingerprint == fingerprint)).first()
            if known is None:
                row = {
                    "fingerprint": fingerprint,
                    "name": name,
                    "size": len(data),
                    "data": data,
                    "created": self._database.clock(),
                }
                connection.execute(insert(tables).values(row))
        return fingerprint

    def get_table(self, fingerprint: str) -> tuple[str, bytes]:
        """Name and bytes of a stored table. Raises UserError."""
        with self._database.read() as connection:
            row = connection.execute(select(tables.c.name, tables.c.data).where(tables.c.fingerprint == fingerprint)).first()
        if row is None:
            raise UserError(f"The table {fingerprint} is not in this store. Upload it again.")
        return row.name, bytes(row.data)

    def tables(self) -> list[TableRow]:
        """Stored tables, newest first."""
        query = select(*(tables.c[name] for name in TableRow._fields)).order_by(tables.c.created.desc())
        with self._database.read() as connection:
            return [TableRow(*row) for row in connection.execute(query)]

    def submit(self, spec: ExperimentSpec, info: ProblemInfo, batches: Sequence[Sequence[RunSpec]]) -> str:
        """Keep a resolved experiment and queue what is missing of it."""
        with self._database.write() as connection:
            return submission.submit(connection, self._database.clock(), spec, info, batches)

    def put_info(self, key: str, info: ProblemInfo) -> None:
        """Replace what is known of a problem; nothing happens where no experiment has it."""
        with self._database.write() as connection:
            submission.put_info(connection, key, info)

    def progress(self, experiment_id: str) -> Progress:
        """How far an experiment is. Raises UserError."""
        with self._database.read() as connection:
            found = progress.of_experiments(connection, self._database.clock(), [experiment_id])
        if experiment_id not in found:
            raise UserError(_no_experiment(experiment_id))
        return found[experiment_id]

    def experiments(self) -> list[ExperimentRow]:
        """Stored experiments: pinned first, then the last submitted first."""
        order = (experiments.c.pinned.desc(), experiments.c.submitted.desc())
        query = select(experiments, problems.c.name.label("of")).join(problems, problems.c.key == experiments.c.problem)
        with self._database.read() as connection:
            found = progress.of_experiments(connection, self._database.clock())
            return [_listed(row, found[row.id]) for row in connection.execute(query.order_by(*order)).all()]

    def annotate(self, experiment_id: str, note: str) -> None:
        """Keep a person's note. Raises UserError."""
        self._change(experiment_id, note=note)

    def pin(self, experiment_id: str, *, pinned: bool = True) -> None:
        """Keep an experiment at the top of the list, or no longer. Raises UserError."""
        self._change(experiment_id, pinned=pinned)

    def stop(self, experiment_id: str) -> None:
        """Stop its runs that no other active experiment wants. Raises UserError."""
        with self._database.write() as connection:
            _experiment(connection, experiment_id)
            submission.stop(connection, self._database.clock(), experiment_id)

    def delete(self, experiment_id: str) -> None:
        """Forget an experiment and its runs that no other has. Raises UserError."""
        with self._database.write() as connection:
            _experiment(connection, experiment_id)
            submission.remove(connection, self._database.clock(), experiment_id)

    def comparison(self, experiment_id: str, since_epoch: int = 0) -> Comparison:
        """All that is known of an experiment, its history from the epoch after `since_epoch`. Raises UserError."""
        with self._database.read() as connection:
            return comparison(connection, self._histories, _experiment(connection, experiment_id), since_epoch)

    def close(self) -> None:
        """Let go of the connections."""
        self._database.close()

    def _change(self, experiment_id: str, **values: Any) -> None:
        with self._database.write() as connection:
            _experiment(connection, experiment_id)
            connection.execute(update(experiments).where(experiments.c.id == experiment_id).values(values))


def _experiment(connection: Connection, experiment_id: str) -> Record:
    row = connection.execute(select(experiments).where(experiments.c.id == experiment_id)).first()
    if row is None:
        raise UserError(_no_experiment(experiment_id))
    return row


def _no_experiment(experiment_id: str) -> str:
    return f"There is no comparison {experiment_id[:40]} in this store. It may have been deleted; run it again from its link."


def _listed(row: Record, found: Progress) -> ExperimentRow:
    spec = json.loads(row.spec)
    return ExperimentRow(
        id=row.id,
        name=row.name,
        problem=row.of,
        arms=tuple(spec["arms"]),
        baseline=spec["baseline"],
        seeds=len(spec["seeds"]),
        created=row.created,
        submitted=row.submitted,
        note=row.note,
        pinned=bool(row.pinned),
        progress=found,
    )
