"""A made-up comparison for page and chart tests: every channel holds smooth, plausible curves; nothing was trained."""

from __future__ import annotations

import numpy as np

from mtl_core.records import METRICS, Channel, Comparison, ProblemInfo, RunRecord, RunResult, Status, TaskRegret, channels
from mtl_core.specs import ExperimentSpec, TaskSpec, parse_experiment

TASKS = (
    TaskSpec(name="regime", kind="multiclass", classes=("stable", "tension", "crisis", "conflict")),
    TaskSpec(name="casualty", kind="count", unit="people"),
    TaskSpec(name="anomaly", kind="regression"),
    TaskSpec(name="forecast", kind="multi_output", width=6),
    TaskSpec(name="transition", kind="binary"),
    TaskSpec(name="daily_forecast", kind="multi_output", width=7),
)
ARMS = {"learned": {"scheme": "softplus"}, "fixed": {"scheme": "equal"}}


def drawn_comparison(
    arms: dict[str, object] | None = None,
    seeds: int = 8,
    epochs: int = 30,
    status: Status = "done",
    tasks: tuple[TaskSpec, ...] = TASKS,
) -> Comparison:
    spec = parse_experiment(
        {
            "data": {"scenario": "osint"},
            "arms": arms or ARMS,
            "seeds": seeds,
            "training": {"epochs": epochs, "batch_size": 64, "lr": 1e-3, "hidden": [64, 64], "weight_decay": 0.0},
            "score": {task.name: 1.0 for task in tasks},
        }
    )
    columns = channels(tasks)
    reached = epochs if status == "done" else epochs // 2
    names = [(arm, seed) for arm in spec.arms for seed in spec.seeds]
    history = np.full((reached, len(names), len(columns)), np.nan)
    rng = np.random.default_rng(0)
    for run, (arm, seed) in enumerate(names):
        for column, channel in enumerate(columns):
            history[:, run, column] = _curve(spec, channel, arm, seed, reached, rng)
    runs = tuple(
        RunRecord(
            arm,
            seed,
            f"{arm}-{seed}",
            status,
            reached,
            _result(tasks, arm, seed, status, reached, rng) if status == "done" else None,
        )
        for arm, seed in names
    )
    return Comparison(
        "0123456789abcdef",
        spec,
        _info(tasks),
        runs,
        columns,
        history,
        {"machine": "drawn", "device": "cpu"},
        "2026-01-01T00:00:00",
    )


def _curve(spec: ExperimentSpec, channel: Channel, arm: str, seed: int, epochs: int, rng: np.random.Generator) -> np.ndarray:
    t = np.arange(epochs) / 10
    order = list(spec.arms).index(arm)
    if channel.name == "sigma" and spec.arms[arm].scheme not in ("uncertainty", "softplus"):
        return np.full(epochs, np.nan)
    if channel.name == "gate" and spec.arms[arm].gate is None:
        return np.full(epochs, np.nan)
    level = {"weight": 0.3 + 0.1 * order, "share": 0.2, "available": 1.0, "gate": 1.0, "accuracy": 0.6}.get(channel.name, 1.0)
    falling = channel.name in ("loss", "criterion", "learned_total", "rmse", "mae", "mse", "nll")
    curve = level * np.exp(-t) + 0.15 * t + 0.1 * order if falling else level + 0.05 * np.tanh(t) * (1 - order)
    return curve + 0.02 * rng.standard_normal() + 0.005 * rng.standard_normal(epochs)


def _result(tasks: tuple[TaskSpec, ...], arm: str, seed: int, status: Status, epochs: int, rng: np.random.Generator) -> RunResult:
    better = 0.05 if arm == "learned" else 0.0
    values = {
        at: {
            split: {
                t.name: {name: 0.7 + better + 0.02 * rng.standard_normal() for name in (*METRICS[t.kind], "loss")} for t in tasks
            }
            for split in ("train", "validation", "test")
        }
        for at in ("best", "final")
    }
    names = tuple(task.name for task in tasks)
    regret = dict.fromkeys(names, TaskRegret(0.05, 0.04))
    return RunResult(
        status=status,
        epochs=epochs,
        steps=epochs * 20,
        selected_epoch=12 + seed % 3,
        selected_criterion=0.8,
        counterfactual_epoch=epochs,
        regret=0.05 + 0.01 * seed,
        regret_relative=0.06 + 0.01 * seed,
        test_regret=0.04,
        task_regret=regret,
        task_test_regret=regret,
        counted_tasks=names,
        best_epoch_by_task=dict.fromkeys(names, 12),
        metrics=values,
    )


def _info(tasks: tuple[TaskSpec, ...]) -> ProblemInfo:
    splits = ("train", "validation", "test")
    baselines = {s: {t.name: dict.fromkeys((*METRICS[t.kind], "loss"), 0.6) for t in tasks} for s in splits}
    rates = {s: {t.name: 0.1 for t in tasks if t.kind in ("binary", "count")} for s in splits}
    available = {s: {t.name: 0.25 if t.kind == "binary" else 1.0 for t in tasks} for s in splits}
    return ProblemInfo(
        "osint", tasks, True, {"train": 1200, "validation": 400, "test": 400}, available, baselines, rates, features=54
    )
