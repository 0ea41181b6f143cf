"""The tables, as the newest migration leaves them. Times are Unix seconds."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, Row, String, Table, Text

Record = Row[*tuple[Any, ...]]  # a row of any query

VERSION = "0001"  # of the newest migration

metadata = MetaData()

tables = Table(
    "tables",
    metadata,
    Column("fingerprint", String(16), primary_key=True),
    Column("name", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

problems = Table(
    "problems",
    metadata,
    Column("key", String(16), primary_key=True),
    Column("name", Text, nullable=False),
    Column("complete", Boolean, nullable=False),  # baselines are known
    Column("info", Text, nullable=False),  # ProblemInfo as JSON
)

experiments = Table(
    "experiments",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", Text, nullable=False),
    Column("problem", String(16), nullable=False),
    Column("spec", Text, nullable=False),  # resolved ExperimentSpec as JSON
    Column("epochs", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("submitted", Float, nullable=False),
    Column("stopped", Boolean, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("note", Text, nullable=False),
)

members = Table(  # the runs of an experiment, in its order
    "members",
    metadata,
    Column("experiment", String(16), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("arm", Text, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("run", String(16), nullable=False),
    Column("reused", Boolean, nullable=False),
    Index("members_by_run", "run"),
)

runs = Table(  # a run belongs to the batch that trained it last
    "runs",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("batch", Integer, nullable=False),
    Column("lane", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("result", Text),  # RunResult as JSON
    Index("runs_by_batch", "batch"),
)

batches = Table(
    "batches",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("state", String(16), nullable=False),  # queued, running, stopped, done, failed
    Column("stop", Boolean, nullable=False),  # asked of the worker that trains it
    Column("problem", String(16), nullable=False),
    Column("device", String(16), nullable=False),
    Column("queued", Float, nullable=False),
    Column("started", Float),
    Column("worker", String(64)),
    Column("token", Integer, nullable=False),  # counts claims
    Column("lease", Float, nullable=False),  # the worker holds the batch until then
    Column("attempts", Integer, nullable=False),  # claims since the last new epoch
    Column("epoch", Integer, nullable=False),  # the last one stored
    Column("channels", Text, nullable=False),  # JSON: what the columns of its chunks are
    Column("versions", Text, nullable=False),  # JSON: what it was trained with
    Index("batches_by_state", "state", "queued"),
    sqlite_autoincrement=True,  # readers cache histories by batch: an id is never used twice
)

lanes = Table(  # what a batch trains, whatever became of its runs
    "lanes",
    metadata,
    Column("batch", Integer, primary_key=True, autoincrement=False),
    Column("lane", Integer, primary_key=True, autoincrement=False),
    Column("run", String(16), nullable=False),
    Column("spec", Text, nullable=False),  # RunSpec as JSON
)

chunks = Table(  # one row for all lanes and channels of an epoch
    "chunks",
    metadata,
    Column("batch", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("crc", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),  # little-endian float32 [lanes, channels]
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("batch", Integer, primary_key=True, autoincrement=False),
    Column("crc", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("host", String(200), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("birth", String(64), nullable=False),
    Column("device", String(16), nullable=False),
    Column("heartbeat", Float, nullable=False),
    Column("started", Float, nullable=False),
)
