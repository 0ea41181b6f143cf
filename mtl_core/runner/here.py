"""Train an experiment in the calling process, beside whatever workers there are, with helpers where the work is long."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import suppress

from mtl_core.cores import wanted_threads
from mtl_core.errors import UserError
from mtl_core.records import Comparison
from mtl_core.runner.attending import attend
from mtl_core.runner.helpers import Helpers, crew
from mtl_core.runner.interrupts import interrupts_wait
from mtl_core.runner.submitting import submit
from mtl_core.runner.trainer import Trainer, real
from mtl_core.specs import ExperimentSpec
from mtl_core.store import Progress, Store, open_store

REPORT_SECONDS = 0.25  # a report asks the store, which takes milliseconds


def run(
    experiment: ExperimentSpec, store: Store | None = None, device: str | None = None, trainer: Trainer | None = None
) -> Comparison:
    """Train what is missing of an experiment and return all of it. Raises UserError.

    Runs that another process trains already are waited for. On KeyboardInterrupt what is finished is kept.
    """
    store = store or open_store()
    *_, last = run_iter(experiment, store, device, trainer)
    return store.comparison(last.experiment_id)


def run_iter(
    experiment: ExperimentSpec, store: Store, device: str | None = None, trainer: Trainer | None = None
) -> Iterator[Progress]:
    """`run`, reporting several times a second and at the end. Whoever stops asking stops the experiment.

    Raises UserError before anything is trained; what goes wrong later is told by the last report, whose state is failed.
    """
    trainer = trainer or real()
    chosen = experiment.model_copy(update={"device": device or experiment.device})
    free = crew(store, chosen, trainer.device(chosen.device))
    wanted_threads()  # a mistake in it is told before anything is trained
    experiment_id = submit(store, chosen, free)
    worker = store.workers.register("inline", state="training")
    helpers = Helpers(store, experiment_id, sum(seconds > 0 for seconds in free))  # those that are not there yet
    try:
        with trainer.threads():
            yield from _train_here(store, experiment_id, worker, trainer, helpers)
    except BaseException:
        store.workers.retire(worker)
        _stop(store, experiment_id)  # what this process still held is nobody's now
        raise
    finally:
        helpers.end()
    store.workers.retire(worker)
    yield store.progress(experiment_id)


def _train_here(store: Store, experiment_id: str, worker: str, trainer: Trainer, helpers: Helpers) -> Iterator[Progress]:
    held: Generator[None, None, None] | None = None
    try:
        while (progress := store.progress(experiment_id)).active:
            yield progress
            claim = store.queue.claim(worker, experiment_id)
            if claim is None:  # another process trains what is left
                time.sleep(REPORT_SECONDS)
                continue
            held = attend(store, claim, trainer)
            yield from _reports(store, experiment_id, held, helpers)
    except BaseException:  # Ctrl-C, or nobody asks any more
        _stop(store, experiment_id)
        if held is not None:
            held.close()  # gives the batch back, as stopped
        raise


def _stop(store: Store, experiment_id: str) -> None:
    with suppress(UserError):  # deleted meanwhile
        store.stop(experiment_id)


def _reports(store: Store, experiment_id: str, held: Generator[None, None, None], helpers: Helpers) -> Iterator[Progress]:
    reported = time.monotonic()
    while True:
        with interrupts_wait():
            if next(held, END) is END:
                return
        if time.monotonic() - reported >= REPORT_SECONDS:
            yield store.progress(experiment_id)
            helpers.look()
            reported = time.monotonic()


END = object()
