"""Experiments that look trained, written into a store as workers write them: for what reads stores, pages and exports.

Nothing is trained. Submission, plan, leases, commits and results are the store's own; the numbers are random and plausible:
losses that fall and rise again, weights that drift, metrics that go with the losses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mtl_core import runner
from mtl_core.problem import Problem, problem_info
from mtl_core.records import Channel, RunResult, Status, TaskRegret, channels, metrics_of
from mtl_core.schemes import SCHEMES
from mtl_core.specs import RunSpec, TaskSpec, parse_experiment
from mtl_core.store import Claim, Store

ARMS = ("equal", "softplus", "uncertainty", "dwa", "gls", "rlw", "uw_so", "imtl_l", "famo", "scale_invariant")
COMMIT = 8  # epochs that share one
WORKERS = (0.0, 0.0)  # two that are free, as an app has them: experiments are cut for both
LOSSES = ("loss", "criterion", "learned_total", "mae", "mse", "rmse", "nll")
LEVELS = {"weight": 0.3, "share": 0.2, "available": 1.0, "gate": 1.0, "sigma": 0.8}


class Drawn(NamedTuple):
    """One epoch of a batch."""

    epoch: int
    values: Float[np.ndarray, "lanes channels"]
    statuses: tuple[Status, ...]


def keep(store: Store, arms: int = 10, seeds: int = 10, epochs: int = 200, first_seed: int = 0) -> str:
    """A finished experiment on the scenario with six tasks; returns its id. arms: at most as many as ARMS."""
    experiment_id, problem = submit(store, arms, seeds, epochs, first_seed)
    for claim in claims(store):
        write(store, claim, problem, epochs)
        finish(store, claim, problem, epochs)
    return experiment_id


def submit(store: Store, arms: int, seeds: int, epochs: int, first_seed: int = 0) -> tuple[str, Problem]:
    """Queue it, with what a worker would say of its problem; returns its id and its problem."""
    chosen = dict(zip(ARMS[:arms], ARMS[:arms], strict=True))
    value = {
        "data": {"scenario": "osint"},
        "arms": chosen,
        "seeds": list(range(first_seed, first_seed + seeds)),
        "training": {"epochs": epochs},
    }
    spec, problem = runner.prepare(store, parse_experiment(value))
    return runner.submit(store, spec, free=WORKERS), problem


def claims(store: Store) -> list[Claim]:
    """Everything that waits, for a worker that is this process."""
    worker = store.workers.register("inline")
    return list(iter(lambda: store.queue.claim(worker), None))


def write(store: Store, claim: Claim, problem: Problem, epochs: int) -> None:
    """Store all epochs of a claimed batch, a few at a time."""
    begin(store, claim, problem)
    drawn = list(history(claim.runs, problem.tasks, epochs))
    for start in range(0, epochs, COMMIT):
        store.queue.append(claim, drawn[start : start + COMMIT])


def begin(store: Store, claim: Claim, problem: Problem) -> None:
    """Say what the batch records and what constants predict."""
    store.queue.begin(claim, channels(problem.tasks), {"python": "3", "torch": "none", "machine": "drawn", "device": "cpu"})
    trivial = {task.name: dict.fromkeys((*metrics_of(task), "loss"), 0.6) for task in problem.tasks}
    store.put_info(claim.problem, problem_info(problem, dict.fromkeys(("train", "validation", "test"), trivial)))


def finish(store: Store, claim: Claim, problem: Problem, epochs: int) -> None:
    """Store what the lanes came to."""
    rng = np.random.default_rng(claim.batch)
    store.queue.finish(claim, [_result(problem.tasks, epochs, rng) for _ in claim.runs])


def history(runs: Sequence[RunSpec], tasks: Sequence[TaskSpec], epochs: int) -> Iterator[Drawn]:
    """Epochs of these lanes, NaN where a scheme has no such quantity."""
    rng = np.random.default_rng(len(runs))
    columns = channels(tasks)
    falling = np.array([channel.name in LOSSES for channel in columns])
    level = np.array([LEVELS.get(channel.name, 0.6) for channel in columns]) + 0.1 * rng.standard_normal(
        (len(runs), len(columns))
    )
    level = np.where(_exists(runs, columns), level, np.nan)
    for epoch in range(1, epochs + 1):
        part = epoch / epochs
        curve = np.where(falling, np.exp(-4 * part) + 0.2 * part, 0.1 * np.tanh(4 * part))
        yield Drawn(epoch, level + curve + 0.01 * rng.standard_normal(level.shape), ("running",) * len(runs))


def _exists(runs: Sequence[RunSpec], columns: Sequence[Channel]) -> np.ndarray:
    learned = [SCHEMES[run.arm.scheme].family == "learned" for run in runs]
    return np.array([[channel.name != "gate" and (channel.name != "sigma" or has) for channel in columns] for has in learned])


def _result(tasks: Sequence[TaskSpec], epochs: int, rng: np.random.Generator) -> RunResult:
    names = tuple(task.name for task in tasks)
    selected = max(1, min(epochs, round(epochs * (0.6 + 0.05 * rng.standard_normal()))))
    values = {task.name: {name: 0.7 + 0.02 * rng.standard_normal() for name in (*metrics_of(task), "loss")} for task in tasks}
    shifted = {task: {name: value + 0.01 for name, value in of.items()} for task, of in values.items()}
    splits = {"train": shifted, "validation": shifted, "test": values}
    cost = {name: TaskRegret(0.05 * rng.random(), 0.05 * rng.random()) for name in names}
    plain = RunResult("done", epochs=epochs, steps=20 * epochs, selected_epoch=selected, selected_criterion=0.8)
    return replace(
        plain,
        counterfactual_epoch=epochs,
        regret=0.05 * rng.random(),
        regret_relative=0.05 * rng.random(),
        test_regret=0.02 * rng.standard_normal(),
        task_regret=cost,
        task_test_regret=cost,
        counted_tasks=names,
        best_epoch_by_task=dict.fromkeys(names, selected),
        metrics={"best": splits, "final": splits},
    )
