"""How much faster lanes are than the same runs one after another: measured on this machine, in one process.

Compared, with the same data, batches, epochs and evaluation after every epoch:

    plain   a PyTorch loop with `nn.Linear`, autograd and `torch.optim.Adam`, one run after another
    lanes   all runs as lanes of one `Training`
    bound   only the matrix products of the lanes' training steps

Repetitions are interleaved, so that a busy machine slows all three alike; figures are medians of CPU seconds. One thread.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mtl_core.data import scenarios
from mtl_core.engine import Training, warm
from mtl_core.lanes.evaluate import evaluate
from mtl_core.lanes.models import init_parameters
from mtl_core.lanes.plain import PlainModel, from_module, to_module
from mtl_core.lanes.rng import batch_order
from mtl_core.lanes.tensors import Rows, Tensors, to_tensors
from mtl_core.resolving import resolve
from mtl_core.shapes import shape_of
from mtl_core.specs import ExperimentSpec, RunSpec, TaskSpec, parse_experiment
from mtl_core.tasks import zinb_nll

if TYPE_CHECKING:
    from mtl_core.problem import Problem

ARMS = {"learned": {"scheme": "uncertainty"}, "fixed": {"scheme": "equal"}}


def main(*, short: bool = False) -> dict[str, Any]:
    """Measure and return plain data. short: 3 epochs and one repetition; else 2 arms x 8 seeds x 30 epochs, three times."""
    epochs, repeats = (3, 1) if short else (30, 3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        warm()
        problem = scenarios.load("osint", {})
        spec = parse_experiment({"data": {"scenario": "osint"}, "arms": ARMS, "training": {"epochs": epochs}})
        return _measure(problem, resolve(spec, problem), repeats)
    finally:
        torch.set_num_threads(threads)


def _measure(problem: Problem, spec: ExperimentSpec, repeats: int) -> dict[str, Any]:
    runs = list(spec.runs().values())
    rows = problem.rows(0)
    steps = (spec.training.epochs or 1) * -(-rows // (spec.training.batch_size or 1))
    data = to_tensors(problem, torch.float32, torch.device("cpu"))
    work: dict[str, Callable[[], Any]] = {
        "plain": lambda: [plain_run(problem, data, run) for run in runs],
        "lanes": lambda: _lanes(problem, runs),
        "bound": lambda: _products(problem, runs, steps),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
    for _ in range(repeats):
        for name, job in work.items():
            seconds[name].append(_timed(job))
    lane_steps = steps * len(runs)
    table = [_row(name, lane_steps, times) for name, times in seconds.items()]
    cpu = {row["name"]: row["cpu_s"] for row in table}
    return {
        "problem": {"scenario": "osint", "tasks": len(problem.tasks), "rows": rows, "batch_size": spec.training.batch_size},
        "runs": len(runs),
        "epochs": spec.training.epochs,
        "lane_steps": lane_steps,
        "repetitions": repeats,
        "table": table,
        "lanes_over_plain": cpu["plain"] / cpu["lanes"],
        "share_of_bound": cpu["bound"] / cpu["lanes"],
        "machine": machine(),
    }


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _row(name: str, lane_steps: int, times: list[tuple[float, float]]) -> dict[str, Any]:
    cpu = [one for one, _ in times]
    middle = statistics.median(cpu)
    spread = [min(cpu), max(cpu)]
    wall = statistics.median(wall for _, wall in times)
    return {"name": name, "cpu_s": middle, "cpu_s_range": spread, "wall_s": wall, "lane_steps_per_cpu_s": lane_steps / middle}


def _timed(job: Callable[[], Any]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    job()
    return time.process_time() - cpu, time.perf_counter() - wall


def _lanes(problem: Problem, runs: list[RunSpec]) -> None:
    for _ in Training(problem, runs, "cpu"):
        pass


def _products(problem: Problem, runs: list[RunSpec], steps: int) -> None:
    """Forward, weight gradients and input gradients of every layer, nothing else."""
    size = runs[0].training.batch_size or 1
    widths = shape_of(problem, runs[0].training).layers
    layers = [torch.randn(len(runs), before, after) for before, after in widths]
    inputs = [torch.randn(len(runs), size, before) for before, _ in widths]
    gradients = [torch.randn(len(runs), size, after) for _, after in widths]
    for _ in range(steps):
        for place, (weight, given, gradient) in enumerate(zip(layers, inputs, gradients, strict=True)):
            torch.bmm(given, weight)
            torch.bmm(given.mT, gradient)
            if place:
                torch.bmm(gradient, weight.mT)


# --- the plain loop ---------------------------------------------------------------------------------------------------


def plain_run(problem: Problem, data: Tensors, run: RunSpec) -> PlainModel:
    """One run as most people write it: equal weights, or Kendall's log-variances as parameters of the optimizer."""
    train, tasks = data.splits[0], problem.tasks
    shape = shape_of(problem, run.training)
    model = to_module(init_parameters(shape, [run.seed], torch.float32), 0, shape)
    log_variances = nn.Parameter(torch.zeros(len(tasks)))
    learned = run.arm.scheme == "uncertainty"
    parameters = [*model.parameters(), log_variances] if learned else list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=run.training.lr or 1e-3)
    for epoch in range(1, (run.training.epochs or 1) + 1):
        for rows in batch_order(run.seed, epoch, len(train)).split(run.training.batch_size or 1):
            losses = plain_losses(model(train.features[rows]), tasks, data, train, rows)
            optimizer.zero_grad()
            (_kendall(tasks, losses, log_variances) if learned else torch.stack(losses).mean()).backward()
            optimizer.step()
        evaluate(from_module(model).unsqueeze(0), shape, tasks, data, data.splits[1])
    return model


def _kendall(tasks: tuple[TaskSpec, ...], losses: list[Tensor], log_variances: Tensor) -> Tensor:
    halves = torch.tensor([0.5 if task.is_regression else 1.0 for task in tasks])
    return (halves * torch.exp(-log_variances) * torch.stack(losses) + log_variances / 2).sum()


def plain_losses(outputs: list[Tensor], tasks: tuple[TaskSpec, ...], data: Tensors, split: Rows, rows: Tensor) -> list[Tensor]:
    """Task losses of one minibatch, masked by selecting the labelled rows."""
    columns = zip(tasks, outputs, data.columns(split), strict=True)
    return [_plain_loss(task, mine, targets[rows], valid[rows]) for task, mine, (targets, valid) in columns]


def _plain_loss(task: TaskSpec, outputs: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    if not valid.any():
        return outputs.sum() * 0
    labelled = valid[:, 0]
    if task.is_regression:
        return nn.functional.mse_loss(outputs[valid], targets[valid])
    if task.kind == "binary":
        return nn.functional.binary_cross_entropy_with_logits(outputs[labelled], targets[labelled])
    if task.kind == "multiclass":
        return nn.functional.cross_entropy(outputs[labelled], targets[labelled, 0].long())
    return zinb_nll(outputs[labelled], targets[labelled]).mean()
