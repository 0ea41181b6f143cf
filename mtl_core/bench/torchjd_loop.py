"""torchjd's loop for the methods that it has, one run after another, as its documentation writes it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mtl_core.bench.plain import PlainRun, plain_losses

if TYPE_CHECKING:
    from mtl_core.problem import Problem
    from mtl_core.specs import TrainingSpec

ABSENT = "torchjd is not installed (pip install -r requirements-dev.txt), so its loop is left out."
TORCHJD: dict[str, Callable[[Any, int], Any]] = {  # our scheme: their aggregator
    "nash_mtl": lambda jd, tasks: jd.NashMTL(n_tasks=tasks),
    "pcgrad": lambda jd, _: jd.PCGrad(),
    "upgrad": lambda jd, _: jd.UPGrad(),
    "mgda": lambda jd, _: jd.MGDA(),
    "aligned_mtl": lambda jd, _: jd.AlignedMTL(),
    "fairgrad": lambda jd, _: jd.FairGrad(alpha=1.0),
    "dualproj": lambda jd, _: jd.DualProj(),
    "cagrad": lambda jd, _: jd.CAGrad(c=0.4),
    "imtl_g": lambda jd, _: jd.IMTLG(),
    "config": lambda jd, _: jd.ConFIG(),
}


def torchjd_present() -> bool:
    """Whether it can be imported."""
    return importlib.util.find_spec("torchjd") is not None


class TorchjdRun(PlainRun):
    """A plain run whose step goes through torchjd's aggregator on the gradients of the trunk."""

    def __init__(self, problem: Problem, training: TrainingSpec, scheme: str) -> None:
        from torchjd import aggregation

        super().__init__(problem, training)
        self.aggregator = TORCHJD[scheme](aggregation, len(problem.tasks))

    def step(self) -> None:
        """One training step."""
        from torchjd.autojac import jac_to_grad, mtl_backward

        rows = next(self.batches)
        self.optimizer.zero_grad()
        shared = self.model.trunk(self.train.features[rows])
        outputs = [head(shared) for head in self.model.heads]
        losses = plain_losses(self.tasks, outputs, [one.of(rows) for one in self.train.columns])
        mtl_backward(losses, features=shared)
        jac_to_grad(self.model.trunk.parameters(), self.aggregator)
        self.optimizer.step()
