"""Training: all lanes of a batch at once, as a generator of epoch records.

    training = Training(problem, runs)
    for record in training:      # an EpochRecord after each epoch; None is a breath between steps
        ...
    results = training.results()

Nothing reduces across lanes: a lane gives the same numbers alone and among 255 others. A lane that diverges or has learned
enough is taken out and reported; its neighbours do not notice. Stopping is not asking for the next record.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mtl_core.baselines import baseline_losses
from mtl_core.devices import choose_device
from mtl_core.lanes.checkpoints import pack, unpack
from mtl_core.lanes.evaluate import evaluate
from mtl_core.lanes.live import Batch, LiveLanes, Step
from mtl_core.lanes.memory import keep_freed_memory
from mtl_core.lanes.models import head_owners, init_parameters, shape_of
from mtl_core.lanes.optim import Optimizer
from mtl_core.lanes.recorder import EpochSums, share
from mtl_core.lanes.results import Outcome, run_results
from mtl_core.lanes.rng import batch_order
from mtl_core.lanes.tensors import Rows, to_tensors
from mtl_core.lanes.weighing import Weighing, ordered
from mtl_core.records import Channel, RunResult, Status, channels
from mtl_core.schemes.base import Setup, Signals
from mtl_core.schemes.build import build
from mtl_core.selection import Criterion, Watch, fixed_weights, selecting
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
        self._place = choose_device(device, self.dtype)
        self.device = self._place.type
        self.channels: tuple[Channel, ...] = channels(problem.tasks)
        self.epochs, self.batch_size = training.epochs or 1, training.batch_size or 1
        self.data = to_tensors(problem, self.dtype, self._place)
        self.labelled = [np.array([v.any().item() for v in self.data.by_task(rows.valid)]) for rows in self.data.splits]
        self.seeds = sorted({run.seed for run in runs})
        self.epoch, self.steps = 0, 0
        self.live = self._start()
        self.outcome = Outcome.start(len(runs), self.live.flat)
        self.watch = Watch.start(len(runs), len(problem.tasks))
        self.criterion: Criterion | None = None
        if checkpoint is not None:
            self._resume(unpack(checkpoint))
        self._resume_point = self._state()

    # --- the loop ----------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[EpochRecord | None]:
        """Train until every lane has ended."""
        if self.criterion is None:
            yield from self._choose_criterion()
        breath = time.monotonic()
        while self.epoch < self.epochs and len(self.live.seats):
            sums = EpochSums(self.live.flat.new_zeros(len(self.live.seats), len(self.problem.tasks)))
            self.idle = torch.zeros_like(self.live.seats)
            for batch in self._batches(self.epoch + 1):
                step = self.live.step(batch)
                sums.add(step.signals, step.weighed, step.labels)
                self._note(step)
                if time.monotonic() - breath > BREATH_SECONDS:
                    yield None
                    breath = time.monotonic()
            yield self._end_epoch(sums)

    def _batches(self, epoch: int) -> Iterator[Batch]:
        """Minibatches in each seed's own order; the last may be smaller."""
        train = self.data.splits[0]
        order = torch.stack([batch_order(seed, epoch, len(train)) for seed in self.seeds]).to(self._place)
        for rows in order.split(self.batch_size, 1):
            yield self._batch(train, rows)

    def _batch(self, train: Rows, rows: Int[Tensor, "seeds rows"]) -> Batch:
        member = self.data.membership
        parts = (train.features, train.targets, train.labels, train.head_labels)
        features, targets, valid, heads = (part.index_select(0, rows.flatten()).unflatten(0, rows.shape) for part in parts)
        labels = valid.sum(1) @ member
        each = labels.clamp(min=1).reciprocal()
        weights = valid * each.index_select(1, self.live.columns).unsqueeze(1)
        head_weights = heads * each.index_select(1, self.live.optimizer.owners).unsqueeze(1)
        elements = member.sum(0) * rows.shape[1]
        return Batch(features, targets, weights, head_weights, labels, labels / elements)

    def _note(self, step: Step) -> None:
        """Count the step; report lanes that have just diverged or that their scheme refuses."""
        self.steps += 1
        self.idle += step.idle
        for lane in step.diverged:
            self.outcome.end(int(self.live.seats[lane]), "diverged", f"diverged at step {self.steps}", self.epoch, self.steps)
        if self._refuses:
            negative = (step.signals.losses < 0) & self._refusing[self.live.seats].unsqueeze(-1)
            for lane, task in negative.nonzero().tolist():
                self._refuse(lane, task, float(step.signals.losses[lane, task]))

    def _refuse(self, lane: int, task: int, loss: float) -> None:
        seat = int(self.live.seats[lane])
        scheme = self.runs[seat].arm.scheme
        why = f'{scheme} needs positive losses; task "{self.problem.tasks[task].name}" is {loss:.3g} at step {self.steps}'
        self.outcome.end(seat, "failed", why, self.epoch, self.steps)
        self.live.frozen[lane] = True

    def _end_epoch(self, sums: EpochSums) -> EpochRecord:
        """Evaluate on validation, keep best parameters, stop lanes, and write the epoch down."""
        self.epoch += 1
        live, seats = self.live, self.live.seats.cpu().numpy()
        losses, found = evaluate(live.flat, live.shape, self.problem.tasks, self.data, self.data.splits[1])
        sigma = live.weighing.sigma(sums.loss)
        train, train_total = sums.signals(sigma)
        validation, learned = self._validation_signals(losses, sigma)
        assert self.criterion is not None
        criterion = self.criterion.of(seats)(losses, self.labelled[1])
        self._watch_epoch(seats, criterion, learned, losses)
        values = np.full((len(self.runs), len(self.channels)), np.nan)
        parts = [train.reshape(len(seats), -1), validation.reshape(len(seats), -1), found]
        values[seats] = np.column_stack([*parts, train_total, learned, criterion])
        ended = [seat for seat in seats if self.outcome.status[seat] in ("diverged", "failed")]
        values[ended] = np.nan
        self.outcome.skipped[self.live.seats] += self.idle
        self._retire(seats)
        self._resume_point = self._state()
        return EpochRecord(self.epoch, values, tuple(self.outcome.status))

    def _validation_signals(self, losses: np.ndarray, sigma: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """The signals per task on validation, and the learned objective that a naive trainer would watch there."""
        raw = torch.tensor(losses, dtype=self.dtype, device=self._place)
        valid = self.data.by_task(self.data.splits[1].valid)
        labelled = torch.stack([v.to(self.dtype).mean() for v in valid]).nan_to_num().expand_as(raw)
        available = raw.isfinite() & (labelled > 0)
        weighed = self.live.weighing.look(Signals(torch.where(available, raw, 0.0), available, labelled))
        parts = share((weighed.weights * torch.where(available, raw, 0.0)).abs())
        columns = torch.stack([raw, weighed.weights, sigma, parts, labelled, weighed.gate], -1)
        total = torch.where(available.any(-1), weighed.total, torch.nan)
        return columns.cpu().double().numpy(), total.cpu().double().numpy()

    def _watch_epoch(self, seats: np.ndarray, criterion: np.ndarray, learned: np.ndarray, losses: np.ndarray) -> None:
        """Selection: by the fixed criterion or the primary task; the learned objective only beside it."""
        selects, learned = criterion.copy(), learned.copy()
        for lane, seat in enumerate(seats):
            selects[lane] = selecting(self.runs[seat].selection.stop, self.problem.tasks, criterion[lane], losses[lane])
            if self.outcome.status[seat] != "running":
                selects[lane] = learned[lane] = np.nan
            elif not np.isfinite(losses[lane][self.labelled[1]]).all():
                self.outcome.end(int(seat), "diverged", f"diverged in epoch {self.epoch}", self.epoch - 1, self.steps)
                selects[lane] = learned[lane] = np.nan
        deltas = np.array([stop.min_delta if (stop := self.runs[seat].selection.stop) else 0.0 for seat in seats])
        better, counterfactual = self.watch.see(self.epoch, seats, selects, learned, losses, deltas)
        self.outcome.keep(self.live, better, counterfactual)
        self.outcome.remember(seats, losses, criterion)

    def _retire(self, seats: np.ndarray) -> None:
        """Take out the lanes that have ended."""
        for seat in seats:
            if self.outcome.status[seat] != "running":
                continue
            if why := self.watch.stops(seat, self.runs[seat].selection.stop, self.labelled[1]):
                self.outcome.end(int(seat), "done", f"stopped early at epoch {self.epoch} ({why})", self.epoch, self.steps)
            elif self.epoch == self.epochs:
                self.outcome.end(int(seat), "done", "", self.epoch, self.steps)
        running = torch.tensor([self.outcome.status[seat] == "running" for seat in seats], device=self._place)
        if not bool(running.all()):
            self.live = self.live.select(running)

    # --- before the first and after the last epoch --------------------------------------------------------------------

    def _start(self) -> LiveLanes:
        order = ordered([run.arm for run in self.runs])
        runs = [self.runs[lane] for lane in order]
        tasks, training = self.problem.tasks, self.runs[0].training
        shape = shape_of(self.data.splits[0].features.shape[1], training.hidden or (), tasks)
        flat = init_parameters(shape, [run.seed for run in runs], self.dtype).to(self._place)
        column = {"dtype": self.dtype, "device": self._place}
        lr = torch.tensor([[run.training.lr] for run in runs], **column)
        decay = torch.tensor([[run.training.weight_decay or 0.0] for run in runs], **column)
        labelled = self.problem.availability(0)
        shares = torch.tensor([labelled[task.name] for task in tasks], **column)
        steps = -(-len(self.data.splits[0]) // self.batch_size)
        seeds = torch.tensor([[run.seed] for run in runs], device=self._place)
        setup = Setup(tasks, (len(runs),), lr, steps, shares, seeds, shape.trunk_parameters)
        arms = tuple(run.arm for run in runs)
        weighing = Weighing.start(arms, setup)
        refusing = [build(run.arm, tasks).positive_losses for run in self.runs]  # a setting may decide it
        self._refuses, self._refusing = any(refusing), torch.tensor(refusing, device=self._place)
        slots = torch.tensor([self.seeds.index(run.seed) for run in runs], device=self._place)
        optimizer = Optimizer.start(
            training.optimizer, flat, shape.trunk_parameters, head_owners(shape).to(self._place), lr, decay
        )
        nothing = flat.new_full((len(runs), len(tasks)), torch.nan)
        return LiveLanes(tasks, shape, optimizer, weighing, arms, torch.tensor(order, device=self._place), slots, nothing)

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
        return pack(self._resume_point)

    def _state(self) -> dict[str, Any]:
        live, optimizer = self.live, self.live.optimizer
        return {
            "epoch": self.epoch,
            "steps": self.steps,
            "seats": live.seats,
            "flat": live.flat.clone(),
            "optimizer": [part.clone() for part in optimizer.memory],
            "schemes": live.weighing.leaves(),
            "previous": live.previous,
            "watch": {name: torch.from_numpy(array.copy()) for name, array in self.watch.arrays().items()},
            "outcome": self.outcome.state(),
            "criterion": self.criterion and [torch.from_numpy(self.criterion.weights), torch.from_numpy(self.criterion.scale)],
        }

    def _resume(self, state: dict[str, Any]) -> None:
        self.epoch, self.steps = state["epoch"], state["steps"]
        kept = torch.isin(self.live.seats.cpu(), state["seats"].cpu()).to(self._place)
        self.live = self.live.select(kept)
        optimizer = self.live.optimizer
        optimizer.flat.copy_(state["flat"])
        for part, saved in zip(optimizer.memory, state["optimizer"], strict=True):
            part.copy_(saved)
        self.live.weighing.fill([[leaf.to(self._place) for leaf in leaves] for leaves in state["schemes"]])
        self.live.previous = state["previous"].to(self._place)
        if self.epoch:
            *_, self.live.before = self._batches(self.epoch)
        self.watch = Watch(**{name: tensor.numpy().copy() for name, tensor in state["watch"].items()})
        self.outcome = Outcome.restore(state["outcome"], self._place)
        if state["criterion"] is not None:
            self.criterion = Criterion(*(tensor.numpy() for tensor in state["criterion"]))


def warm() -> None:
    """Pay for the first step's one-time costs (memory pools, kernels) before anybody waits for it."""
    torch.set_flush_denormal(True)
    keep_freed_memory()
    layer = torch.nn.Linear(8, 8)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.randn(4, 8)).square().mean().backward()
    optimizer.step()
