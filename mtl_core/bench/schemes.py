"""What a step costs under each scheme, relative to equal weights; and torchjd's loop beside ours for its methods.

Only training steps are timed (forward, weights, backward, optimizer), on the same minibatches, one thread; equal weights are
timed anew beside every job, so that a busy machine slows both alike. A relative cost is the median over rounds of that ratio.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from mtl_core.bench.comparison import machine, plain_losses
from mtl_core.bench.problems import SIZES, mixed_heads
from mtl_core.engine import Training, warm
from mtl_core.lanes.models import init_parameters
from mtl_core.lanes.plain import to_module
from mtl_core.lanes.tensors import to_tensors
from mtl_core.schemes import SCHEMES
from mtl_core.shapes import shape_of
from mtl_core.specs import ArmSpec, DataSpec, RunSpec, SelectionSpec, TrainingSpec

if TYPE_CHECKING:
    from mtl_core.problem import Problem

LANES = 64
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

Steps = Callable[[int], None]  # trains that many steps
Key = tuple[str, str]  # whose loop, which scheme


def schemes(size: str = "medium", names: Sequence[str] = (), *, short: bool = False) -> dict[str, Any]:
    """Measure and return plain data. short: two rounds of 2 steps; else five rounds of 8."""
    rounds, steps = (2, 2) if short else (5, 8)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        warm()
        problem, (hidden, batch) = mixed_heads(), SIZES[size]
        training = TrainingSpec(epochs=1000, batch_size=batch, lr=1e-3, hidden=hidden, weight_decay=0.0)
        chosen = [name for name in SCHEMES if not names or name in names or name == "equal"]
        ours = {name: _lane_steps(problem, training, name) for name in chosen}
        theirs = {name: _torchjd_steps(problem, training, name) for name in chosen if name in TORCHJD and _torchjd()}
        timed = _rounds(
            {("lanes", k): v for k, v in ours.items()} | {("torchjd", k): v for k, v in theirs.items()}, rounds, steps
        )
    finally:
        torch.set_num_threads(threads)
    table = [_row(name, timed, steps) for name in chosen]
    return {"size": size, "lanes": LANES, "hidden": list(hidden), "batch_size": batch, "table": table, "machine": machine()}


class Timed(NamedTuple):
    """CPU seconds of a job, and of equal weights just before it, so that a busy machine slows both alike."""

    job: float
    equal: float


def _rounds(work: Mapping[Key, Steps], rounds: int, steps: int) -> dict[Key, list[Timed]]:
    """Every job in every round, after one round that is not counted."""
    equal = work["lanes", "equal"]
    for job in work.values():
        job(1)
    timed: dict[Key, list[Timed]] = {key: [] for key in work}
    for _ in range(rounds):
        for key, job in work.items():
            base = _seconds(equal, steps)
            timed[key].append(Timed(_seconds(job, steps), base))
    return timed


def _seconds(job: Steps, steps: int) -> float:
    start = time.process_time()
    job(steps)
    return time.process_time() - start


def _row(name: str, timed: Mapping[Key, list[Timed]], steps: int) -> dict[str, Any]:
    mine, theirs = timed["lanes", name], timed.get(("torchjd", name))
    ratios = [one.job / one.equal for one in mine]
    seconds = statistics.median(one.job for one in mine)
    return {
        "name": name,
        "relative_cost": statistics.median(ratios),
        "range": [min(ratios), max(ratios)],
        "lane_steps_per_cpu_s": LANES * steps / seconds,
        "over_torchjd": None if theirs is None else LANES * statistics.median(one.job for one in theirs) / seconds,
    }


def _lane_steps(problem: Problem, training: TrainingSpec, scheme: str) -> Steps:
    settings = {"weights": 1.0} if scheme == "fixed" else {}
    runs = [
        RunSpec(
            data=DataSpec(scenario="osint"),  # never read: the problem is given
            arm=ArmSpec(scheme=scheme, settings=settings),
            seed=seed,
            training=training,
            selection=SelectionSpec(),
        )
        for seed in range(8)
        for _ in range(LANES // 8)
    ]
    lanes = Training(problem, runs, "cpu")
    batches = cycle(islice(lanes.batches.of(1), 8))

    def step(count: int) -> None:
        for batch in islice(batches, count):
            lanes.live.step(batch)

    return step


# --- torchjd's loop ----------------------------------------------------------------------------------------------------


def _torchjd() -> bool:
    return importlib.util.find_spec("torchjd") is not None


def _torchjd_steps(problem: Problem, training: TrainingSpec, scheme: str) -> Steps:
    """One run as torchjd's documentation writes it."""
    from torchjd import aggregation
    from torchjd.autojac import jac_to_grad, mtl_backward

    data = to_tensors(problem, torch.float32, torch.device("cpu"))
    train, tasks = data.splits[0], problem.tasks
    shape = shape_of(problem, training)
    model = to_module(init_parameters(shape, [0], torch.float32), 0, shape)
    optimizer = torch.optim.Adam(model.parameters(), lr=training.lr or 1e-3)
    aggregator = TORCHJD[scheme](aggregation, len(tasks))
    order: Iterator[Tensor] = cycle(torch.arange(len(train)).split(training.batch_size or 1)[:8])

    def step(count: int) -> None:
        for rows in islice(order, count):
            optimizer.zero_grad()
            shared = model.trunk(train.features[rows])
            losses = plain_losses([head(shared) for head in model.heads], tasks, data, train, rows)
            mtl_backward(losses, features=shared)
            jac_to_grad(model.trunk.parameters(), aggregator)
            optimizer.step()

    return step
