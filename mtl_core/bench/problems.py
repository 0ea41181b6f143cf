"""The problems of the benchmark, and what is trained on them.

Six heads of mixed kinds on 32 features, fully labelled, in four sizes; a picture problem with convolutions; and any number of
regression tasks, to see how a step grows with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count, islice
from typing import NamedTuple

import numpy as np

from mtl_core.bench.timing import Job
from mtl_core.data import scenarios
from mtl_core.data.scenarios import Scenario
from mtl_core.engine import Training
from mtl_core.problem import Problem
from mtl_core.resolving import resolve
from mtl_core.specs import ArmSpec, DataSpec, RunSpec, SelectionSpec, TaskSpec, TrainingSpec, parse_experiment

FEATURES, ROWS, SEEDS = 32, 4096, 8
MIXED = "mixed_heads"
ENDLESS = 100_000  # epochs: more than anything here trains
TASKS = (
    TaskSpec(name="regime", kind="multiclass", classes=("a", "b", "c", "d")),
    TaskSpec(name="level", kind="regression"),
    TaskSpec(name="drift", kind="regression"),
    TaskSpec(name="path", kind="multi_output", width=7),
    TaskSpec(name="alarm", kind="binary"),
    TaskSpec(name="latent", kind="multi_output", width=8),
)


class Size(NamedTuple):
    """Widths of the trunk's layers, and rows of a minibatch."""

    hidden: tuple[int, ...]
    batch: int


SIZES = {
    "small": Size((32, 32), 32),
    "default": Size((64, 64), 64),
    "medium": Size((64, 64), 256),
    "large": Size((256, 256), 512),
}


def mixed_heads(rows: int = ROWS) -> Problem:
    """`rows` training rows (and an eighth as many for validation and test) of noise-free targets; only speed matters."""
    rng = np.random.default_rng(0)
    total = rows + 2 * (rows // 8)
    features = rng.normal(size=(total, FEATURES))
    hidden = np.tanh(features @ rng.normal(size=(FEATURES, 22)) / 4)
    targets = {
        "regime": np.digitize(hidden[:, :1], [-0.5, 0.0, 0.5]) * 1.0,
        "level": hidden[:, 1:2],
        "drift": hidden[:, 2:3],
        "path": hidden[:, 3:10],
        "alarm": (hidden[:, 10:11] > 0) * 1.0,
        "latent": hidden[:, 11:19],
    }
    return Problem("mixed heads", features, targets, TASKS, _split(rows), _names(), synthetic=True)


@contextmanager
def known() -> Iterator[None]:
    """Meanwhile this process can load the mixed heads like a built-in scenario, so that they go through runner and store."""
    scenarios.SCENARIOS[MIXED] = Scenario(MIXED, "Mixed heads", "", synthetic=True, knobs={}, load=mixed_heads)
    try:
        yield
    finally:
        del scenarios.SCENARIOS[MIXED]


def regressions(tasks: int, rows: int = ROWS) -> Problem:
    """So many regression tasks on the same features."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(rows + 2 * (rows // 8), FEATURES))
    hidden = np.tanh(features @ rng.normal(size=(FEATURES, tasks)) / 4)
    specs = tuple(TaskSpec(name=f"task {number}", kind="regression") for number in range(tasks))
    targets = {task.name: hidden[:, number : number + 1] for number, task in enumerate(specs)}
    return Problem("regressions", features, targets, specs, _split(rows), _names(), synthetic=True)


def _split(rows: int) -> np.ndarray:
    return np.repeat([0, 1, 2], [rows, rows // 8, rows // 8]).astype(np.int8)


def _names() -> tuple[str, ...]:
    return tuple(f"x{number}" for number in range(FEATURES))


def training_of(size: Size, epochs: int = ENDLESS) -> TrainingSpec:
    """Adam at a fixed rate."""
    return TrainingSpec(epochs=epochs, batch_size=size.batch, lr=1e-3, hidden=size.hidden, weight_decay=0.0)


def pictures() -> tuple[Problem, TrainingSpec]:
    """Two digits on a canvas, with convolutions as the scenario has them by default."""
    problem = scenarios.load("multi_digits", {})
    wanted = {"trunk": "conv", "epochs": ENDLESS}
    spec = parse_experiment({"data": {"scenario": "multi_digits"}, "arms": {"fixed": {"scheme": "equal"}}, "training": wanted})
    return problem, resolve(spec, problem).training


def runs_of(training: TrainingSpec, lanes: int, schemes: Sequence[str] = ("equal",)) -> list[RunSpec]:
    """So many runs, schemes in turn, with eight seeds in turn: lanes of one seed read the same minibatches."""
    arms = [ArmSpec(scheme=name, settings={"weights": 1.0} if name == "fixed" else {}) for name in schemes]
    data, selection = DataSpec(scenario="osint"), SelectionSpec()  # the data are never read: the problem is given
    return [
        RunSpec(
            data=data,
            arm=arms[lane % len(arms)],
            seed=lane // len(arms) % SEEDS,
            training=training,
            selection=selection,
        )
        for lane in range(lanes)
    ]


def lane_steps(problem: Problem, runs: Sequence[RunSpec], device: str = "cpu") -> Job:
    """Training steps of all lanes, epoch after epoch, minibatches drawn as in training; nothing is evaluated or recorded."""
    training = Training(problem, runs, device)
    batches = (batch for epoch in count(1) for batch in training.batches.of(epoch))

    def steps(number: int) -> None:
        for batch in islice(batches, number):
            training.live.step(batch)

    return steps
