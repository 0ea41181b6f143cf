"""The schemes of all lanes side by side: lanes of one structure are one stacked scheme on a slice of the lane dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from mtl_core.lanes.gradients import Jacobian, Section
from mtl_core.schemes.base import Scheme, Setup, Signals, State, takes_gradients
from mtl_core.schemes.build import build_lanes, select_lanes, structure
from mtl_core.schemes.trees import tree_fill, tree_leaves, tree_map

if TYPE_CHECKING:
    from mtl_core.specs import ArmSpec


@dataclass(frozen=True)
class Group:
    """Consecutive lanes with one stacked scheme."""

    scheme: Scheme
    lanes: int


class Weighed(NamedTuple):
    """What the schemes say of a step, all lanes together."""

    weights: Tensor  # [lanes, tasks]
    total: Tensor  # [lanes] the objective each lane's scheme minimises; NaN where it minimises none
    gate: Tensor  # [lanes, tasks] 1 without a gate
    direction: Tensor | None = None  # [last lanes, parameters] the trunk's step in lanes with a Jacobian, in its order


def ordered(arms: Sequence[ArmSpec]) -> list[int]:
    """Lane numbers sorted so that lanes of one structure are neighbours, those that take the whole Jacobian last."""
    return sorted(range(len(arms)), key=lambda lane: (arms[lane].gradients == "shared", repr(structure(arms[lane]))))


def sections(arms: Sequence[ArmSpec]) -> list[Section]:
    """The stretches of `ordered` arms that take gradients."""
    found, first = [], 0
    for kind, members in groupby(arms, key=lambda arm: arm.gradients):
        last = first + len(list(members))
        if kind is not None:
            found.append(Section(first, last, kind))
        first = last
    return found


class Weighing:
    """Schemes and their states, in the order of `arms` (which must be `ordered`)."""

    def __init__(self, groups: list[Group], states: list[State], recent: Tensor) -> None:
        self.groups, self.states = groups, states
        self.recent = recent  # [lanes, tasks] the weight each task had when it last took part

    @staticmethod
    def start(arms: Sequence[ArmSpec], setup: Setup) -> Weighing:
        """Every lane's scheme in its initial state."""
        groups, states, first = [], [], 0
        for _, members in groupby(arms, key=structure):
            mine = list(members)
            some = slice(first, first + len(mine))
            scheme = build_lanes(mine, setup.tasks, dtype=setup.lr.dtype, device=setup.lr.device)
            groups.append(Group(scheme, len(mine)))
            seeds = None if setup.seeds is None else setup.seeds[some]
            states.append(scheme.init(setup._replace(lanes=(len(mine),), lr=setup.lr[some], seeds=seeds)))
            first += len(mine)
        return Weighing(groups, states, setup.lr.new_zeros(len(arms), len(setup.tasks)))

    def step(self, signals: Signals, jacobian: Jacobian | None = None) -> Weighed:
        """Weights of this step, and the direction of the lanes that have a Jacobian (the last ones); the states move on."""
        parts = []
        directions: list[Tensor] = []
        for place, (group, some) in enumerate(self._places()):
            mine = _seen_by(group.scheme, signals, some, jacobian)
            direction, weights, after = group.scheme.direct(self.states[place], mine)
            parts.append(_weighed(group.scheme, weights, self.states[place], after, mine))
            self.states[place] = after
            if jacobian is not None and some.start >= jacobian.first:
                directions.append(jacobian.combined(some, weights) if direction is None else direction)
        weights, total, gate = (torch.cat(columns) for columns in zip(*parts, strict=True))
        self.recent = torch.where(signals.available, weights, self.recent)
        return Weighed(weights, total, gate, torch.cat(directions) if directions else None)

    def look(self, signals: Signals) -> Weighed:
        """Weights and objective that the schemes would give for these losses; no state moves.

        A scheme on gradients has none here: its tasks keep the weights they had last.
        """
        parts = []
        for (group, some), state in zip(self._places(), self.states, strict=True):
            mine = signals.map(itemgetter(some))
            if takes_gradients(group.scheme):
                weights = torch.where(mine.available, self.recent[some], 0.0)
            else:
                weights, _ = group.scheme.update(state, mine)
            parts.append(_weighed(group.scheme, weights, state, state, mine))
        return Weighed(*(torch.cat(columns) for columns in zip(*parts, strict=True)))

    def sigma(self, like: Tensor) -> Tensor:
        """Learned sigma of every lane and task; NaN where the scheme has none."""
        absent = torch.full_like(like, torch.nan)
        parts = [
            group.scheme.report(state).get("sigma", absent[some])
            for (group, some), state in zip(self._places(), self.states, strict=True)
        ]
        return torch.cat(parts)

    def select(self, keep: Tensor) -> Weighing:
        """The same for the lanes where the bool tensor `keep` is True."""
        groups, states = [], []
        for group, state, kept in zip(self.groups, self.states, keep.split([g.lanes for g in self.groups]), strict=True):
            if kept.any():
                groups.append(Group(select_lanes(group.scheme, kept), int(kept.sum())))
                states.append(tree_map(lambda leaf, kept=kept: leaf[kept], state))
        return Weighing(groups, states, self.recent[keep])

    def leaves(self) -> list[list[Tensor]]:
        """All states as tensors."""
        return [[self.recent], *(tree_leaves(state) for state in self.states)]

    def fill(self, leaves: list[list[Tensor]]) -> None:
        """Inverse of `leaves`."""
        (self.recent,), *states = leaves
        self.states = [tree_fill(state, mine) for state, mine in zip(self.states, states, strict=True)]

    def _places(self) -> list[tuple[Group, slice]]:
        ends = list(accumulate(group.lanes for group in self.groups))
        return [(group, slice(end - group.lanes, end)) for group, end in zip(self.groups, ends, strict=True)]


def _seen_by(scheme: Scheme, signals: Signals, lanes: slice, jacobian: Jacobian | None) -> Signals:
    """What the lanes of one scheme may see: optional signals only where it needs them."""
    mine = signals._replace(jacobian=None).map(itemgetter(lanes))
    if "gramian" not in scheme.needs:
        mine = mine._replace(gramian=None)
    if "revisited" not in scheme.needs:
        mine = mine._replace(previous=None, revisited=None)
    if "jacobian" in scheme.needs and jacobian is not None:
        mine = mine._replace(jacobian=jacobian.of(lanes))
    return mine


def _weighed(scheme: Scheme, weights: Tensor, before: State, after: State, signals: Signals) -> tuple[Tensor, Tensor, Tensor]:
    """The objective belongs to the state that gave the weights, the gate to the step just judged."""
    gate = scheme.report(after)["gate"] if scheme.gated else torch.ones_like(weights)
    return weights, _objective(scheme, before, signals, weights), gate


def _objective(scheme: Scheme, state: State, signals: Signals, weights: Tensor) -> Tensor:
    """NaN for a scheme on gradients: it chooses a direction and minimises no scalar that could be compared between epochs."""
    if takes_gradients(scheme):
        return torch.full_like(weights[:, 0], torch.nan)
    return scheme.objective(state, signals) if scheme.own_objective else (weights * signals.losses).sum(-1)
