"""Train one claimed batch, breath by breath, and give it back, whatever happens."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress

from mtl_core.errors import LeaseLost, StoreError, UserError
from mtl_core.runner.journal import Journal
from mtl_core.runner.trainer import Trainer, Training, versions
from mtl_core.store import Claim, Store

logger = logging.getLogger(__name__)

BEATS, BEAT_SECONDS = 300, 2.0  # so long may a batch take to load, or to be judged, before it is taken for stuck


def attend(store: Store, claim: Claim, trainer: Trainer) -> Generator[None, None, None]:
    """Train the batch; yields several times a second. Closing the generator gives it back as far as it is.

    A person's mistake becomes its sentence on the runs, any other exception a sentence and a traceback in the log.
    A lost lease ends the work without a trace. Raises StoreError: then the lease runs out, and the batch is taken again.
    """
    try:
        yield from _train(store, claim, trainer)
    except LeaseLost as lost:
        logger.warning("%s", lost)
    except StoreError:
        raise
    except UserError as error:
        _fail(store, claim, str(error))
    except Exception as error:
        logger.exception("Batch %s failed.", claim.batch)
        first_line = (str(error).splitlines() or [""])[0][:300]
        _fail(store, claim, f"The program failed while it trained ({type(error).__name__}: {first_line}); its log says more.")


def _train(store: Store, claim: Claim, trainer: Trainer) -> Generator[None, None, None]:
    with _kept_meanwhile(store, claim):
        problem = trainer.load(claim.runs[0].data, store.get_table)
        threads = trainer.tune(problem, claim.runs, sum(store.queue.load()))
        training = trainer.train(problem, claim.runs, claim.device, claim.checkpoint)
    store.queue.begin(claim, training.channels, versions(training.device, threads))
    journal = Journal(store.queue, claim, training)
    unfinished = True
    with suppress(GeneratorExit):  # closed: give back what there is
        for item in training:
            stop = journal.note(item)
            if item is not None and not claim.complete and journal.first:
                store.put_info(claim.problem, trainer.describe(problem))
            yield
            if stop:
                break
        else:
            unfinished = False
    _give_back(store, claim, journal, training, unfinished=unfinished)


def _give_back(store: Store, claim: Claim, journal: Journal, training: Training, *, unfinished: bool) -> None:
    journal.close(unfinished=unfinished)
    with _kept_meanwhile(store, claim):  # on a million rows they take minutes
        results = training.results()
    store.queue.finish(claim, results)
    logger.info("Batch %s of %s lanes: %s.", claim.batch, len(claim.runs), "given back" if unfinished else "done")


def _fail(store: Store, claim: Claim, sentence: str) -> None:
    with suppress(LeaseLost):
        store.queue.fail(claim, sentence)


@contextmanager
def _kept_meanwhile(store: Store, claim: Claim) -> Iterator[None]:
    """Beats beside work that cannot breathe."""
    done = threading.Event()

    def beat() -> None:
        for _ in range(BEATS):
            if done.wait(BEAT_SECONDS):
                return
            try:
                store.queue.heartbeat(claim)
            except StoreError:  # the work itself will find out
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
