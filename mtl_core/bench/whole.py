"""Whole trainings: what evaluation after every epoch, recording, and the store add to the steps.

Of the default problem, 30 epochs: two arms with eight seeds, as people start with, and eight arms, 64 lanes.

    steps         minibatches and steps only
    trained       evaluated and recorded after every epoch, results at the end
    stored        the same as a person runs it: submitted, data loaded, into a new SQLite store, read back
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl_core.bench.plain import PlainRun
from mtl_core.bench.problems import MIXED, SIZES, mixed_heads, training_of
from mtl_core.bench.timing import STORED, Form, Row, Spent, middle, repeated
from mtl_core.bench.torchjd_loop import TORCHJD, TorchjdRun, torchjd_present
from mtl_core.engine import Training
from mtl_core.resolving import resolve
from mtl_core.runner import run
from mtl_core.specs import ExperimentSpec, parse_experiment
from mtl_core.store import open_store

if TYPE_CHECKING:
    from mtl_core.problem import Problem

GROUPS = {
    "loss-based": ("uncertainty", "equal"),
    "eight, loss-based": ("uncertainty", "equal", "softplus", "dwa", "rlw", "imtl_l", "gls", "scale_invariant"),
    "on gradients": ("upgrad", "pcgrad"),
}
EPOCHS = {"on gradients": 5}  # else 30
STEPS, TRAINED = "steps only", "and evaluated, recorded"


def evaluation(form: Form) -> Iterator[Row]:
    """Loss-based schemes and schemes on gradients, with and without evaluation each epoch, with and without the store."""
    for group, schemes in GROUPS.items():
        epochs = form.pick(EPOCHS.get(group, 30), 2)
        spec = experiment(schemes, epochs, form.pick(8, 2))
        problem = mixed_heads()
        runs = len(spec.arms) * len(spec.seeds)
        work = {STEPS: _steps(problem, spec), TRAINED: _trained(problem, spec), STORED: _stored(spec)}
        times = repeated(work, form.pick(3, 1))
        steps = times[STEPS]
        for what, mine in times.items():
            shares = {"share_of_cpu": _beyond(steps, mine, "cpu"), "share_of_wall": _beyond(steps, mine, "wall")}
            yield {**_row(group, what, runs, epochs, middle(mine)), **shares, "extrapolated": False}
        yield from _one_after_another(problem, spec, group, form)


def experiment(schemes: Sequence[str], epochs: int, seeds: int) -> ExperimentSpec:
    """An arm a scheme on the default problem."""
    arms = {name: {"scheme": name} for name in schemes}
    training = training_of(SIZES["default"], epochs).model_dump(exclude_unset=True)
    return parse_experiment({"data": {"scenario": MIXED}, "arms": arms, "seeds": seeds, "training": training})


def epoch_of_plain(problem: Problem, spec: ExperimentSpec, scheme: str, *, judged: bool) -> Callable[[], None] | None:
    """One epoch of one run in the plain loop, or in torchjd's for a method of it; None if torchjd is needed and absent."""
    training = resolve(spec, problem).training
    if scheme in TORCHJD and not torchjd_present():
        return None
    run = TorchjdRun(problem, training, scheme) if scheme in TORCHJD else PlainRun(problem, training, scheme)
    steps = -(-problem.rows(0) // (training.batch_size or 1))

    def epoch() -> None:
        for _ in range(steps):
            run.step()
        if judged:
            run.evaluate()

    return epoch


def _steps(problem: Problem, spec: ExperimentSpec) -> Callable[[], None]:
    runs = list(resolve(spec, problem).runs().values())

    def train() -> None:
        training = Training(problem, runs, "cpu")
        for epoch in range(1, training.epochs + 1):
            for batch in training.batches.of(epoch):
                training.live.step(batch)

    return train


def _trained(problem: Problem, spec: ExperimentSpec) -> Callable[[], None]:
    runs = list(resolve(spec, problem).runs().values())

    def train() -> None:
        training = Training(problem, runs, "cpu")
        for _ in training:
            pass
        training.results()

    return train


def _stored(spec: ExperimentSpec) -> Callable[[], Any]:
    def train() -> None:
        with tempfile.TemporaryDirectory() as folder, closing(open_store(store_in(folder))) as store, _alone():
            run(spec, store, "cpu")

    return train


@contextmanager
def _alone() -> Iterator[None]:
    """No helper processes: all of the time is this process' own."""
    before = os.environ.get("MTL_WORKERS")
    os.environ["MTL_WORKERS"] = "1"
    try:
        yield
    finally:
        os.environ.pop("MTL_WORKERS")
        if before is not None:
            os.environ["MTL_WORKERS"] = before


def store_in(folder: str) -> str:
    """The address of a new store."""
    return f"sqlite:///{Path(folder) / 'store.sqlite'}"


def _one_after_another(problem: Problem, spec: ExperimentSpec, group: str, form: Form) -> Iterator[Row]:
    """The same runs in the plain loop or torchjd's: an epoch of a run of each arm, times epochs and seeds."""
    epochs, seeds = resolve(spec, problem).training.epochs or 1, len(spec.seeds)
    for judged in (False, True):
        jobs = {name: epoch_of_plain(problem, spec, arm.scheme, judged=judged) for name, arm in spec.arms.items()}
        found = {name: job for name, job in jobs.items() if job is not None}
        if len(found) < len(jobs):
            continue
        times = repeated(found, form.pick(3, 1))
        total = Spent(*(epochs * seeds * sum(parts) for parts in zip(*map(middle, times.values()), strict=True)))
        what = f"one run after another, {TRAINED if judged else STEPS}"
        yield {**_row(group, what, len(found) * seeds, epochs, total), "extrapolated": True}


def _row(group: str, what: str, runs: int, epochs: int, times: Spent) -> Row:
    return {"schemes": group, "what": what, "runs": runs, "epochs": epochs, "cpu_s": times.cpu, "wall_s": times.wall}


def _beyond(steps: Sequence[Spent], whole: Sequence[Spent], clock: str) -> float | None:
    """What is not steps, of the whole: the median over rounds. None for the steps themselves."""
    if steps is whole:
        return None
    shares: list[float] = [getattr(a, clock) / getattr(b, clock) for a, b in zip(steps, whole, strict=True)]
    return 1 - statistics.median(shares)
