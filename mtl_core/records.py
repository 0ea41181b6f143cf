"""What training leaves behind: channels, histories, results, and a whole comparison. No torch here.

Everything recorded per epoch is one array `[runs, channels]`; a history is `[epochs, runs, channels]`. A `Channel`
says what a column is. A quantity that does not exist (sigma of a scheme without one, a metric without labels) is NaN.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import TypeAdapter

from mtl_core.specs import ExperimentSpec, TaskSpec

Status = Literal["queued", "running", "done", "stopped", "diverged", "failed"]

METRICS: dict[str, tuple[str, ...]] = {  # by task kind, in the order they are shown; the first is the headline
    "regression": ("rmse", "mae", "mse", "r2"),
    "multi_output": ("rmse", "mae", "mse", "r2"),
    "binary": ("auroc", "average_precision", "f1", "accuracy", "positive_rate"),
    "multiclass": ("accuracy", "f1_macro"),
    "count": ("mae", "rmse", "mse", "r2", "nll", "zero_rate"),
    "segmentation": ("mean_iou", "pixel_accuracy"),
    "dense_regression": ("mae", "rmse"),
    "detection": ("ap50", "precision", "recall"),
    "function": ("value", "x1", "x2"),
}
_RATES = ("accuracy", "f1_macro", "f1", "auroc", "average_precision", "precision", "recall")
HIGHER_IS_BETTER = frozenset((*_RATES, "r2", "score", "mean_iou", "pixel_accuracy", "ap50"))
NEITHER = frozenset({"positive_rate", "zero_rate", "x1", "x2"})  # rates to be held beside the labels' own; coordinates
SIGNAL_NAMES = ("loss", "weight", "sigma", "share", "available", "gate")


def metrics_of(task: TaskSpec) -> tuple[str, ...]:
    """Names of a task's metrics, in the order they are shown; the first is the headline."""
    return METRICS[task.kind] + task.extra_metrics


class Channel(NamedTuple):
    """One recorded quantity; `task` is empty for a quantity of the whole run (criterion, learned_total)."""

    split: str
    task: str
    name: str


def channels(tasks: Sequence[TaskSpec]) -> tuple[Channel, ...]:
    """The columns of every epoch record, in order: six signals per task and split, then metrics, then totals.

    train: means over the epoch's steps (loss: per label; weight: effective, 0 in a step without the task).
    validation: at the epoch's end, with the weights the scheme would give there.
    """
    signals = [Channel(s, task.name, name) for s in ("train", "validation") for task in tasks for name in SIGNAL_NAMES]
    metrics = [Channel("validation", task.name, name) for task in tasks for name in metrics_of(task)]
    totals = [Channel(split, "", "learned_total") for split in ("train", "validation")]
    return (*signals, *metrics, *totals, Channel("validation", "", "criterion"))


class TaskRegret(NamedTuple):
    """Loss of one task at the counterfactual epoch minus that at the selected epoch; relative: over the latter, None if 0."""

    absolute: float
    relative: float | None


@dataclass(frozen=True)
class RunResult:
    """What one lane came to. Epochs count from 1; None: there is no such epoch."""

    status: Status
    sentence: str = ""  # why it ended, for a person: `diverged at step 41`
    epochs: int = 0  # epochs trained
    steps: int = 0
    skipped_steps: int = 0  # steps without any task
    selected_epoch: int | None = None  # where the fixed criterion (or the primary task) is best
    selected_criterion: float | None = None
    counterfactual_epoch: int | None = None  # where the learned objective is lowest
    regret: float | None = None  # criterion at the counterfactual epoch minus at the selected one, validation
    regret_relative: float | None = None
    test_regret: float | None = None  # the same difference on the test split, which selected neither
    task_regret: Mapping[str, TaskRegret] = field(default_factory=dict)  # validation
    task_test_regret: Mapping[str, TaskRegret] = field(default_factory=dict)
    counted_tasks: tuple[str, ...] = ()  # tasks with validation labels: the criterion's weights are renormalised over them
    best_epoch_by_task: Mapping[str, int] = field(default_factory=dict)  # which tasks would have chosen otherwise
    metrics: Mapping[str, Mapping[str, Mapping[str, Mapping[str, float | None]]]] = field(default_factory=dict)
    # metrics[at][split][task][name], at in (best, final), split in (train, validation, test), name "loss" or a metric

    def to_json(self) -> str:
        """JSON; what is not finite is null."""
        return json.dumps(_RESULT.dump_python(self, mode="json"), allow_nan=False)

    @staticmethod
    def from_json(text: str) -> RunResult:
        """Inverse of `to_json`."""
        return _RESULT.validate_json(text)


