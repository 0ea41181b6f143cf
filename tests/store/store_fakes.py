"""A small experiment, and a training that costs nothing and is as reproducible as the real one."""

from __future__ import annotations

import contextlib
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from mtl_core.errors import DeviceError
from mtl_core.plan import plan
from mtl_core.problem import Problem, problem_info
from mtl_core.records import Channel, RunResult, Status, channels
from mtl_core.resolving import resolve
from mtl_core.runner import Trainer
from mtl_core.specs import ExperimentSpec, RunSpec, TaskSpec, parse_experiment
from mtl_core.store import Claim, Store, schema
from mtl_core.store.sql import SqlStore

TASKS = (TaskSpec(name="price", kind="regression"), TaskSpec(name="sold", kind="binary"))
CHANNELS = channels(TASKS)
EPOCHS = 6
LANES = 4  # of the experiment below


def problem() -> Problem:
    rows = np.linspace(-1.0, 1.0, 12)[:, None]
    targets = {"price": rows, "sold": (rows > 0).astype(float)}
    split = np.array([0] * 6 + [1] * 3 + [2] * 3, dtype=np.int8)
    return Problem("tiny", rows, targets, TASKS, split, ("x",), training={"epochs": EPOCHS, "batch_size": 4})


def experiment(*schemes: str, seeds: int = 2, name: str = "tiny", epochs: int = EPOCHS, **more: Any) -> ExperimentSpec:
    """Arms named after their schemes, resolved."""
    arms = {scheme: {"scheme": scheme} for scheme in schemes or ("equal", "softplus")}
    data = {"scenario": "noise_and_scale"}
    value = {"name": name, "data": data, "arms": arms, "seeds": seeds, "training": {"epochs": epochs}, **more}
    return resolve(parse_experiment(value), problem())


def submit(store: Store, spec: ExperimentSpec) -> str:
    return store.submit(spec, problem_info(problem()), plan(spec.runs().values()))


def begin(store: Store, worker: str | None = None) -> Claim:
    """Claim what is next, as a worker that lives."""
    claim = store.queue.claim(worker or store.workers.register("inline"))
    assert claim is not None
    store.queue.begin(claim, CHANNELS, {"python": "3"})
    return claim


def train(store: Store, epochs: int = EPOCHS) -> Claim:
    """Claim what is next and train it to its end."""
    claim = begin(store)
    for number in range(1, epochs + 1):
        store.queue.append(claim, [epoch(number, len(claim.runs))])
    store.queue.finish(claim, results(len(claim.runs)))
    return claim


def pretend(store: Store, worker: str, **values: Any) -> None:
    """The worker's row says something else of its process."""
    assert isinstance(store, SqlStore)
    with store._database.write() as connection:
        connection.execute(schema.workers.update().where(schema.workers.c.id == worker).values(**values))


class Epoch(NamedTuple):
    epoch: int
    values: np.ndarray
    statuses: tuple[Status, ...]


def epoch(number: int, lanes: int, status: Status = "running") -> Epoch:
    """Values that say where they belong."""
    values = number + np.arange(lanes)[:, None] / 10 + np.arange(len(CHANNELS))[None, :] / 1000
    return Epoch(number, values, (status,) * lanes)


def results(lanes: int, status: Status = "done", epochs: int = EPOCHS) -> list[RunResult]:
    return [RunResult(status=status, epochs=epochs) for _ in range(lanes)]


@dataclass
class FakeTraining:
    """Chaotic numbers: a state lost or doubled anywhere shows in every later digit."""

    problem: Problem
    runs: Sequence[RunSpec]
    device: str
    start: bytes | None
    breaths: int = 2  # between two epochs
    channels: tuple[Channel, ...] = CHANNELS
    epoch: int = 0
    state: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        seeds = [zlib.crc32(run.id.encode()) / 2**32 for run in self.runs]
        self.state = np.array(seeds)[:, None] * np.linspace(0.5, 1.0, len(CHANNELS))
        if self.start is not None:
            with np.load(io.BytesIO(self.start), allow_pickle=False) as archive:
                self.epoch, self.state = int(archive["epoch"]), archive["state"]

    def __iter__(self) -> Iterator[Epoch | None]:
        while self.epoch < (self.runs[0].training.epochs or 0):
            for _ in range(self.breaths):
                yield None
            self.state = 3.9 * self.state * (1 - self.state)
            self.epoch += 1
            yield Epoch(self.epoch, self.state.copy(), ("running",) * len(self.runs))

    def checkpoint(self) -> bytes:
        buffer = io.BytesIO()
        np.savez(buffer, epoch=self.epoch, state=self.state)
        return buffer.getvalue()

    def results(self) -> list[RunResult]:
        ended = self.epoch == self.runs[0].training.epochs
        return [RunResult("done" if ended else "stopped", epochs=self.epoch, selected_epoch=self.epoch) for _ in self.runs]


def trainer(train: Any = FakeTraining, **more: Any) -> Trainer:
    return Trainer(
        load=lambda spec, fetch: problem(),
        train=train,
        describe=lambda found: problem_info(found, {"test": {"price": {"loss": 1.0}}}),
        device=_device,
        warm=lambda: None,
        threads=contextlib.nullcontext,
    )._replace(**more)


def _device(name: str) -> str:
    if name == "mps":
        raise DeviceError("This machine has no mps device.")
    return "cpu"


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now
