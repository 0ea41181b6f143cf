"""The loop of a worker process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from mtl_core.errors import StoreError
from mtl_core.runner.attending import attend
from mtl_core.runner.trainer import Trainer, real, remembering
from mtl_core.store import Claim, Store

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.1  # how often an idle worker looks for work
BEAT_SECONDS = 3.0
PAUSE_SECONDS = 1.0  # after the store did not answer


def work(
    store: Store,
    worker: str,
    *,
    once: bool = False,
    experiment: str | None = None,
    trainer: Trainer | None = None,
    leave: Callable[[float], bool] | None = None,
) -> None:
    """Train what is queued, batch after batch, until `leave(seconds without work)`; with `once`, until the queue is empty.

    experiment: only its batches, until none is left.
    """
    trainer = remembering(trainer or real())
    busy = beaten = time.monotonic()
    leave = leave or _never
    while not leave(time.monotonic() - busy):
        try:
            if time.monotonic() - beaten > BEAT_SECONDS:
                store.workers.beat(worker, "idle")
                beaten = time.monotonic()
            claim = store.queue.claim(worker, experiment)
            if claim is not None:
                _train(store, claim, trainer, leave)
                busy = time.monotonic()
            elif once or experiment is not None:
                return
            else:
                time.sleep(POLL_SECONDS)
        except StoreError:
            logger.exception("The store did not answer; trying again.")
            time.sleep(PAUSE_SECONDS)


def _train(store: Store, claim: Claim, trainer: Trainer, leave: Callable[[float], bool]) -> None:
    logger.info("Batch %s of %s lanes: claimed.", claim.batch, len(claim.runs))
    store.workers.beat(claim.worker, "training")
    steps = attend(store, claim, trainer)
    try:
        for _ in steps:
            if leave(0.0):
                return
    finally:
        steps.close()  # gives back what is not finished; another worker goes on with it
        store.workers.beat(claim.worker, "idle")


def _never(_idle: float) -> bool:
    return False
