"""Phases of a training as spans of epochs, with a sentence of what is different in each: for figures, captions and reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mtl_core.analysis.wording import count, listed
from mtl_core.schedule import Schedule
from mtl_core.specs import PhaseSpec, TrainingSpec

ANEW = {"optimizer": "the optimizer", "weights": "the weights"}


class Span(NamedTuple):
    """One phase: its first and last epoch, counted from 1, and what it differs in (empty: nothing)."""

    name: str
    first: int
    last: int
    words: str

    @property
    def sentence(self) -> str:
        """`heads (epochs 1-4: trunk frozen, only depth)`."""
        epochs = f"epoch {self.first}" if self.first == self.last else f"epochs {self.first}-{self.last}"
        return f"{self.name} ({epochs}{f': {self.words}' if self.words else ''})"


def spans(training: TrainingSpec) -> tuple[Span, ...]:
    """The phases of a resolved training in order; none where all epochs are alike."""
    if not training.phases:
        return ()
    schedule = Schedule.of(training)
    starts = [1, *(end + 1 for end in schedule.ends)]
    parts = zip(schedule.names(), starts, schedule.ends, schedule.phases, strict=False)
    return tuple(Span(name, first, last, ", ".join(_words(phase, first))) for name, first, last, phase in parts)


def phases_sentence(training: TrainingSpec) -> str:
    """All phases, and what counts in the last one only; empty where all epochs are alike."""
    found = spans(training)
    if not found:
        return ""
    told = f"Phases: {', '.join(one.sentence for one in found)}."
    if len(found) == 1:
        return told
    return (
        f"{told} The fixed criterion selects over all epochs; early stopping and the epoch of the learned objective "
        f"count in the last phase, {found[-1].name}, only."
    )


def _words(phase: PhaseSpec, first: int) -> Iterator[str]:
    """What holds in the phase and not in the whole training. Nothing starts anew in the first epoch of all."""
    if phase.frozen:
        heads = [part for part in phase.frozen if part != "trunk"]
        parts = [*(["trunk"] if "trunk" in phase.frozen else []), *([_heads(heads)] if heads else [])]
        yield f"{listed(parts)} frozen"
    if phase.tasks is not None:
        yield f"only {listed(phase.tasks)}"
    if phase.lr is not None:
        yield f"lr {phase.lr:g}"
    if phase.trunk_lr is not None:
        yield f"trunk lr {phase.trunk_lr:g}"
    if phase.reset and first > 1:
        yield f"{listed(ANEW[part] for part in phase.reset)} {'starts' if phase.reset == ('optimizer',) else 'start'} anew"


def _heads(tasks: list[str]) -> str:
    return f"head of {tasks[0]}" if len(tasks) == 1 else f"{count(len(tasks), 'head')} ({listed(tasks)})"
