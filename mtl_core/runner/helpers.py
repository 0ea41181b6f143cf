"""Worker processes that help one experiment trained in the calling process, where its work is long enough.

Such a process takes some seconds to import torch, which it does beside the caller's training. It takes batches of that
experiment only, and ends when there is none left, when it is told to, or when the caller has ended.
"""

from __future__ import annotations

import logging
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence

from mtl_core.cores import wanted_workers
from mtl_core.runner.starting import start_worker
from mtl_core.runner.submitting import sharing
from mtl_core.specs import ExperimentSpec
from mtl_core.store import Store

logger = logging.getLogger(__name__)

PATIENCE = 1.0  # seconds of training after which batches that still wait are worth a process
READY = 4.0  # seconds until a helper trains: patience, importing, loading
END = 5.0  # seconds that a helper has to give back what it trains


def crew(store: Store, experiment: ExperimentSpec, device: str) -> tuple[float, ...]:
    """In how many seconds each can begin: the calling process, workers that are there, helpers it may start."""
    if device != "cpu" or experiment.training.trunk == "module":
        return (0.0,)
    present = sharing(store, experiment)
    return (0.0,) * (1 + present) + (READY,) * max(0, wanted_workers() - 1 - present)


class Helpers:
    """Up to `count` processes, started at most once."""

    def __init__(
        self,
        store: Store,
        experiment_id: str,
        count: int,
        command: Sequence[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._experiment, self._count, self._command = store, experiment_id, count, command
        self._clock, self._since = clock, clock()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def look(self) -> None:
        """Start helpers if batches of the experiment have waited for long enough."""
        if not self._count or self._clock() - self._since < PATIENCE:
            return
        self._since = self._clock()
        waiting, _ = self._store.queue.load(self._experiment)
        for _ in range(min(self._count, waiting)):
            self._start()
        if waiting:
            self._count = 0

    def end(self) -> None:
        """Tell them to end; they give back what they train."""
        for process in self.processes.values():
            process.terminate()
        for name, process in self.processes.items():
            try:
                process.wait(END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._store.workers.retire(name)

    def _start(self) -> None:
        name = uuid.uuid4().hex[:12]
        try:
            self.processes[name] = start_worker(self._store, name, self._command, "--experiment", self._experiment)
        except OSError as error:
            logger.warning("No helper could be started, so one process trains: %s", error)
