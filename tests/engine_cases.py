"""A small problem with every kind of task and holes in its labels, and the runs that are tried on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from reference import Net, Run, Weighting, optimizer_for, prepared

from mtl_core.engine import EpochRecord, Training
from mtl_core.lanes.models import init_parameters
from mtl_core.lanes.plain import to_module
from mtl_core.lanes.rng import batch_order
from mtl_core.problem import Problem
from mtl_core.records import Channel
from mtl_core.shapes import Shape
from mtl_core.specs import ArmSpec, DataSpec, RunSpec, SelectionSpec, TaskSpec, TrainingSpec

ROWS = (70, 30, 30)  # training, validation, test
BATCH, EPOCHS, HIDDEN = 12, 9, (7, 6)  # six steps an epoch, the last of them with ten rows
TASKS = (
    TaskSpec(name="level", kind="regression", prior=0.3),
    TaskSpec(name="distance", kind="regression", loss="l1", prior=-0.2),
    TaskSpec(name="drift", kind="regression", loss="huber", scaled=False),
    TaskSpec(name="path", kind="multi_output", width=3, prior=0.6),
    TaskSpec(name="rare", kind="binary", positive_weight=2.0),
    TaskSpec(name="focus", kind="binary", loss="focal"),
    TaskSpec(name="regime", kind="multiclass", classes=("a", "b", "c"), label_smoothing=0.1, prior=0.9),
    TaskSpec(name="events", kind="count", prior=1.2),
    TaskSpec(name="calls", kind="count", loss="poisson"),
)
NAMES = [task.name for task in TASKS]
PRESENT = {
    "level": 1.0,
    "distance": 0.5,
    "drift": 0.9,
    "path": 0.6,
    "rare": 0.08,
    "focus": 0.3,
    "regime": 1.0,
    "events": 0.7,
    "calls": 0.15,
}


def problem(seed: int = 0) -> Problem:
    """All kinds; `rare` has labels in few batches, row 0 to 23 have none at all."""
    rng = np.random.default_rng(seed)
    rows = sum(ROWS)
    x = rng.normal(size=(rows, 5)) * [1, 10, 0.1, 3, 0] + [0, 50, 0, -7, 4]  # the last feature is constant
    hidden = np.tanh((x - x.mean(0))[:, :4] / [1, 10, 0.1, 3] @ rng.normal(size=(4, 4)))
    y: dict[str, Any] = {
        "level": 200 + 30 * hidden[:, :1] + rng.normal(size=(rows, 1)),
        "distance": hidden[:, 1:2] + 0.2 * rng.standard_t(2, (rows, 1)),
        "drift": hidden[:, 2:3] * 2,
        "path": hidden[:, :3].cumsum(1) + 0.1 * rng.normal(size=(rows, 3)),
        "rare": (hidden[:, 3:] > 0.3) * 1.0,
        "focus": (hidden[:, 1:2] + hidden[:, 2:3] > 0) * 1.0,
        "regime": np.digitize(hidden[:, :1], [-0.4, 0.4]) * 1.0,
        "events": rng.poisson(np.exp(1 + hidden[:, :1])) * (rng.random((rows, 1)) < 0.6) * 1.0,
        "calls": rng.poisson(np.exp(hidden[:, 2:3])) * 1.0,
    }
    for name, values in y.items():
        values[rng.random(values.shape) > PRESENT[name]] = np.nan
        values[:24] = np.nan
    split = np.repeat([0, 1, 2], ROWS).astype(np.int8)
    return Problem("holes", x, y, TASKS, split, tuple("abcde"))


def run_spec(arm: ArmSpec | None = None, seed: int = 0, selection: dict[str, Any] | None = None, **training: Any) -> RunSpec:
    """One lane in double precision."""
    chosen = {"epochs": EPOCHS, "batch_size": BATCH, "lr": 0.01, "hidden": HIDDEN, "weight_decay": 0.0, "dtype": "float64"}
    return RunSpec(
        data=DataSpec(scenario="osint"),
        arm=arm or ArmSpec(scheme="equal"),
        seed=seed,
        training=TrainingSpec.model_validate(chosen | training),
        selection=SelectionSpec.model_validate(selection or {}),
    )


def train(runs: list[RunSpec], data: Problem | None = None, **more: Any) -> tuple[Training, list[EpochRecord]]:
    """Run to the end; breaths left out."""
    training = Training(data or problem(), runs, device="cpu", **more)
    return training, [record for record in training if record is not None]


def column(training: Training, records: list[EpochRecord], split: str, task: str, name: str) -> np.ndarray:
    """One channel, `[epochs, lanes]`."""
    return np.stack([record.values[:, training.channels.index(Channel(split, task, name))] for record in records])


def columns(training: Training, records: list[EpochRecord], split: str, name: str) -> np.ndarray:
    """One signal of every task, `[epochs, lanes, tasks]`."""
    return np.stack([column(training, records, split, task.name, name) for task in training.problem.tasks], -1)


def plain_net(data: Problem, seed: int, hidden: tuple[int, ...] = HIDDEN) -> Net:
    """A plain model with the initial values of a lane of this seed."""
    shape = Shape(data.features.shape[1], hidden, tuple(task.outputs for task in data.tasks))
    theirs = to_module(init_parameters(shape, [seed], torch.float64), 0, shape)
    net = Net(data.features.shape[1], hidden, data.tasks)
    with torch.no_grad():
        for mine, given in zip(net.parameters(), theirs.parameters(), strict=True):
            mine.copy_(given)
    return net


class Plain:
    """The plain loop's record of one run: per epoch, task -> value."""

    def __init__(self, spec: RunSpec, data: Problem) -> None:
        training, steps = spec.training, -(-data.rows(0) // (spec.training.batch_size or 1))
        assert training.lr is not None
        assert training.batch_size is not None
        net = plain_net(data, spec.seed, training.hidden or ())
        weighting = Weighting(spec.arm, data.tasks, training.lr, steps, data.availability(0))
        self.run = Run(net, weighting, optimizer_for(net, training.optimizer, training.lr, training.weight_decay or 0.0))
        self.validation: list[dict[str, float]] = []
        self.loss: list[dict[str, float]] = []
        self.weight: list[dict[str, float]] = []
        self.sigma: list[dict[str, float]] = []
        self.total: list[tuple[float, float]] = []  # learned objective: mean over the epoch's steps, on validation
        for epoch in range(1, (training.epochs or 0) + 1):
            self._epoch(epoch, spec.seed, data, training.batch_size)
        self.test = self.run.judge(*prepared(data, 2))

    def _epoch(self, epoch: int, seed: int, data: Problem, batch_size: int) -> None:
        run = self.run
        run.weighting.totals = []
        run.epoch(*prepared(data, 0), batch_order(seed, epoch, data.rows(0)), batch_size)
        self.validation.append(run.judge(*prepared(data, 1)))
        self.sigma.append(run.weighting.sigma())
        learned = run.weighting.objective(self.validation[-1], data.availability(1))
        self.total.append((sum(run.weighting.totals) / len(run.weights), learned))
        names = [task.name for task in data.tasks]
        self.weight.append({n: sum(w.get(n, 0.0) for w in run.weights) / len(run.weights) for n in names})
        counts = {n: [(k[n], w[n]) for k, w in zip(run.labels, run.losses, strict=True) if n in w] for n in names}
        self.loss.append({n: sum(k * w for k, w in c) / sum(k for k, _ in c) for n, c in counts.items() if c})
