"""Who runs the workers: local processes, started by the app, found again through the store.

A worker outlives the app's reloads and restarts. Started by an app, it ends by itself when its store is gone, or when
it has had nothing to do for a minute and no app process that wanted it lives any more. Started by hand
(`python -m mtl_core worker`) it runs until it is told to end. SIGTERM and Ctrl-C give the batch back with its checkpoint.

How many there are, and with how many threads: `mtl_core/cores.py`.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mtl_core.cores import wanted_threads, wanted_workers
from mtl_core.runner import Trainer, work
from mtl_core.runner.starting import start_worker
from mtl_core.runner.trainer import real
from mtl_core.store import Store, Worker, open_store, processes

logger = logging.getLogger(__name__)

LINGER_SECONDS = 60.0  # without work and without an app
LINGER_LOOKS = 5.0  # seconds between two looks for an app
STUCK_SECONDS = 120.0  # a local worker that trains without a heartbeat for so long is replaced
APP_BEAT_SECONDS = 10.0

_children: dict[str, list[subprocess.Popen[bytes]]] = {}  # by store; reaped as they end


def ensure_workers(store: Store, count: int | None = None, command: Sequence[str] | None = None) -> list[str]:
    """Start what is missing of `count` local workers, and say that this app wants them; returns the names started.

    Cheap when nothing is to be done: call it with every page. `command`: what to start instead of this package's worker.
    """
    children = _children[store.url] = [child for child in _children.get(store.url, []) if child.poll() is None]
    count = wanted_workers() if count is None else count
    wanted_threads()  # a mistake in it is told here, not in the log of a worker
    living = store.workers.live()
    _sign_in(store, living)
    _replace_stuck(living)
    host = processes.me().host
    if sum(one.kind == "process" and one.host == host for one in living) >= count:
        return []
    names = store.workers.reserve(count)
    children.extend(start_worker(store, name, command) for name in names)
    return names


def dismiss_workers(store: Store) -> None:
    """Ask the local workers to give back what they train and to end; those this process has just started, too."""
    for child in _children.get(store.url, []):
        child.terminate()
    for one in store.workers.live():
        if one.kind == "process" and processes.alive(one.host, one.pid, one.birth):
            os.kill(one.pid, signal.SIGTERM)


def worker_main(
    store_url: str | None = None, worker: str | None = None, trainer: Trainer | None = None, experiment: str | None = None
) -> None:
    """A worker process: warm up, then train until there is a reason to leave. `worker`: the name it was started under.

    experiment: train its batches only, at once, and leave when none is left or whoever started this process has ended.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr, force=True)
    told = _told_to_leave()
    parent = os.getppid()
    store = open_store(store_url)
    name = store.workers.register("process" if experiment is None else "inline", worker)
    logger.info("Worker %s of %s, process %s.", name, store.file or "the server", os.getpid())
    trainer = trainer or real()
    leave = _leave(store, told, lingers=worker is not None)
    if experiment is not None:
        leave = lambda _idle: bool(told) or os.getppid() != parent or not _present(store)  # noqa: E731
    with trainer.threads():
        if experiment is None:
            _warm(trainer)
        store.workers.beat(name, "idle", trainer.device("auto"))
        work(store, name, experiment=experiment, trainer=trainer, leave=leave)
    if _present(store):
        store.workers.retire(name)
    store.close()
    logger.info("Worker %s ends.", name)


def _warm(trainer: Trainer) -> None:
    """A rehearsal that fails is no reason not to work: what is wrong will be told to whoever submits a run."""
    try:
        trainer.warm()
    except Exception:
        logger.exception("The rehearsal failed.")


def _sign_in(store: Store, living: list[Worker]) -> None:
    me = processes.me()
    name = f"app-{me.pid}-{me.birth}"
    mine = next((one for one in living if one.id == name), None)
    if mine is None:
        store.workers.register("app", name, "idle")
    elif time.time() - mine.heartbeat > APP_BEAT_SECONDS:
        store.workers.beat(name, "idle")


def _replace_stuck(living: list[Worker]) -> None:
    for one in living:
        silent = time.time() - one.heartbeat > STUCK_SECONDS
        if one.kind == "process" and one.state == "training" and silent and processes.alive(one.host, one.pid, one.birth):
            logger.error("Worker %s (process %s) is stuck and is replaced.", one.id, one.pid)
            os.kill(one.pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def _told_to_leave() -> list[int]:
    """The signals that have come. A list, as an Event locks, and a second signal may come while the first is being noted."""
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: told.append(number))
    return told


def _leave(store: Store, told: list[int], *, lingers: bool) -> Callable[[float], bool]:
    first = _identity(store.file)
    looked = float("-inf")

    def leave(idle: float) -> bool:
        nonlocal looked
        if told or _identity(store.file) != first:
            return True
        if not lingers or idle < LINGER_SECONDS or time.monotonic() - looked < LINGER_LOOKS:
            return False
        looked = time.monotonic()
        return not any(one.kind == "app" for one in store.workers.live())

    return leave


def _present(store: Store) -> bool:
    return store.file is None or store.file.exists()


def _identity(file: Path | None) -> tuple[int, int] | None:
    """Tells a file from another that took its place."""
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
