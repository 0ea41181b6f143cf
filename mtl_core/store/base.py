"""What a store is: the single source of truth between pages and workers. Backends pass one contract suite.

Guarantees, of every backend:

* A run is its content hash. One that is done, queued or training is never queued again, whoever submits it.
* A worker holds a batch of lanes by a lease with a fencing token: once another has taken it over, every write of the old
  holder raises LeaseLost and changes nothing.
* Results and the state they lead to are one transaction; so are a checkpoint and the epochs it follows.
* What a reader has seen of a history stays: after a crash the batch goes on from its last checkpoint, and epochs
  trained again overwrite equal ones.
* A batch goes on as long as any experiment that was not stopped wants one of its runs.

All methods may be called from any thread and any process. They raise StoreError when the store cannot answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float

from mtl_core.records import Channel, Comparison, ProblemInfo, RunResult, Status
from mtl_core.specs import DataSpec, ExperimentSpec, RunSpec, digest

State = Literal["queued", "running", "stopping", "stopped", "done", "failed"]
ACTIVE: tuple[State, ...] = ("queued", "running", "stopping")
WorkerKind = Literal["process", "inline", "app"]  # a worker process; a caller that trains itself; an app that wants workers
WorkerState = Literal["starting", "warming", "idle", "training"]


def problem_key(data: DataSpec) -> str:
    """Names a problem by what decides its content: a table by its fingerprint, not by its path."""
    return digest(data.model_copy(update={"file": None}).canonical())


class Epoch(Protocol):
    """One epoch of a batch, as the engine yields it."""

    @property
    def epoch(self) -> int:
        """Counts from 1."""

    @property
    def values(self) -> Float[np.ndarray, "lanes channels"]:
        """NaN rows for lanes that no longer train."""

    @property
    def statuses(self) -> tuple[Status, ...]:
        """By lane."""


@dataclass(frozen=True)
class Claim:
    """A batch of lanes that a worker holds."""

    batch: int
    token: int  # fences off whoever held the batch before
    worker: str
    runs: tuple[RunSpec, ...]  # one per lane
    device: str
    checkpoint: bytes | None  # where to go on from; None: from the start
    problem: str  # key for put_info
    complete: bool  # whether the problem's baselines are known


class Progress(NamedTuple):
    """How far an experiment is; cheap enough to ask for twice a second."""

    experiment_id: str
    state: State
    sentence: str  # what is going on, for a person
    runs_done: int  # done, diverged or failed
    runs_total: int
    reused: int  # runs that were there already when the experiment was last submitted
    epoch: int  # of the least advanced batch that trains
    epochs: int
    fraction: float  # of the whole experiment, 0 to 1
    started: float | None  # Unix time when the first unfinished batch began to train
    diverged: int = 0  # runs, among those done

    @property
    def all_diverged(self) -> bool:
        """There is no run with a result, because every one diverged."""
        return 0 < self.runs_total == self.diverged

    @property
    def active(self) -> bool:
        """Whether anything may still change."""
        return self.state in ACTIVE


class ExperimentRow(NamedTuple):
    """A stored experiment in a list."""

    id: str
    name: str
    problem: str
    arms: tuple[str, ...]
    baseline: str
    seeds: int
    created: float  # Unix time
    submitted: float  # of the last submission
    note: str
    pinned: bool
    progress: Progress


class TableRow(NamedTuple):
    """A stored table in a list."""

    fingerprint: str
    name: str
    size: int  # bytes
    created: float


class Worker(NamedTuple):
    """A process that has reported to the store."""

    id: str
    kind: WorkerKind
    state: WorkerState
    host: str
    pid: int
    birth: str  # with host and pid names one process: a reused pid has another birth
    device: str
    heartbeat: float  # Unix time
    started: float


class Queue(Protocol):
    """The workers' side of the store."""

    def claim(self, worker: str, experiment_id: str | None = None) -> Claim | None:
        """Take the batch that waits longest, or one whose worker died; None when there is none.

        A worker that is not registered counts as dead. A dead process on this machine is seen at once, anything else
        when its lease has run out. With an experiment: only batches with one of its runs.
        """

    def load(self, experiment_id: str | None = None) -> tuple[int, int]:
        """How many batches wait, and how many are held; of one experiment if it is named."""

    def begin(self, claim: Claim, channels: Sequence[Channel], versions: Mapping[str, str]) -> None:
        """Say what the batch records and what it trains with. Raises LeaseLost."""

    def heartbeat(self, claim: Claim) -> bool:
        """Keep the lease; True when nobody wants the batch any more. Cheap: writes every few seconds. Raises LeaseLost."""

    def append(self, claim: Claim, epochs: Sequence[Epoch], checkpoint: bytes | None = None) -> None:
        """Store epochs, and the state after the last of them, in one commit. Raises LeaseLost."""

    def finish(self, claim: Claim, results: Sequence[RunResult]) -> None:
        """Store the lanes' results and give the batch back. Raises LeaseLost.

        With stopped lanes among them the batch is stopped if nobody wants it, else queued again.
        """

    def fail(self, claim: Claim, sentence: str) -> None:
        """Give the batch back as failed: its unfinished runs carry the sentence. Raises LeaseLost."""


