"""Which runs train together."""

from __future__ import annotations

from store_fakes import experiment

from mtl_core import plan as planning
from mtl_core.plan import plan


def test_arms_and_seeds_of_one_experiment_are_one_batch() -> None:
    runs = list(experiment("equal", "softplus", "dwa", seeds=8).runs().values())
    assert [len(batch) for batch in plan(runs)] == [24]


def test_runs_of_different_shape_are_different_batches() -> None:
    small, large = experiment(training={"hidden": [8]}), experiment(training={"hidden": [16]})
    longer = experiment(epochs=9)
    runs = [run for spec in (small, large, longer) for run in spec.runs().values()]
    assert [len(batch) for batch in plan(runs)] == [4, 4, 4]


def test_learning_rates_may_differ_within_a_batch() -> None:
    runs = [run for lr in (0.1, 0.2) for run in experiment(training={"lr": lr}).runs().values()]
    assert [len(batch) for batch in plan(runs)] == [8]


def test_the_same_run_is_planned_once() -> None:
    runs = list(experiment().runs().values())
    assert [len(batch) for batch in plan([*runs, *runs])] == [4]


def test_a_large_batch_is_split_evenly_with_the_arms_of_a_seed_together() -> None:
    runs = list(experiment("equal", "softplus", "dwa", seeds=10).runs().values())
    batches = plan(runs, max_lanes=16)
    assert [len(batch) for batch in batches] == [15, 15]
    assert {run.seed for run in batches[0]} == {0, 1, 2, 3, 4}
    assert sorted(run.id for batch in batches for run in batch) == sorted(run.id for run in runs)


def test_large_models_train_fewer_at_a_time() -> None:
    runs = list(experiment(seeds=8, training={"hidden": [2048, 2048]}).runs().values())
    batches = plan(runs, features=100)
    assert all(len(batch) * 2048 * 2048 <= planning.MAX_PARAMETERS for batch in batches)
    assert sum(map(len, batches)) == 16


def test_convolutions_train_in_small_batches_that_several_workers_can_share() -> None:
    runs = experiment("equal", "softplus", seeds=8).runs().values()
    conv = [run.model_copy(update={"training": run.training.model_copy(update={"trunk": "conv"})}) for run in runs]
    assert [len(batch) for batch in plan(conv)] == [4, 4, 4, 4]
