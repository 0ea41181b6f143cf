"""A training step: the plain loop, lanes, and the bare products side by side; for schemes on gradients torchjd's loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from mtl_core.bench.plain import PlainRun, plain_steps
from mtl_core.bench.problems import SIZES, lane_steps, mixed_heads, pictures, runs_of, training_of
from mtl_core.bench.products import flops, jacobian_steps, product_steps
from mtl_core.bench.timing import Form, Job, Ratio, Row, Spent, measured, middle, ratio
from mtl_core.bench.torchjd_loop import ABSENT, TORCHJD, TorchjdRun, torchjd_present
from mtl_core.shapes import shape_of

if TYPE_CHECKING:
    from mtl_core.problem import Problem
    from mtl_core.specs import TrainingSpec

LANES = 64
LOSS_BASED = ("equal", "uncertainty")
PLAIN, FUSED, LANE, PRODUCTS = "plain loop", "plain loop, fused Adam", "lanes", "bare products"


class Key(NamedTuple):
    """What is timed."""

    loop: str
    scheme: str
    lanes: int


def steps(form: Form) -> Iterator[Row]:
    """Every size, loss-based schemes, with growing numbers of lanes."""
    problem = mixed_heads()
    on_gpu = form.device == "cuda"
    lanes = (1, 64, 256, 1024, 4096) if on_gpu else form.pick((1, 8, 64, 256), (8, 64, 256))
    for name in form.pick(tuple(SIZES), ("small", "default")):
        training = training_of(SIZES[name])
        bounds = {Key(PRODUCTS, "", count): job for count, job in _products(problem, training, lanes, form).items()}
        yield from _rows(name, problem, training, _work(problem, training, lanes, form) | bounds, form)
    if not form.short and not on_gpu:
        problem, training = pictures()
        yield from _rows("convolutions", problem, training, _work(problem, training, (1, 8, 64), form), form)


def gramian(form: Form) -> Iterator[Row]:
    """Schemes on gradients: 64 lanes beside torchjd's loop of the same method."""
    problem, present = mixed_heads(), torchjd_present()
    for name in form.pick(("default", "medium"), ("default",)):
        training = training_of(SIZES[name])
        layers = shape_of(problem, training).layers
        bare = jacobian_steps(layers, len(problem.tasks), LANES, training.batch_size or 1)
        for scheme in form.pick(tuple(TORCHJD), ("upgrad",)):
            ours = Key(LANE, scheme, LANES)
            theirs = Key("torchjd", scheme, 1)
            bound = Key(PRODUCTS, scheme, LANES)
            work = {ours: lane_steps(problem, runs_of(training, LANES, (scheme,)), form.device), bound: bare}
            if present:
                work[theirs] = plain_steps(TorchjdRun(problem, training, scheme))
            times = measured(work, form)
            rate = LANES / middle(times[ours]).cpu
            row = {"size": name, "scheme": scheme, "lanes": LANES, "lane_steps_per_s": rate}
            row["share_of_bound"] = ratio(times[bound], times[ours]).middle
            yield {**row, **(_beside(times[theirs], times[ours]) if present else {"over_torchjd": None, "note": ABSENT})}


def _beside(theirs: list[Spent], ours: list[Spent]) -> Row:
    found = ratio(theirs, ours, times=LANES)
    return {
        "torchjd_steps_per_s": 1 / middle(theirs).cpu,
        "over_torchjd": found.middle,
        "over_torchjd_range": [found.least, found.most],
    }


def _work(problem: Problem, training: TrainingSpec, lanes: tuple[int, ...], form: Form) -> dict[Key, Job]:
    device = form.device
    plain = {Key(PLAIN, name, 1): plain_steps(PlainRun(problem, training, name, device)) for name in LOSS_BASED}
    fused = {Key(FUSED, "equal", 1): plain_steps(PlainRun(problem, training, "equal", device, fused=True))}
    ours = {
        Key(LANE, name, count): lane_steps(problem, runs_of(training, count, (name,)), device)
        for name in LOSS_BASED
        for count in lanes
    }
    return plain | fused | ours


def _products(problem: Problem, training: TrainingSpec, lanes: tuple[int, ...], form: Form) -> dict[int, Job]:
    layers = shape_of(problem, training).layers
    return {count: product_steps(layers, count, training.batch_size or 1, form.device) for count in lanes}


def _rows(size: str, problem: Problem, training: TrainingSpec, work: Mapping[Key, Job], form: Form) -> Iterator[Row]:
    times = measured(work, form)
    layers = shape_of(problem, training).layers
    for key, mine in times.items():
        seconds = [one.by(form.device) / key.lanes for one in mine]
        each = middle(mine).over(key.lanes)
        row: Row = {"size": size, "scheme": key.scheme, "loop": key.loop, "lanes": key.lanes}
        row |= {"lane_steps_per_s": 1 / each.by(form.device), "range": [1 / max(seconds), 1 / min(seconds)]}
        row |= {"cpu_us": 1e6 * each.cpu, "wall_us": 1e6 * each.wall}
        plain = times.get(Key(PLAIN, key.scheme, 1))
        row["over_plain"] = None if plain is None or key.loop == PLAIN else _over(plain, mine, key.lanes, form).middle
        bound = times.get(Key(PRODUCTS, "", key.lanes)) if key.loop == LANE else None
        row["share_of_bound"] = None if bound is None else _over(bound, mine, 1, form).middle
        if key.loop == PRODUCTS:
            work_of_one = flops(layers, 1, training.batch_size or 1)
            row["gflops"] = work_of_one / each.by(form.device) / 1e9
        yield row


def _over(those: list[Spent], mine: list[Spent], lanes: int, form: Form) -> Ratio:
    return ratio(those, mine, form.device, lanes)
