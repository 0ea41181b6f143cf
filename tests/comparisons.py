"""Made-up comparisons: exact numbers in, so that tests can say exact numbers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mtl_core.records import METRICS, Comparison, ProblemInfo, RunRecord, RunResult, Status, TaskRegret, channels
from mtl_core.specs import ExperimentSpec, TaskSpec

TASKS = (
    TaskSpec(name="regime", kind="multiclass", classes=("calm", "tense", "war")),
    TaskSpec(name="alarm", kind="binary"),
    TaskSpec(name="price", kind="regression", unit="EUR"),
)
CONSTANT = {
    "regime": {"accuracy": 0.5, "f1_macro": 0.2, "loss": 1.1},
    "alarm": {"auroc": 0.5, "average_precision": 0.1, "f1": 0.0, "accuracy": 0.9, "positive_rate": 0.0, "loss": 0.3},
    "price": {"rmse": 3.0, "mae": 2.0, "mse": 9.0, "r2": 0.0, "loss": 1.0},
}
ARMS = {"learned": {"scheme": "softplus"}, "fixed": {"scheme": "equal"}}


def spec(arms: Mapping[str, Mapping[str, object]] = ARMS, seeds: Sequence[int] = range(8), **more: object) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {"data": {"scenario": "osint"}, "arms": dict(arms), "seeds": list(seeds), "baseline": "fixed", **more}
    )


def problem(tasks: Sequence[TaskSpec] = TASKS, *, synthetic: bool = False) -> ProblemInfo:
    return ProblemInfo(
        name="made up",
        tasks=tuple(tasks),
        synthetic=synthetic,
        rows={"train": 600, "validation": 200, "test": 200},
        availability={s: {task.name: 1.0 for task in tasks} for s in ("train", "validation", "test")},
        baselines={s: {task.name: CONSTANT.get(task.name, {}) for task in tasks} for s in ("train", "validation", "test")},
        label_rates={"test": {"alarm": 0.1}},
    )


def metrics(arm: str, seed: int, headline: Mapping[str, float], tasks: Sequence[TaskSpec] = TASKS) -> dict[str, dict[str, float]]:
    """Headline metrics as given, all else the constant predictor's."""
    return {
        task.name: {
            **dict.fromkeys(METRICS[task.kind], 0.25),
            **CONSTANT.get(task.name, {}),
            METRICS[task.kind][0]: headline[task.name],
        }
        for task in tasks
    }


def result(
    run_metrics: Mapping[str, Mapping[str, float]], status: Status = "done", epochs: int = 5, regret: float = 0.1
) -> RunResult:
    splits = {"validation": run_metrics, "test": run_metrics}
    return RunResult(
        status=status,
        epochs=epochs,
        steps=epochs * 10,
        selected_epoch=2,
        selected_criterion=1.0,
        counterfactual_epoch=epochs,
        regret=regret,
        regret_relative=regret,
        test_regret=regret / 2,
        task_regret={"regime": TaskRegret(regret, regret)},
        counted_tasks=tuple(run_metrics),
        best_epoch_by_task={"regime": 3},
        metrics={"best": splits, "final": splits},
    )


def comparison(
    headline: Mapping[str, Mapping[str, Sequence[float]]],
    experiment: ExperimentSpec | None = None,
    tasks: Sequence[TaskSpec] = TASKS,
    *,
    synthetic: bool = False,
    epochs: int = 5,
) -> Comparison:
    """headline: [arm][task] -> one value per seed. The history counts: value = 10 * run + epoch, in every channel."""
    experiment = experiment or spec(ARMS, range(len(next(iter(next(iter(headline.values())).values())))))
    runs = []
    for arm in experiment.arms:
        for at, seed in enumerate(experiment.seeds):
            values = metrics(arm, seed, {task: series[at] for task, series in headline[arm].items()}, tasks)
            runs.append(RunRecord(arm, seed, f"{arm}-{seed}", "done", epochs, result(values, epochs=epochs)))
    columns = channels(tasks)
    history = np.arange(1, epochs + 1)[:, None, None] + 10.0 * np.arange(len(runs))[None, :, None] + np.zeros(len(columns))
    return Comparison("made-up", experiment, problem(tasks, synthetic=synthetic), tuple(runs), columns, history)


def with_run(given: Comparison, position: int, status: Status, sentence: str = "") -> Comparison:
    """The same comparison with one run's ending changed."""
    run = given.runs[position]
    ended = replace(run, status=status, result=run.result and replace(run.result, status=status, sentence=sentence))
    return replace(given, runs=(*given.runs[:position], ended, *given.runs[position + 1 :]))


def with_extra(given: Comparison, arm: str, seed: int, status: Status, value: float = np.nan) -> Comparison:
    """One more run of an arm, with the same value in every cell of its history."""
    extra = RunRecord(arm, seed, f"{arm}-{seed}", status, len(given.history), RunResult(status, "diverged at step 41"))
    column = np.full((len(given.history), 1, len(given.channels)), value)
    return replace(given, runs=(*given.runs, extra), history=np.concatenate([given.history, column], axis=1))


SPREAD = np.array([0.0, 0.01, -0.01, 0.02, -0.02, 0.005, -0.005, 0.015])
EIGHT = {
    "learned": {"regime": 0.82 + SPREAD, "alarm": 0.7 + SPREAD[::-1] * 3, "price": 2.5 + SPREAD},
    "fixed": {"regime": 0.80 + SPREAD, "alarm": 0.7 + SPREAD * 3, "price": 2.4 + SPREAD * 2},
}