_RESULT = TypeAdapter(RunResult)


@dataclass(frozen=True)
class RunRecord:
    """One lane of a comparison as stored."""

    arm: str
    seed: int
    run_id: str
    status: Status
    epoch: int  # epochs recorded so far
    result: RunResult | None = None


@dataclass(frozen=True)
class ProblemInfo:
    """What pages and exports need to know of a problem without loading it."""

    name: str
    tasks: tuple[TaskSpec, ...]
    synthetic: bool
    rows: Mapping[str, int]  # by split
    availability: Mapping[str, Mapping[str, float]]  # by split, task
    baselines: Mapping[str, Mapping[str, Mapping[str, float | None]]]  # [split][task][metric or "loss"], constant predictor
    label_rates: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # [split][task]: share of positives or zeros
    features: int = 0
    warnings: tuple[str, ...] = ()
    truth: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """JSON; what is not finite is null."""
        return json.dumps(_INFO.dump_python(self, mode="json"), allow_nan=False)

    @staticmethod
    def from_json(text: str) -> ProblemInfo:
        """Inverse of `to_json`."""
        return _INFO.validate_json(text)


_INFO = TypeAdapter(ProblemInfo)


@dataclass(frozen=True)
class Comparison:
    """All that is known of one experiment at one moment: the one thing pages, analysis and exports read."""

    experiment_id: str
    spec: ExperimentSpec
    problem: ProblemInfo
    runs: tuple[RunRecord, ...]
    channels: tuple[Channel, ...]
    history: Float[np.ndarray, "epochs runs channels"]  # as stored: float32, read-only; NaN where a run has no such epoch (yet)
    versions: Mapping[str, str] = field(default_factory=dict)  # python, torch, this package, machine class, device
    created: str = ""  # ISO time, UTC

    def column(self, split: str, task: str, name: str, runs: Sequence[int] | None = None) -> Float[np.ndarray, "epochs runs"]:
        """One channel over epochs and runs, all of them or these; float64."""
        chosen = slice(None) if runs is None else list(runs)
        return self.history[:, chosen, self.channels.index(Channel(split, task, name))].astype(np.float64)

    def runs_of(self, arm: str) -> list[int]:
        """Positions in `runs` of an arm, by seed."""
        return self._by_arm.get(arm, [])

    @cached_property
    def _by_arm(self) -> dict[str, list[int]]:
        """Asked for thousands of times while a page is drawn."""
        found: dict[str, list[int]] = {}
        for position in sorted(range(len(self.runs)), key=lambda i: self.runs[i].seed):
            found.setdefault(self.runs[position].arm, []).append(position)
        return found

    def to_bytes(self) -> bytes:
        """One compressed NumPy archive (no pickle): a JSON head and the history as float32."""
        head = {
            "experiment_id": self.experiment_id,
            "spec": self.spec.model_dump(mode="json"),
            "problem": json.loads(self.problem.to_json()),
            "runs": [{**run.__dict__, "result": run.result and json.loads(run.result.to_json())} for run in self.runs],
            "channels": self.channels,
            "versions": dict(self.versions),
            "created": self.created,
        }
        buffer = io.BytesIO()
        text = np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)
        np.savez_compressed(buffer, head=text, history=self.history.astype(np.float32))
        return buffer.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> Comparison:
        """Inverse of `to_bytes`."""
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            head, history = json.loads(archive["head"].tobytes()), archive["history"].astype(np.float64)
        results = [run.pop("result") for run in head["runs"]]
        runs = tuple(
            RunRecord(**run, result=result and RunResult.from_json(json.dumps(result)))
            for run, result in zip(head["runs"], results, strict=True)
        )
        return Comparison(
            experiment_id=head["experiment_id"],
            spec=ExperimentSpec.model_validate(head["spec"]),
            problem=ProblemInfo.from_json(json.dumps(head["problem"])),
            runs=runs,
            channels=tuple(Channel(*channel) for channel in head["channels"]),
            history=history,
            versions=head["versions"],
            created=head["created"],
        )
