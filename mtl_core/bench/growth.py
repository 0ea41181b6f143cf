"""How cost grows: with lanes, tasks, width, epochs and rows. Within each group in turns; relative to the group's first row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from mtl_core.bench.problems import SIZES, Size, lane_steps, mixed_heads, regressions, runs_of, training_of
from mtl_core.bench.timing import Form, Job, Row, measured, middle, repeated, spent
from mtl_core.engine import Training

if TYPE_CHECKING:
    from mtl_core.problem import Problem

SCHEMES = ("equal", "upgrad")
LANES, SOME, FEW = 64, 16, 8
ROWS_A_BATCH = 4096


class Point(NamedTuple):
    """Something that is timed: what grows, how far, under which scheme, and how many lanes it trains."""

    grows: str
    at: int
    scheme: str
    lanes: int = LANES


def growth(form: Form) -> Iterator[Row]:
    """All groups, on the default problem where nothing else is said."""
    yield from _lanes(form)
    yield from _tasks(form)
    yield from _width(form)
    yield from _epochs(form)
    yield from _rows(form)


def _lanes(form: Form) -> Iterator[Row]:
    problem, training = mixed_heads(), training_of(SIZES["default"])
    for scheme in SCHEMES:
        numbers = form.pick((1, 2, 4, 8, 16, 32, 64, 128, 256, 512), (1, 8, 64))
        work = {
            Point("lanes", count, scheme, count): lane_steps(problem, runs_of(training, count, (scheme,))) for count in numbers
        }
        yield from _grown(work, form)


def _tasks(form: Form) -> Iterator[Row]:
    training = training_of(SIZES["default"])
    for scheme in SCHEMES:
        numbers = form.pick((2, 4, 8, 16, 32), (2, 8))
        work = {
            Point("tasks", count, scheme): lane_steps(regressions(count), runs_of(training, LANES, (scheme,)))
            for count in numbers
        }
        yield from _grown(work, form)


def _width(form: Form) -> Iterator[Row]:
    problem, batch = mixed_heads(), SIZES["default"].batch
    for scheme in SCHEMES:
        widths = form.pick((16, 32, 64, 128, 256), (16, 64))
        work = {
            Point("width", width, scheme): lane_steps(
                problem, runs_of(training_of(Size((width, width), batch)), LANES, (scheme,))
            )
            for width in widths
        }
        yield from _grown(work, form)


def _grown(work: Mapping[Point, Job], form: Form) -> Iterator[Row]:
    """Microseconds of CPU time a lane and step."""
    first = None
    for point, times in measured(work, form).items():
        cost = 1e6 * middle(times).over(point.lanes).cpu
        first = first or cost
        yield _row(point, "CPU us a lane and step", cost, first)


def _epochs(form: Form) -> Iterator[Row]:
    """Whole trainings of few rows, where what is done once an epoch weighs most."""
    problem = mixed_heads(form.pick(512, 256))
    numbers = form.pick((5, 20, 80), (2, 8))
    work = {count: partial(_train, problem, SIZES["default"], SOME, count) for count in numbers}
    first = None
    for count, times in repeated(work, form.pick(3, 1)).items():
        cost = 1e6 * middle(times).cpu / SOME / count
        first = first or cost
        yield _row(Point("epochs", count, "equal", SOME), "CPU us a lane and epoch", cost, first)


def _rows(form: Form) -> Iterator[Row]:
    """One epoch over so many rows, evaluated, in minibatches of 4,096; and what it takes to begin."""
    first = None
    for count in form.pick((4096, 65_536, 1_000_000), (4096, 16_384)):
        problem = mixed_heads(count)
        runs = runs_of(training_of(Size((64, 64), ROWS_A_BATCH), 1), FEW)
        begin = spent(partial(Training, problem, runs, "cpu")).cpu
        whole = spent(partial(_train, problem, Size((64, 64), ROWS_A_BATCH), FEW, 1)).cpu
        cost = 1e6 * (whole - begin) / FEW / count
        first = first or cost
        yield _row(Point("rows", count, "equal", FEW), "CPU us a lane and row", cost, first)
        yield _row(Point("rows", count, "equal", FEW), "CPU s to begin", begin, None)


def _train(problem: Problem, size: Size, lanes: int, epochs: int) -> None:
    training = Training(problem, runs_of(training_of(size, epochs), lanes), "cpu")
    for _ in training:
        pass
    training.results()


def _row(point: Point, unit: str, cost: float, first: float | None) -> Row:
    return {**point._asdict(), "unit": unit, "cost": cost, "relative": None if first is None else cost / first}
