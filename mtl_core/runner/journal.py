"""Brings what a batch yields to the store: often enough to be watched, seldom enough to be cheap."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from mtl_core.store import Claim, Epoch, Queue

if TYPE_CHECKING:
    from collections.abc import Callable

COMMIT_SECONDS = 0.05  # faster epochs share a commit
STOP_SECONDS = 0.2  # how often to look whether the batch is to stop
CHECKPOINT_SECONDS = 2.0
CHECKPOINT_SHARE = 0.01  # of the time may go into checkpoints: large ones are kept less often


class Resumable(Protocol):
    """What can say where to go on from."""

    def checkpoint(self) -> bytes:
        """The state after the epoch yielded last."""


class Journal:
    """The record of one claimed batch. The first epoch is stored at once. Every method may raise LeaseLost."""

    def __init__(self, queue: Queue, claim: Claim, training: Resumable, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue, self._claim, self._training, self._clock = queue, claim, training, clock
        self._waiting: list[Epoch] = []
        self._epochs = 0
        self._committed = self._asked = float("-inf")
        self._kept, self._cost = clock(), 0.0

    @property
    def first(self) -> bool:
        """Whether the epoch noted last was the first one here."""
        return self._epochs == 1

    def note(self, item: Epoch | None) -> bool:
        """Take an epoch, or None for a breath; True when the batch is to stop."""
        if item is not None:
            self._waiting.append(item)
            self._epochs += 1
        now = self._clock()
        if self._waiting and now - self._committed >= COMMIT_SECONDS:
            self._commit(checkpoint=now - self._kept >= max(CHECKPOINT_SECONDS, self._cost / CHECKPOINT_SHARE))
        if now - self._asked < STOP_SECONDS:
            return False
        self._asked = now
        return self._queue.heartbeat(self._claim)

    def close(self, *, unfinished: bool) -> None:
        """Store what waits; for an unfinished batch also where to go on from."""
        if self._waiting or (unfinished and self._epochs):
            self._commit(checkpoint=unfinished)

    def _commit(self, *, checkpoint: bool) -> None:
        began = self._clock()
        state = self._training.checkpoint() if checkpoint else None
        self._queue.append(self._claim, self._waiting, state)
        self._waiting = []
        self._committed = self._clock()
        if checkpoint:
            self._kept, self._cost = self._committed, self._committed - began
