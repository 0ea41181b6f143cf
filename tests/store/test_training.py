"""What workers write is what pages read. Run for every backend: see conftest."""

from __future__ import annotations

import numpy as np
import pytest
import store_fakes as fakes
from store_fakes import EPOCHS, LANES, Clock, begin, epoch, experiment, results, submit, train

from mtl_core.own import _KNOWN
from mtl_core.problem import problem_info
from mtl_core.store import Store
from mtl_core.store.sql import SqlStore


def test_the_batch_that_waits_longest_is_served_first(store: Store, clock: Clock) -> None:
    for epochs in (3, 1, 2):
        clock.now += 1
        submit(store, experiment(epochs=epochs))
    assert [begin(store).runs[0].training.epochs for _ in range(3)] == [3, 1, 2]


def test_a_claim_can_be_limited_to_one_experiment(store: Store) -> None:
    submit(store, experiment(epochs=3))
    second = submit(store, experiment(epochs=5))
    worker = store.workers.register("inline")
    claim = store.queue.claim(worker, second)
    assert claim is not None
    assert claim.runs[0].training.epochs == 5
    assert store.queue.claim(worker, second) is None


def test_runs_on_a_module_of_somebodys_own_wait_for_the_process_that_has_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = experiment()
    own = plain.model_copy(update={"training": plain.training.model_copy(update={"trunk": "module", "module": "Mine-0123"})})
    submit(store, own)
    worker = store.workers.register("inline")
    assert store.queue.claim(worker) is None
    submit(store, plain)
    claim = store.queue.claim(worker)
    assert claim is not None
    assert claim.runs[0].training.module is None
    monkeypatch.setitem(_KNOWN, "Mine-0123", None)
    claim = store.queue.claim(worker)
    assert claim is not None
    assert claim.runs[0].training.module == "Mine-0123"


def test_a_history_is_read_back_to_float32_with_nan_and_infinity(store: Store) -> None:
    found = submit(store, experiment())
    claim = begin(store)
    values = np.random.default_rng(0).normal(size=(LANES, len(fakes.CHANNELS)))
    values[0, 0], values[1, 1], values[2, 2], values[3] = np.nan, np.inf, 1e300, np.nan
    store.queue.append(claim, [fakes.Epoch(1, values, ("running",) * LANES)])
    comparison = store.comparison(found)
    with np.errstate(over="ignore"):
        assert np.array_equal(comparison.history[0], values.astype(np.float32), equal_nan=True)
    assert [run.epoch for run in comparison.runs] == [1, 1, 1, 0]
    assert comparison.channels == fakes.CHANNELS
    assert comparison.versions == {"python": "3"}


def test_a_comparison_keeps_the_order_of_its_own_arms_across_batches(store: Store) -> None:
    submit(store, experiment("softplus"))
    train(store)
    found = submit(store, experiment("equal", "softplus", "dwa", baseline="equal"))
    train(store, epochs=3)
    comparison = store.comparison(found)
    assert [run.arm for run in comparison.runs] == ["equal"] * 2 + ["softplus"] * 2 + ["dwa"] * 2
    assert comparison.history.shape == (EPOCHS, 6, len(fakes.CHANNELS))
    assert [run.epoch for run in comparison.runs] == [3, 3, 6, 6, 3, 3]
    expected = [epoch(1, 4).values[lane] for lane in (0, 1)]
    assert np.allclose(comparison.history[0, 2:4], expected)


def test_reading_again_adds_what_is_new(store: Store) -> None:
    found = submit(store, experiment())
    claim = begin(store)
    store.queue.append(claim, [epoch(1, LANES), epoch(2, LANES)])
    assert len(store.comparison(found).history) == 2
    store.queue.append(claim, [epoch(3, LANES)])
    whole = store.comparison(found).history
    assert np.array_equal(store.comparison(found, since_epoch=2).history, whole[2:])
    assert np.allclose(whole, [epoch(n, LANES).values for n in (1, 2, 3)])


def test_a_history_that_somebody_holds_neither_changes_nor_can_be_changed(store: Store) -> None:
    found = submit(store, experiment())
    claim = begin(store)
    store.queue.append(claim, [epoch(1, LANES)])
    held = store.comparison(found).history
    seen = held.copy()
    for number in (2, 3, 4, 5):
        store.queue.append(claim, [epoch(number, LANES)])
        assert np.array_equal(store.comparison(found).history[:1], seen)
    assert np.array_equal(held, seen)
    with pytest.raises(ValueError, match="read-only"):
        held[0, 0, 0] = 1.0


def test_a_history_read_epoch_by_epoch_is_the_one_read_at_once(store: Store) -> None:
    found = submit(store, experiment())
    claim = begin(store)
    for number in (1, 2, 4, 5, 6):  # one is missing
        store.queue.append(claim, [epoch(number, LANES)])
        grown = store.comparison(found)
    fresh = SqlStore(store.url)
    at_once = fresh.comparison(found)
    fresh.close()
    assert np.array_equal(grown.history, at_once.history, equal_nan=True)
    assert np.isnan(grown.history[2]).all()
    assert grown.runs == at_once.runs


def test_lanes_that_ended_are_seen_while_the_others_go_on(store: Store) -> None:
    found = submit(store, experiment())
    claim = begin(store)
    store.queue.append(claim, [epoch(1, LANES)._replace(statuses=("running", "diverged", "done", "running"))])
    assert [run.status for run in store.comparison(found).runs] == ["running", "diverged", "done", "running"]
    assert store.progress(found).runs_done == 2
    assert store.progress(found).state == "running"


def test_results_come_back_as_they_were_written(store: Store) -> None:
    found = submit(store, experiment())
    claim = begin(store)
    wanted = [*results(LANES - 1), results(1, "diverged")[0]]
    store.queue.finish(claim, wanted)
    assert [run.result for run in store.comparison(found).runs] == wanted
    assert store.progress(found).state == "done"


def test_baselines_are_added_to_every_experiment_on_the_problem(store: Store) -> None:
    first, second = submit(store, experiment("equal")), submit(store, experiment("dwa"))
    claim = begin(store)
    assert not claim.complete
    store.put_info(claim.problem, problem_info(fakes.problem(), {"test": {"price": {"loss": 1.0}}}))
    assert store.comparison(first).problem.baselines == store.comparison(second).problem.baselines != {}
    assert begin(store).complete
    submit(store, experiment("equal"))
    assert store.comparison(first).problem.baselines, "submitting again forgets nothing"


def test_a_history_is_read_by_the_names_of_its_channels(store: Store) -> None:
    found = submit(store, experiment())
    claim = store.queue.claim(store.workers.register("inline"))
    assert claim is not None
    recorded = fakes.CHANNELS[:0:-1]  # another order, and without the first
    store.queue.begin(claim, recorded, {})
    values = epoch(1, LANES).values[:, 1:]
    store.queue.append(claim, [fakes.Epoch(1, values, ("running",) * LANES)])
    comparison = store.comparison(found)
    assert np.allclose(comparison.column(*recorded[0]), values[:, 0])
    assert np.allclose(comparison.column(*recorded[-1]), values[:, -1])
    assert np.isnan(comparison.column(*fakes.CHANNELS[0])).all()