class Workers(Protocol):
    """Which processes there are."""

    def register(self, kind: WorkerKind, worker: str | None = None, state: WorkerState = "warming") -> str:
        """Enter the calling process, under a reserved name if given; returns the name."""

    def beat(self, worker: str, state: WorkerState, device: str | None = None) -> None:
        """Say that the process lives, and what it does."""

    def retire(self, worker: str) -> None:
        """The process is about to end."""

    def live(self) -> list[Worker]:
        """Processes that are believed to live, oldest first."""

    def reserve(self, count: int) -> list[str]:
        """Names to start on this machine so that it has `count` worker processes; two callers never get the same need."""


class Store(Protocol):
    """The pages' side of the store."""

    @property
    def url(self) -> str:
        """Opens the same store in another process."""

    @property
    def file(self) -> Path | None:
        """The store's file on this machine; None for a server."""

    @property
    def queue(self) -> Queue:
        """The workers' side."""

    @property
    def workers(self) -> Workers:
        """Which processes there are."""

    def put_table(self, name: str, data: bytes) -> str:
        """Keep a table's bytes; returns its fingerprint. The same bytes are kept once."""

    def get_table(self, fingerprint: str) -> tuple[str, bytes]:
        """Name and bytes of a stored table. Raises UserError."""

    def tables(self) -> list[TableRow]:
        """Stored tables, newest first."""

    def submit(self, spec: ExperimentSpec, info: ProblemInfo, batches: Sequence[Sequence[RunSpec]]) -> str:
        """Keep a resolved experiment and queue those of its runs that are not done, queued or training; returns its id.

        Stopped batches go on from where they stopped; failed runs are tried again. Raises UserError when the queue is full.
        """

    def put_info(self, key: str, info: ProblemInfo) -> None:
        """Replace what is known of a problem; nothing happens where no experiment has it."""

    def comparison(self, experiment_id: str, since_epoch: int = 0) -> Comparison:
        """All that is known of an experiment, its history from the epoch after `since_epoch`. Raises UserError.

        A lane that ended while its batch still trains has its final status already, but no result yet.
        """

    def progress(self, experiment_id: str) -> Progress:
        """How far an experiment is. Raises UserError."""

    def experiments(self) -> list[ExperimentRow]:
        """Stored experiments: pinned first, then the last submitted first."""

    def annotate(self, experiment_id: str, note: str) -> None:
        """Keep a person's note. Raises UserError."""

    def pin(self, experiment_id: str, *, pinned: bool = True) -> None:
        """Keep an experiment at the top of the list, or no longer. Raises UserError."""

    def stop(self, experiment_id: str) -> None:
        """Stop its runs that no other active experiment wants; their history stays. Raises UserError."""

    def delete(self, experiment_id: str) -> None:
        """Forget an experiment and its runs that no other experiment has. Raises UserError."""

    def close(self) -> None:
        """Let go of the connections."""
