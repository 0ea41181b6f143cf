"""How a comparison is shared among those who train: laws that hold for every mixture of arms, seeds and workers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_fakes import experiment

from mtl_core.durations import batch_seconds
from mtl_core.plan import BY_AUTOGRAD, WORTH, _end, plan
from mtl_core.specs import RunSpec

FEATURES, ROWS = 32, 4096
PLAIN, ON_GRADIENTS = ("equal", "softplus", "uncertainty", "dwa"), ("mgda", "pcgrad", "cagrad", "nash_mtl")
MIXED = (*PLAIN, *ON_GRADIENTS)


def runs(schemes: tuple[str, ...] = MIXED, seeds: int = 8, epochs: int = 30, **training: Any) -> list[RunSpec]:
    chosen = {"epochs": epochs, "batch_size": 64, "hidden": [64, 64], **training}
    return list(experiment(*schemes, seeds=seeds, training=chosen).runs().values())


def shared(given_runs: list[RunSpec], *free: float, rows: int = ROWS, **more: Any) -> list[list[RunSpec]]:
    return plan(given_runs, features=FEATURES, rows=rows, free=free, **more)


def seconds(batches: list[list[RunSpec]]) -> list[float]:
    return [batch_seconds(batch, FEATURES, ROWS) for batch in batches]


@st.composite
def asked(draw: st.DrawFn) -> tuple[list[RunSpec], list[float], int]:
    """Runs, when each of those who train is free, and how many lanes a batch may have."""
    schemes = draw(st.lists(st.sampled_from(MIXED), min_size=1, max_size=8, unique=True))
    chosen = runs(tuple(schemes), draw(st.integers(1, 8)), draw(st.integers(1, 50)))
    return chosen, draw(st.lists(st.sampled_from([0.0, 4.0]), min_size=1, max_size=9)), draw(st.sampled_from([5, 24, 256]))


@given(asked())
def test_every_run_is_in_exactly_one_batch_and_no_batch_is_empty_or_too_large(
    case: tuple[list[RunSpec], list[float], int],
) -> None:
    given_runs, free, most = case
    batches = shared(given_runs, *free, max_lanes=most)
    assert Counter(run.id for batch in batches for run in batch) == Counter(run.id for run in given_runs)
    assert all(0 < len(batch) <= most for batch in batches)


@given(asked())
def test_a_cut_ends_sooner_than_what_it_replaces_or_is_not_made(case: tuple[list[RunSpec], list[float], int]) -> None:
    given_runs, free, most = case
    alone, batches = shared(given_runs, 0.0, max_lanes=most), shared(given_runs, *free, max_lanes=most)
    if batches != alone:
        assert _end(seconds(batches), free) < _end(seconds(alone), free)
        assert seconds(batches) == sorted(seconds(batches), reverse=True), "the longest is taken first"


@pytest.mark.parametrize("workers", [2, 3, 4, 8])
@pytest.mark.parametrize("schemes", [MIXED, PLAIN, ON_GRADIENTS, ("equal", "nash_mtl")])
def test_a_long_comparison_is_cut_into_parts_that_take_about_equally_long(schemes: tuple[str, ...], workers: int) -> None:
    batches = shared(runs(schemes, epochs=1000), *(0.0,) * workers)
    times = seconds(batches)
    assert len(batches) >= 2
    assert max(times) <= 1.5 * sum(times) / len(times), "nobody waits long for the last"
    assert _end(times, (0.0,) * workers) <= WORTH * sum(seconds(shared(runs(schemes, epochs=1000), 0.0)))


@given(asked())
def test_arms_of_a_seed_train_together_so_that_a_stop_leaves_them_at_one_epoch(
    case: tuple[list[RunSpec], list[float], int],
) -> None:
    given_runs, free, _ = case
    batches = shared(given_runs, *free)
    where = {run.seed: number for number, batch in enumerate(batches) for run in batch}
    assert all(where[run.seed] == number for number, batch in enumerate(batches) for run in batch)


def test_one_seed_is_not_cut() -> None:
    assert len(shared(runs(seeds=1, epochs=1000), 0.0, 0.0)) == 1


def test_lanes_of_one_scheme_are_cut_between_seeds() -> None:
    arms = {f"lr {n}": {"scheme": "fixed", "settings": {"weights": {"price": n, "sold": 1.0}}} for n in range(1, 5)}
    spec = experiment(arms=arms, seeds=8, training={"epochs": 1000, "batch_size": 64, "hidden": [64, 64]})
    first, second = shared(list(spec.runs().values()), 0.0, 0.0)
    assert not {run.seed for run in first} & {run.seed for run in second}


def test_single_task_references_are_trained_for_each_seed_in_one_batch_only() -> None:
    spec = experiment(*MIXED, seeds=8, training={"epochs": 1000, "batch_size": 64}, selection={"scale": "single_task"})
    seeds = [{run.seed for run in batch} for batch in shared(list(spec.runs().values()), 0.0, 0.0)]
    assert len(seeds) == 2
    assert not seeds[0] & seeds[1]


def test_a_short_comparison_is_one_batch_however_many_could_train() -> None:
    assert len(shared(runs(("equal", "softplus"), epochs=1), *(0.0,) * 8)) == 1
    assert len(shared(runs(epochs=1000), *(0.0,) * 8, rows=1)) > 1
    assert len(shared(runs(("equal",), epochs=1), *(0.0,) * 8, rows=1)) == 1


def test_who_comes_too_late_is_not_waited_for() -> None:
    given_runs = runs(epochs=10)
    whole = sum(seconds(shared(given_runs, 0.0)))
    assert len(shared(given_runs, 0.0, 0.0)) == 2
    assert len(shared(given_runs, 0.0, whole)) == 1


def test_convolutions_are_shared_in_batches_as_small_as_before() -> None:
    conv = [
        run.model_copy(update={"training": run.training.model_copy(update={"trunk": "conv"})}) for run in runs(("equal", "mgda"))
    ]
    batches = shared(conv, 0.0, 0.0)
    assert all(len(batch) <= BY_AUTOGRAD for batch in batches)
    assert Counter(run.id for batch in batches for run in batch) == Counter(run.id for run in conv)


@given(asked())
def test_more_lanes_more_schemes_and_more_rows_take_longer(case: tuple[list[RunSpec], list[float], int]) -> None:
    given_runs, _, _ = case
    whole = batch_seconds(given_runs, FEATURES, ROWS)
    assert batch_seconds(given_runs[1:], FEATURES, ROWS) < whole < batch_seconds(given_runs, FEATURES, 2 * ROWS)
    assert whole < batch_seconds(given_runs[: len(given_runs) // 2 + 1], FEATURES, ROWS) + batch_seconds(
        given_runs[len(given_runs) // 2 + 1 :] or given_runs, FEATURES, ROWS
    )
