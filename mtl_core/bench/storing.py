"""What the runner and the store cost as runs and epochs grow: everything of a comparison but the training, which is made up.

The epochs come as fast as they can be made, so several share a commit, as fast epochs do; the cost of slow ones is in the whole
trainings.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass

import numpy as np

from mtl_core.bench.problems import mixed_heads
from mtl_core.bench.timing import Form, Row, spent
from mtl_core.bench.whole import experiment, store_in
from mtl_core.engine import EpochRecord
from mtl_core.problem import Problem, problem_info
from mtl_core.records import Channel, RunResult, channels
from mtl_core.runner import Trainer, run
from mtl_core.specs import RunSpec
from mtl_core.store import Store, open_store

SCHEMES = ("equal", "uncertainty")


@dataclass
class MadeUp:
    """A training without training: noise in place of every epoch."""

    problem: Problem
    runs: Sequence[RunSpec]
    device: str = "cpu"
    kept: bytes | None = None

    @property
    def channels(self) -> tuple[Channel, ...]:
        """As the engine's."""
        return channels(self.problem.tasks)

    def __iter__(self) -> Iterator[EpochRecord | None]:
        """All epochs."""
        values = np.random.default_rng(0).normal(size=(len(self.runs), len(self.channels)))
        for epoch in range(1, (self.runs[0].training.epochs or 1) + 1):
            yield EpochRecord(epoch, values, tuple("running" for _ in self.runs))

    def checkpoint(self) -> bytes:
        """As large as nothing."""
        return b""

    def results(self) -> list[RunResult]:
        """All done."""
        epochs = self.runs[0].training.epochs or 1
        return [RunResult("done", epochs=epochs, selected_epoch=epochs, selected_criterion=1.0) for _ in self.runs]


def storing(form: Form) -> Iterator[Row]:
    """Runs, then epochs."""
    sizes = form.pick([(16, 30), (64, 30), (256, 30), (16, 300), (16, 3000)], [(4, 5), (16, 5)])
    for runs, epochs in sizes:
        yield _stored(runs, epochs)


def _stored(runs: int, epochs: int) -> Row:
    spec = experiment(SCHEMES, epochs, runs // len(SCHEMES))
    problem = mixed_heads()
    trainer = Trainer(
        load=lambda _spec, _fetch: problem,
        train=MadeUp,
        describe=lambda found: problem_info(found, {}),
        device=lambda _name: "cpu",
        warm=lambda: None,
        threads=nullcontext,
    )
    with tempfile.TemporaryDirectory() as folder, closing(open_store(store_in(folder))) as store:
        whole = spent(lambda: run(spec, store, trainer=trainer))
        name = store.experiments()[0].id
        reading = spent(lambda: store.comparison(name))
        size = _bytes(store)
    lines = runs * epochs
    return {
        "runs": runs,
        "epochs": epochs,
        "cpu_s": whole.cpu,
        "wall_s": whole.wall,
        "cpu_us_per_run_and_epoch": 1e6 * whole.cpu / lines,
        "read_ms": 1e3 * reading.wall,
        "file_mb": size / 1e6,
    }


def _bytes(store: Store) -> int:
    """Of the file and what SQLite keeps beside it."""
    assert store.file is not None
    return sum(part.stat().st_size for part in store.file.parent.glob(store.file.name + "*"))
