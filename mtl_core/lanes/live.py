"""The lanes that are still training: parameters, optimizer, schemes, and one step of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mtl_core.lanes.captured import Replays
from mtl_core.lanes.gradients import Jacobian, TakenGradients, take
from mtl_core.lanes.losses import Batch, Losses, owners
from mtl_core.lanes.models import Forward, Model, Shape
from mtl_core.lanes.optim import Optimizer
from mtl_core.lanes.weighing import Weighed, Weighing, sections
from mtl_core.schemes import SCHEMES
from mtl_core.schemes.base import Signals
from mtl_core.specs import PhaseSpec

if TYPE_CHECKING:
    from mtl_core.specs import ArmSpec, TaskSpec


class Step(NamedTuple):
    """What happened in one step."""

    signals: Signals
    weighed: Weighed
    labels: Float[Tensor, "lanes tasks"]
    idle: Bool[Tensor, " lanes"]  # lanes that did not move: out, or without any task
    diverged: list[int]  # lanes in which no labelled task has a finite loss (and gradient), out from this step on


@dataclass
class LiveLanes:
    """All state that training changes. `seats` are the lanes' places in the whole batch, `slots` their seed's place."""

    tasks: tuple[TaskSpec, ...]
    shape: Shape
    optimizer: Optimizer
    weighing: Weighing
    arms: tuple[ArmSpec, ...]
    seats: Int[Tensor, " lanes"]
    slots: Int[Tensor, " lanes"]
    previous: Float[Tensor, "lanes tasks"]  # losses of the step before, NaN where absent
    trained: Bool[Tensor, "lanes tasks"]  # tasks that each lane's arm trains

    def __post_init__(self) -> None:
        self.flat = self.optimizer.flat
        self.model = Model(self.shape, self.flat, self.optimizer.gradient)
        device = self.flat.device
        self.losses = Losses(self.tasks, device)
        self.heads = owners(self.shape.heads, device)  # of each output of a head at a place of the trunk's map
        self.out = torch.zeros(len(self.flat), dtype=torch.bool, device=device)
        self.sections = sections(self.arms)
        self.by_weights = min((one.first for one in self.sections if one.gradients == "shared"), default=len(self.arms))
        unweighted = torch.tensor([arm.head_gradients == "unweighted" for arm in self.arms], device=device)
        self.unweighted = unweighted.unsqueeze(-1) if bool(unweighted.any()) else None
        again = ["revisited" in SCHEMES[arm.scheme].needs for arm in self.arms]
        self.again = torch.tensor(again, device=device).nonzero().flatten()
        self.before: Batch | None = None  # the last step's minibatch
        self.replays: Replays | None = None
        self.phase = PhaseSpec(epochs=1)
        self.enter(self.phase)

    def enter(self, phase: PhaseSpec) -> None:
        """Train as the phase says from the next step on: which tasks are active, what is frozen."""
        names = [task.name for task in self.tasks]
        active = torch.tensor([phase.tasks is None or name in phase.tasks for name in names], device=self.flat.device)
        self.active = self.trained & active
        self.some_inactive = not bool(self.active.all())
        self.moving = torch.tensor([name not in phase.frozen for name in names], device=self.flat.device)
        self.trunk_moves = "trunk" not in phase.frozen and self.shape.trunk_parameters > 0
        if self.replays is None or phase != self.phase:
            self.replays = Replays(self) if Replays.possible(self) and self._plain(phase) else None
        self.phase = phase

    def _plain(self, phase: PhaseSpec) -> bool:
        """Whether a usual step is one of losses alone, in which everything moves."""
        return self.shape.by_hand and self.trunk_moves and not phase.frozen and not self.sections and not len(self.again)

    def step(self, batch: Batch) -> Step:
        """Forward, weigh, backward, optimize. What a task's absence takes out of the step keeps its parameters: its head,
        and with no task at all (or in a lane that is out) the trunk."""
        with torch.inference_mode(self.shape.by_hand):  # without autograd's bookkeeping, unless the trunk needs it
            done = None if self.replays is None else self.replays.step(batch)
            return done or self._step(batch)

    def _step(self, batch: Batch) -> Step:
        mine = self._of(batch, slice(None))
        revisited = self._revisited()
        done, losses, slopes = self._forward(mine, self.model, learn=True)
        signals, slopes, diverged = self._signals(losses, slopes, mine)
        if revisited is not None:
            signals = signals._replace(previous=self.previous, revisited=revisited)
        jacobian, at_heads = None, self.model.at_places(slopes)
        if self.sections:
            taken = take(self.model, done, at_heads, self.sections)
            signals, jacobian, overflowed = self._with_gradients(signals, taken, mine)
            diverged += overflowed
        weighed = self.weighing.step(signals, jacobian)
        takes_part = signals.available & (weighed.gate > 0)
        self._backward(done, at_heads, weighed, takes_part)
        self.optimizer.step(takes_part, trunk=self.trunk_moves, heads=self.moving)
        self.before, self.previous = batch, torch.where(signals.available, signals.losses, torch.nan)
        idle = ~takes_part.any(-1)
        return Step(signals, weighed, mine.labels, idle, diverged)

    def look(self, batch: Batch) -> tuple[Step, Tensor, Tensor]:
        """A usual step of losses alone, up to its gradients: `_step` without its branches on data, which cannot be captured.

        Returns the step, who takes part, and a flag: whether it is a usual one.
        """
        mine = self._of(batch, slice(None))
        done, losses, slopes = self._forward(mine, self.model, learn=True)
        finite = losses.isfinite()
        available = (mine.labels > 0) & finite & ~self.out.unsqueeze(-1)
        signals = Signals(torch.where(available, losses, 0.0), available, mine.shares)
        weighed = self.weighing.step(signals)
        takes_part = available & (weighed.gate > 0)
        self._backward(done, slopes, weighed, takes_part)
        return Step(signals, weighed, mine.labels, ~takes_part.any(-1), []), takes_part, takes_part.all()

    def _of(self, batch: Batch, lanes: slice | Tensor) -> Batch:
        """What some of the lanes read: their seed's rows, with the labels of the tasks that are active in them."""
        mine, active = batch.of(self.slots[lanes]), self.active[lanes]
        return mine.only(active, active[:, self.losses.elements], active[:, self.losses.outputs]) if self.some_inactive else mine

    def _forward(self, batch: Batch, model: Model, *, learn: bool) -> tuple[Forward, Tensor, Tensor]:
        done = model.forward(batch.features, batch.keep, learn=learn)
        losses, slopes = self.losses(done.outputs, batch)
        return done, losses, slopes

    def _revisited(self) -> Tensor | None:
        """Losses of the last batch under the present parameters, in lanes that ask for them; NaN elsewhere."""
        if not len(self.again):
            return None
        found = torch.full_like(self.previous, torch.nan)
        if self.before is not None:
            model = Model(self.shape, self.flat[self.again])
            _, losses, _ = self._forward(self._of(self.before, self.again), model, learn=False)
            found[self.again] = losses
        return torch.where(self.previous.isnan(), torch.nan, found)

    def _with_gradients(
        self, signals: Signals, taken: TakenGradients, batch: Batch
    ) -> tuple[Signals, Jacobian | None, list[int]]:
        """Signals with the Gramian; a task whose gradient is not finite is absent, like one whose loss is not."""
        finite = taken.gramian.diagonal(dim1=1, dim2=2).isfinite()
        signals = signals._replace(gramian=taken.gramian).only(finite)
        jacobian = taken.jacobian
        if bool(finite.all()):
            return signals, jacobian, []
        if jacobian is not None:
            jacobian = jacobian.only(signals.available)
        return signals, jacobian, self._break_down(signals.available, ~finite, batch)

    def _backward(self, done: Forward, slopes: Tensor, weighed: Weighed, takes_part: Tensor) -> None:
        """Heads of all lanes; the trunk by a reverse pass where there are only weights, from the direction where there is one."""
        by_head = self._by_head(weighed.weights)
        if self.unweighted is None:
            at_heads = at_outputs = slopes.mul_(by_head)
        else:
            factors = torch.where(self.unweighted, takes_part * weighed.gate, weighed.weights)
            at_heads, at_outputs = slopes * self._by_head(factors), slopes * by_head
        heads, trunk = self.model.heads, self.model.trunk
        heads.backward(done.passed.representation, done.hidden, at_heads)
        if self.by_weights and self.trunk_moves:
            some = slice(0, self.by_weights)
            trunk.backward(done.passed, heads.at_representation(done.hidden, at_outputs, some), some)
        if weighed.direction is not None:
            trunk.follow(weighed.direction)

    def _by_head(self, by_task: Tensor) -> Float[Tensor, "lanes 1 heads"]:
        return by_task.index_select(1, self.heads).unsqueeze(1)

    def _signals(self, losses: Tensor, slopes: Tensor, batch: Batch) -> tuple[Signals, Tensor, list[int]]:
        """What schemes may see, the slopes of the tasks that take part, and the lanes that diverge now."""
        finite = losses.isfinite()
        available = (batch.labels > 0) & finite & ~self.out.unsqueeze(-1)
        signals = Signals(torch.where(available, losses, 0.0), available, batch.shares)
        if bool(finite.all()):  # the usual case
            return signals, slopes, []
        kept = torch.where(
            available[:, self.losses.outputs].unsqueeze(1), slopes, 0.0
        )  # a task left out must not put its NaN into the trunk
        return signals, kept, self._break_down(available, ~finite, batch)

    def _break_down(self, available: Tensor, broken: Tensor, batch: Batch) -> list[int]:
        """Take out the lanes that a task without a finite loss or gradient leaves without any."""
        gone = ((batch.labels > 0) & broken).any(-1) & ~available.any(-1) & ~self.out
        self.out |= gone
        return gone.nonzero().flatten().tolist()

    def select(self, keep: Bool[Tensor, " lanes"]) -> LiveLanes:
        """The same without the lanes that have ended."""
        optimizer, weighing = self.optimizer.select(keep), self.weighing.select(keep)
        arms = tuple(arm for arm, kept in zip(self.arms, keep.tolist(), strict=True) if kept)
        chosen = (part[keep] for part in (self.seats, self.slots, self.previous, self.trained))
        less = LiveLanes(self.tasks, self.shape, optimizer, weighing, arms, *chosen)
        less.before = self.before
        less.enter(self.phase)
        return less
