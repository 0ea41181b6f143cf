"""Training: all lanes of a batch at once, as a generator of epoch records.

    training = Training(problem, runs)
    for record in training:      # an EpochRecord after each epoch; None is a breath between steps
        ...
    results = training.results()

Nothing reduces across lanes: but for rounding, a lane gives the same numbers alone and among 255 others. A lane that diverges or
has learned enough is taken out and reported; its neighbours do not notice. Stopping is not asking for the next record.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mtl_core.baselines import baseline_losses
from mtl_core.devices import choose_device
from mtl_core.lanes.batches import Batches
from mtl_core.lanes.checkpoints import pack, resume, state_of, unpack
from mtl_core.lanes.evaluate import evaluate
from mtl_core.lanes.live import Step
from mtl_core.lanes.recorder import EpochSums, validation_signals
from mtl_core.lanes.results import Outcome, run_results
from mtl_core.lanes.start import rates, setup, start_lanes, trained_tasks
from mtl_core.lanes.tensors import to_tensors
from mtl_core.lanes.weighing import Weighing
from mtl_core.records import Channel, RunResult, Status, channels, metrics_of
from mtl_core.schedule import Schedule
from mtl_core.schemes.base import REFUSAL
from mtl_core.schemes.build import build
from mtl_core.selection import Criterion, Watch, fixed_weights, selecting
from mtl_core.shapes import shape_of
from mtl_core.specs import ArmSpec, RunSpec, SelectionSpec

if TYPE_CHECKING:
    from mtl_core.problem import Problem

BREATH_SECONDS = 0.1


class EpochRecord(NamedTuple):
    """One epoch of all lanes, in the order of the runs."""

    epoch: int  # from 1
    values: Float[np.ndarray, "lanes channels"]  # NaN for a lane that no longer trains
    statuses: tuple[Status, ...]


class Training:
    """Many runs that share data, model shape and schedule; arms, seeds, learning rates and selection differ as they like."""

    def __init__(self, problem: Problem, runs: Sequence[RunSpec], device: str = "auto", checkpoint: bytes | None = None) -> None:
        training = runs[0].training
        self.problem, self.runs = problem, tuple(runs)
        self.dtype = getattr(torch, training.dtype or "float32")
        self.place = choose_device(device, self.dtype)
        self.device = self.place.type
        self.channels: tuple[Channel, ...] = channels(problem.tasks)
        self.epochs, self.schedule = training.epochs or 1, Schedule.of(training)
        self.data = to_tensors(problem, self.dtype, self.place)
        self.shape = shape_of(problem, training)
        seeds = sorted({run.seed for run in runs})
        self.batches = Batches(self.data, seeds, training.batch_size or 1, self.shape.kept, self.shape.dropout)
        trained = trained_tasks(problem, runs, self.place)
        self.trained: Bool[np.ndarray, "runs tasks"] = trained.cpu().numpy()
        self.labelled = [self.trained & np.array([bool(v.any()) for v in self.data.valid(rows)]) for rows in self.data.splits]
        refusing = [build(run.arm, problem.tasks).positive_losses for run in self.runs]  # a setting may decide it
        self._refuses, self._refusing = any(refusing), torch.tensor(refusing, device=self.place)
        self.epoch, self.steps = 0, 0
        self.live = start_lanes(problem, self.runs, self.batches, self.dtype, self.shape)
        self.outcome = Outcome.start(len(runs), self.live.flat)
        self.watch = Watch.start(len(runs), len(problem.tasks))
        self.criterion: Criterion | None = None
        self.resume_point: dict[str, Any] = {"epoch": 0}  # nothing to go on from
        if checkpoint is not None:
            resume(self, unpack(checkpoint))

    # --- the loop ----------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[EpochRecord | None]:
        """Train until every lane has ended."""
        if self.criterion is None:
            yield from self._choose_criterion()
        breath = time.monotonic()
        while self.epoch < self.epochs and len(self.live.seats):
            sums = EpochSums(self.live.flat.new_zeros(len(self.live.seats), len(self.problem.tasks)))
            self.idle = torch.zeros_like(self.live.seats)
            self._enter(self.epoch + 1)
            for batch in self.batches.of(self.epoch + 1):
                step = self.live.step(batch)
                sums.add(step.signals, step.weighed, step.labels)
                self._note(step)
                if time.monotonic() - breath > BREATH_SECONDS:
                    yield None
                    breath = time.monotonic()
            yield self._end_epoch(sums)

    def _enter(self, epoch: int) -> None:
        """Train by the phase of this epoch; in its first epoch let start anew what the phase says."""
        phase, first = self.schedule.phase(epoch)
        live, runs = self.live, [self.runs[seat] for seat in self.live.seats.tolist()]
        live.enter(phase)
        live.optimizer.set_rates(*rates(runs, phase, live.flat))
        if not first or epoch == 1:
            return
        self.watch.waited[:] = 0
        if "optimizer" in phase.reset:
            live.optimizer.forget()
        if "weights" in phase.reset:
            known = setup(self.problem, runs, self.batches, live.optimizer.lr, self.shape)
            live.weighing = Weighing.start(live.arms, known)

    def _note(self, step: Step) -> None:
        """Count the step; report lanes that have just diverged or that their scheme refuses."""
        self.steps += 1
        self.idle += step.idle
        for lane in step.diverged:
            self.outcome.end(int(self.live.seats[lane]), "diverged", f"diverged at step {self.steps}", self.epoch, self.steps)
        if self._refuses and bool((step.signals.losses < 0).any()):
            negative = (step.signals.losses < 0) & self._refusing[self.live.seats].unsqueeze(-1)
            for lane, task in negative.nonzero().tolist():
                self._refuse(lane, task, float(step.signals.losses[lane, task]))

    def _refuse(self, lane: int, task: int, loss: float) -> None:
        seat = int(self.live.seats[lane])
        scheme = self.runs[seat].arm.scheme
        why = f'{scheme} {REFUSAL}; task "{self.problem.tasks[task].name}" is {loss:.3g} at step {self.steps}'
        self.outcome.end(seat, "failed", why, self.epoch, self.steps)
        self.live.out[lane] = True

    def _end_epoch(self, sums: EpochSums) -> EpochRecord:
        """Evaluate on validation, keep best parameters, stop lanes, and write the epoch down."""
        self.epoch += 1
        live, seats = self.live, self.live.seats.cpu().numpy()
        losses, found = self.judge(live.flat, seats, 1)
        sigma = torch.where(live.trained, live.weighing.sigma(sums.loss), torch.nan)
        train, train_total = sums.signals(sigma)
        train[~self.trained[seats]] = np.nan
        validation, learned = validation_signals(live, self._validation_shares, losses, sigma)
        assert self.criterion is not None
        criterion = self.criterion.of(seats)(losses, self.labelled[1][seats])
        self._watch_epoch(seats, criterion, learned, losses)
        values = np.full((len(self.runs), len(self.channels)), np.nan)
        parts = [train.reshape(len(seats), -1), validation.reshape(len(seats), -1), found]
        values[seats] = np.column_stack([*parts, train_total, learned, criterion])
        ended = [seat for seat in seats if self.outcome.status[seat] in ("diverged", "failed")]
        values[ended] = np.nan
        self.outcome.skipped[self.live.seats] += self.idle
        self._retire(seats)
        self.resume_point = state_of(self)
        return EpochRecord(self.epoch, values, tuple(self.outcome.status))

    def judge(self, flat: Tensor, seats: np.ndarray, split: int) -> tuple[np.ndarray, np.ndarray]:
        """Raw losses and metrics of some lanes on a split; NaN for tasks that their arm does not train."""
        losses, found = evaluate(flat, self.shape, self.problem.tasks, self.data, self.data.splits[split])
        trained = self.trained[seats]
        metrics = [len(metrics_of(task)) for task in self.problem.tasks]
        return np.where(trained, losses, np.nan), np.where(np.repeat(trained, metrics, axis=1), found, np.nan)

    @cached_property
    def _validation_shares(self) -> Float[Tensor, " tasks"]:
        """Share of each task's validation elements that have a label."""
        valid = self.data.valid(self.data.splits[1])
        return torch.stack([mine.to(self.dtype).mean() for mine in valid]).nan_to_num()

    def _watch_epoch(self, seats: np.ndarray, criterion: np.ndarray, learned: np.ndarray, losses: np.ndarray) -> None:
        """Selection: by the fixed criterion or the primary task; the learned objective only beside it.

        And that in the last phase only: across phases it is a sum over other tasks, or of states that started anew.
        """
        selects, learned = criterion.copy(), np.where(self.schedule.is_last(self.epoch), learned, np.nan)
        for lane, seat in enumerate(seats):
            selects[lane] = selecting(self.runs[seat].selection.stop, self.problem.tasks, criterion[lane], losses[lane])
            if self.outcome.status[seat] != "running":
                selects[lane] = learned[lane] = np.nan
            elif not np.isfinite(losses[lane][self.labelled[1][seat]]).all():
                self.outcome.end(int(seat), "diverged", f"diverged in epoch {self.epoch}", self.epoch - 1, self.steps)
                selects[lane] = learned[lane] = np.nan
        deltas = np.array([stop.min_delta if (stop := self.runs[seat].selection.stop) else 0.0 for seat in seats])
        better, counterfactual = self.watch.see(self.epoch, seats, selects, learned, losses, deltas)
        self.outcome.keep(self.live, better, counterfactual)
        self.outcome.remember(seats, losses, criterion)

    def _retire(self, seats: np.ndarray) -> None:
        """Take out the lanes that have ended."""
        may_stop = self.schedule.is_last(self.epoch)
        for seat in seats:
            if self.outcome.status[seat] != "running":
                continue
            stop = self.runs[seat].selection.stop if may_stop else None
            if why := self.watch.stops(seat, stop, self.labelled[1][seat]):
                self.outcome.end(int(seat), "done", f"stopped early at epoch {self.epoch} ({why})", self.epoch, self.steps)
            elif self.epoch == self.epochs:
                self.outcome.end(int(seat), "done", "", self.epoch, self.steps)
        running = torch.tensor([self.outcome.status[seat] == "running" for seat in seats], device=self.place)
        if not bool(running.all()):
            self.live = self.live.select(running)

    # --- before the first and after the last epoch --------------------------------------------------------------------

    def _choose_criterion(self) -> Generator[None, None, None]:
        """Fixed weights and scale of every lane; `single_task` trains its references first."""
        tasks, lanes = self.problem.tasks, len(self.runs)
        weights = np.stack([fixed_weights(run.selection, tasks, self.problem.domain_weights) for run in self.runs])
        scale = np.ones((lanes, len(tasks)))
        kinds = [run.selection.scale for run in self.runs]
        if "baseline" in kinds:
            constant = baseline_losses(self.problem, self.data, 1).cpu().double().numpy()
            scale[[kind == "baseline" for kind in kinds]] = constant
        alone = [lane for lane, kind in enumerate(kinds) if kind == "single_task"]
        if alone:
            scale[alone] = yield from self._single_task_losses([self.runs[lane] for lane in alone])
        usable = np.isfinite(scale) & (scale > 0)
        self.criterion = Criterion(weights, np.where(usable, scale, 1.0))

    def _single_task_losses(self, runs: Sequence[RunSpec]) -> Generator[None, None, np.ndarray]:
        """Best validation loss of each task trained alone with the same seed and training: `[runs, tasks]`."""
        names = [task.name for task in self.problem.tasks]
        alone = {}
        for run in runs:
            for name in names:
                arm = ArmSpec(scheme="fixed", settings={"weights": {other: float(other == name) for other in names}})
                selection = SelectionSpec(weights={name: 1.0}, scale="raw", stop=None)
                single = RunSpec(data=run.data, arm=arm, seed=run.seed, training=run.training, selection=selection)
                alone[(run.seed, run.training, name)] = single
        training = Training(self.problem, list(alone.values()), self.device)
        for _ in training:
            yield None
        best = dict(zip(alone, training.watch.best, strict=True))
        return np.array([[best[(run.seed, run.training, name)] for name in names] for run in runs])

    def results(self) -> list[RunResult]:
        """What every run came to, test metrics included; a lane that has not ended counts as stopped."""
        return run_results(self)

    # --- checkpoints --------------------------------------------------------------------------------------------------

    def checkpoint(self) -> bytes:
        """The state after the last epoch record. Plain tensors; resuming from it is bit-exact on the CPU."""
        return pack(self.resume_point)
