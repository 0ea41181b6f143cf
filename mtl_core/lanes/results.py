"""From the end of training to results: which parameters were kept, and what they are worth on each split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mtl_core.problem import SPLITS
from mtl_core.records import RunResult, Status, metrics_of
from mtl_core.selection import regret

if TYPE_CHECKING:
    from mtl_core.engine import Training
    from mtl_core.lanes.live import LiveLanes


@dataclass
class Outcome:
    """By lane of the whole batch: how it ended, the parameters it keeps, and its validation history."""

    status: list[Status]
    sentence: list[str]
    epochs: list[int]
    steps: list[int]
    skipped: Tensor  # [lanes] steps without any task
    best: Tensor  # [lanes, parameters] at the selected epoch
    counterfactual: Tensor  # [lanes, parameters] where the learned objective was lowest
    final: Tensor  # [lanes, parameters] after the last whole epoch
    losses: list[np.ndarray]  # validation, an epoch each: [lanes, tasks]
    criteria: list[np.ndarray]  # [lanes]

    @staticmethod
    def start(lanes: int, like: Tensor) -> Outcome:
        """Nothing trained."""
        blank = torch.full_like(like, torch.nan)
        skipped = torch.zeros(lanes, dtype=torch.int64, device=like.device)
        return Outcome(
            ["running"] * lanes, [""] * lanes, [0] * lanes, [0] * lanes, skipped, blank, blank.clone(), blank.clone(), [], []
        )

    def end(self, seat: int, status: Status, sentence: str, epochs: int, steps: int) -> None:
        """A lane has ended."""
        self.status[seat], self.sentence[seat], self.epochs[seat], self.steps[seat] = status, sentence, epochs, steps

    def keep(self, live: LiveLanes, better: np.ndarray, counterfactual: np.ndarray) -> None:
        """Copy the parameters of lanes with a new best, counterfactual or last epoch; a diverged lane has no last one."""
        for store, chosen in ((self.best, better), (self.counterfactual, counterfactual)):
            if chosen.any():
                lanes = torch.from_numpy(chosen).to(live.flat.device)
                store.index_copy_(0, live.seats[lanes], live.flat[lanes])
        self.final.index_copy_(0, live.seats, live.flat)
        ended = [seat for seat in live.seats.tolist() if self.status[seat] != "running"]
        self.final[ended] = torch.nan

    def remember(self, seats: np.ndarray, losses: np.ndarray, criterion: np.ndarray) -> None:
        """Write down an epoch's validation losses and criterion."""
        lanes = len(self.status)
        self.losses.append(_seated(lanes, seats, losses))
        self.criteria.append(_seated(lanes, seats, criterion))

    def state(self) -> dict[str, Any]:
        """Plain values, for a checkpoint. Tensors are not copied: only an epoch's end changes them."""
        values = dict(self.__dict__)
        for name in ("status", "sentence", "epochs", "steps"):
            values[name] = list(values[name])
        for name in ("losses", "criteria"):
            values[name] = [torch.from_numpy(array) for array in values[name]]
        return values

    @staticmethod
    def restore(state: dict[str, Any], place: torch.device) -> Outcome:
        """Inverse of `state`."""
        values = dict(state)
        for name in ("skipped", "best", "counterfactual", "final"):
            values[name] = values[name].to(place)
        for name in ("losses", "criteria"):
            values[name] = [tensor.numpy() for tensor in values[name]]
        return Outcome(**values)


def _seated(lanes: int, seats: np.ndarray, values: np.ndarray) -> np.ndarray:
    whole = np.full((lanes, *values.shape[1:]), np.nan)
    whole[seats] = values
    return whole


def run_results(training: Training) -> list[RunResult]:
    """Evaluate the kept parameters of every lane on every split, and put all that is known together."""
    outcome, judged = training.outcome, Judged()
    for split, name in enumerate(SPLITS):
        best = judged["best", name] = training.judge(outcome.best, np.arange(len(training.runs)), split)
        judged["final", name] = _judge_others(training, outcome.final, best, split)
    judged["counterfactual", "test"] = _judge_others(training, outcome.counterfactual, judged["best", "test"], 2)
    return [_result(training, lane, judged) for lane in range(len(training.runs))]


Judged = dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]


def _judge_others(
    training: Training, flat: Tensor, best: tuple[np.ndarray, np.ndarray], split: int
) -> tuple[np.ndarray, np.ndarray]:
    """What other parameters are worth; a lane in which they are the best ones is not evaluated again."""
    others = (flat != training.outcome.best).any(1)
    losses, found = (values.copy() for values in best)
    if bool(others.any()):
        lanes = others.nonzero().flatten().cpu().numpy()
        losses[lanes], found[lanes] = training.judge(flat[others], lanes, split)
    return losses, found


def _result(training: Training, lane: int, judged: Judged) -> RunResult:
    outcome, watch, tasks = training.outcome, training.watch, training.problem.tasks
    ended = outcome.status[lane] != "running"
    common: dict[str, Any] = {
        "status": outcome.status[lane] if ended else "stopped",
        "sentence": outcome.sentence[lane] if ended else f"stopped after epoch {training.epoch}",
        "epochs": outcome.epochs[lane] if ended else training.epoch,
        "steps": outcome.steps[lane] if ended else training.steps,
        "skipped_steps": int(outcome.skipped[lane]),
        "metrics": {at: _metrics(tasks, lane, at, judged) for at in ("best", "final")},
    }
    selected, counterfactual = int(watch.best_epoch[lane]), int(watch.learned_epoch[lane])
    if not selected or training.criterion is None:
        return RunResult(**common)
    mine = training.criterion.of(np.array([lane]))
    counted = mine.counted(training.labelled[1][lane])[0] > 0
    value = float(outcome.criteria[selected - 1][lane])
    common |= {
        "selected_epoch": selected,
        "selected_criterion": value,
        "counted_tasks": tuple(task.name for task, counts in zip(tasks, counted, strict=True) if counts),
        "best_epoch_by_task": {task.name: int(epoch) for task, epoch in zip(tasks, watch.task_epoch[lane], strict=True) if epoch},
    }
    if not counterfactual:  # the scheme minimises no scalar
        return RunResult(**common)
    here, there = (outcome.losses[epoch - 1][lane] for epoch in (selected, counterfactual))
    worse = float(outcome.criteria[counterfactual - 1][lane]) - value
    test_here, test_there = judged["best", "test"][0][lane], judged["counterfactual", "test"][0][lane]
    test = [float(mine(losses[None], training.labelled[2][lane])[0]) for losses in (test_here, test_there)]
    return RunResult(
        **common,
        counterfactual_epoch=counterfactual,
        regret=worse,
        regret_relative=worse / abs(value) if value else None,
        test_regret=test[1] - test[0] if np.isfinite(test).all() else None,
        task_regret=regret(tasks, there, here),
        task_test_regret=regret(tasks, test_there, test_here),
    )


def _metrics(tasks: Any, lane: int, at: str, judged: Judged) -> dict[str, dict[str, dict[str, float | None]]]:
    splits: dict[str, dict[str, dict[str, float | None]]] = {}
    for name in SPLITS:
        losses, found = judged[at, name]
        rest = iter(found[lane])
        splits[name] = {}
        for place, task in enumerate(tasks):
            values = {"loss": losses[lane, place], **{metric: next(rest) for metric in metrics_of(task)}}
            splits[name][task.name] = {metric: float(value) if np.isfinite(value) else None for metric, value in values.items()}
    return splits
