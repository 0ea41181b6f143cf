"""Phases of a training: which settings hold in which epoch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from mtl_core.specs import PhaseSpec, TrainingSpec


@dataclass(frozen=True)
class Schedule:
    """The phases in order; a training without any is one phase."""

    phases: tuple[PhaseSpec, ...]

    @staticmethod
    def of(training: TrainingSpec) -> Schedule:
        """That of a resolved training."""
        return Schedule(training.phases or (PhaseSpec(epochs=training.epochs or 1),))

    @property
    def ends(self) -> list[int]:
        """The last epoch of each phase; epochs count from 1."""
        return list(accumulate(phase.epochs for phase in self.phases))

    def phase(self, epoch: int) -> tuple[PhaseSpec, bool]:
        """(the phase of an epoch, whether it is the phase's first)."""
        starts = [1, *(end + 1 for end in self.ends)]
        number = min(sum(epoch > end for end in self.ends), len(self.phases) - 1)
        return self.phases[number], epoch == starts[number]

    def is_last(self, epoch: int) -> bool:
        """Whether an epoch lies in the last phase."""
        return self.phase(epoch)[0] is self.phases[-1]

    def names(self) -> list[str]:
        """A name for each phase: its own, or its number."""
        return [phase.name or f"phase {number}" for number, phase in enumerate(self.phases, start=1)]
