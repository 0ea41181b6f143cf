"""What the runner trains with: data and engine behind a few functions, so that nothing here imports torch too early."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from mtl_core import __version__
from mtl_core.problem import Problem
from mtl_core.records import Channel, ProblemInfo, RunResult
from mtl_core.resolving import resolve
from mtl_core.specs import DataSpec, RunSpec, parse_experiment
from mtl_core.store import Epoch

Fetch = Callable[[str], tuple[str, bytes]]


class Training(Protocol):
    """The part of `engine.Training` that the runner uses."""

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The columns of its epochs."""

    @property
    def device(self) -> str:
        """Where it trains."""

    def __iter__(self) -> Iterator[Epoch | None]:
        """Epochs, and None as a breath several times a second."""

    def checkpoint(self) -> bytes:
        """The state after the epoch yielded last."""

    def results(self) -> list[RunResult]:
        """By lane; a lane that has not ended is stopped."""


class Trainer(NamedTuple):
    """How to load a problem and train a batch."""

    load: Callable[[DataSpec, Fetch], Problem]
    train: Callable[[Problem, Sequence[RunSpec], str, bytes | None], Training]
    describe: Callable[[Problem], ProblemInfo]  # with baselines
    device: Callable[[str], str]  # what a device's name means here; raises DeviceError
    warm: Callable[[], None]  # pay for what only the first training costs
    threads: Callable[[], AbstractContextManager[None]]  # while training
    tune: Callable[[Problem, Sequence[RunSpec], int], int] = lambda *_: 1  # threads for a batch, among so many unfinished ones


def real() -> Trainer:
    """The engine of this package. Importing it takes seconds."""
    from mtl_core import data, engine
    from mtl_core.baselines import with_baselines
    from mtl_core.devices import choose_device
    from mtl_core.runner.threads import few_threads, set_threads

    return Trainer(
        load=data.load,
        train=engine.Training,
        describe=with_baselines,
        device=lambda name: choose_device(name).type,
        warm=_rehearse,
        threads=few_threads,
        tune=set_threads,
    )


def _rehearse() -> None:
    """One epoch of one lane of the scenario people see first, with all that belongs to it."""
    from mtl_core import data, engine
    from mtl_core.baselines import with_baselines
    from mtl_core.lanes.memory import warm

    warm()
    arms = {"learned": {"scheme": "softplus"}, "fixed": {"scheme": "equal"}}
    spec = parse_experiment({"data": {"scenario": "osint"}, "arms": arms, "seeds": 1, "training": {"epochs": 1}})
    problem = data.load(spec.data)
    training = engine.Training(problem, list(resolve(spec, problem).runs().values()))
    for _ in training:
        training.checkpoint()
    training.results()
    with_baselines(problem)


def versions(device: str, threads: int) -> dict[str, str]:
    """What a batch is trained with, for the record."""
    return {
        "mtl_core": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("torch", "numpy")},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "device": device,
        "threads": str(threads),
    }


def remembering(trainer: Trainer) -> Trainer:
    """The same, keeping the problem loaded last: changing an arm does not load the data again."""
    kept: dict[str, Problem] = {}

    def load(spec: DataSpec, fetch: Fetch) -> Problem:
        key = spec.canonical()
        if key not in kept:
            problem = trainer.load(spec, fetch)
            kept.clear()
            kept[key] = problem
        return kept[key]

    return trainer._replace(load=load)
