"""Stopping, failing, listing and deleting. Run for every backend: see conftest."""

from __future__ import annotations

import pytest
from store_fakes import EPOCHS, LANES, Clock, begin, epoch, experiment, results, submit, train

from mtl_core.errors import LeaseLost
from mtl_core.store import Store, leases
from mtl_core.store.sql import SqlStore


def test_a_queued_experiment_stops_at_once(store: Store) -> None:
    found = submit(store, experiment())
    store.stop(found)
    assert store.progress(found).state == "stopped"
    assert store.queue.claim("w") is None


def test_a_training_experiment_is_asked_to_stop_and_keeps_its_history(store: Store) -> None:
    found = submit(store, experiment())
    claim = begin(store)
    store.queue.append(claim, [epoch(1, LANES)], b"after one")
    store.stop(found)
    assert store.progress(found).state == "stopping"
    assert store.queue.heartbeat(claim) is True
    store.queue.finish(claim, results(LANES, "stopped", 1))
    progress = store.progress(found)
    assert (progress.state, progress.sentence) == ("stopped", f"Stopped after epoch 1 of {EPOCHS}.")
    comparison = store.comparison(found)
    assert comparison.history.shape[0] == 1
    assert {run.status for run in comparison.runs} == {"stopped"}
    assert comparison.runs[0].result == results(1, "stopped", 1)[0]


def test_submitting_again_goes_on_from_where_it_stopped(store: Store) -> None:
    found = submit(store, experiment())
    claim = begin(store)
    store.queue.append(claim, [epoch(1, LANES)], b"after one")
    store.stop(found)
    store.queue.finish(claim, results(LANES, "stopped", 1))
    assert submit(store, experiment()) == found
    assert store.progress(found).epoch == 1
    again = begin(store)
    assert (again.batch, again.checkpoint) == (claim.batch, b"after one")
    store.queue.append(again, [epoch(2, LANES)])
    assert len(store.comparison(found).history) == 2


def test_submitting_again_while_it_stops_lets_it_go_on(store: Store) -> None:
    found = submit(store, experiment())
    claim = begin(store)
    store.stop(found)
    assert store.queue.heartbeat(claim) is True
    submit(store, experiment())
    store.queue.append(claim, [epoch(1, LANES)], b"after one")
    store.queue.finish(claim, results(LANES, "stopped", 1))
    assert store.progress(found).state == "queued"
    assert begin(store).checkpoint == b"after one"


def test_a_batch_whose_worker_died_while_stopping_is_stopped(store: Store, clock: Clock) -> None:
    found = submit(store, experiment())
    begin(store)
    store.stop(found)
    clock.now += leases.LEASE + 1
    assert store.progress(found).state == "stopped"
    assert store.queue.claim("other") is None
    assert {run.status for run in store.comparison(found).runs} == {"stopped"}


def test_what_another_experiment_wants_is_not_stopped(store: Store) -> None:
    first = submit(store, experiment("equal", "softplus"))
    claim = begin(store)
    second = submit(store, experiment("equal"))
    store.stop(first)
    assert store.queue.heartbeat(claim) is False
    assert store.progress(first).state == "stopped"
    assert "another comparison wants them" in store.progress(first).sentence
    assert store.progress(second).state == "running"
    store.stop(second)
    assert store.queue.heartbeat(claim) is True


def test_stopped_runs_wanted_in_part_start_anew_beside_new_ones(store: Store) -> None:
    first = submit(store, experiment("equal", "softplus"))
    claim = begin(store)
    store.queue.append(claim, [epoch(1, LANES)], b"of four lanes")
    store.stop(first)
    store.queue.finish(claim, results(LANES, "stopped", 1))
    submit(store, experiment("equal", "dwa"))
    again = begin(store)
    assert again.checkpoint is None
    assert {run.arm.scheme for run in again.runs} == {"equal", "dwa"}
    submit(store, experiment("equal", "softplus"))
    assert {run.arm.scheme for run in begin(store).runs} == {"softplus"}


def test_a_failed_batch_carries_its_sentence_and_is_tried_again_on_request(store: Store) -> None:
    found = submit(store, experiment())
    claim = begin(store)
    store.queue.append(claim, [epoch(1, LANES)])
    store.queue.fail(claim, "There was no memory.")
    progress = store.progress(found)
    assert (progress.state, progress.sentence) == ("failed", f"{LANES} runs failed. There was no memory.")
    assert {run.result.sentence for run in store.comparison(found).runs if run.result} == {"There was no memory."}
    assert store.queue.claim("w") is None
    submit(store, experiment())
    assert store.progress(found).state == "queued"
    train(store)
    assert store.progress(found).state == "done"


def test_pinned_experiments_come_first_then_the_newest(store: Store, clock: Clock) -> None:
    ids = []
    for epochs in (1, 2, 3):
        clock.now += 1
        ids.append(submit(store, experiment(epochs=epochs)))
    store.pin(ids[0])
    store.annotate(ids[1], "look at this")
    rows = store.experiments()
    assert [row.id for row in rows] == [ids[0], ids[2], ids[1]]
    assert rows[0].pinned
    assert rows[2].note == "look at this"
    assert (rows[0].arms, rows[0].baseline, rows[0].seeds, rows[0].problem) == (("equal", "softplus"), "equal", 2, "tiny")
    store.pin(ids[0], pinned=False)
    assert [row.id for row in store.experiments()] == ids[::-1]


def test_deleting_forgets_the_runs_that_no_other_experiment_has(store: Store) -> None:
    first = submit(store, experiment("equal", "softplus"))
    train(store)
    second = submit(store, experiment("equal"))
    store.delete(first)
    assert [row.id for row in store.experiments()] == [second]
    assert store.progress(second).state == "done"
    assert len(store.comparison(second).history) == EPOCHS
    submit(store, experiment("equal", "softplus"))
    assert {run.arm.scheme for run in begin(store).runs} == {"softplus"}


def test_deleting_the_last_experiment_leaves_nothing(store: Store) -> None:
    assert isinstance(store, SqlStore)
    from mtl_core.store.schema import metadata

    found = submit(store, experiment())
    claim = begin(store)
    store.queue.append(claim, [epoch(1, LANES)], b"state")
    store.delete(found)
    with store._database.read() as connection:
        left = {table.name for table in metadata.sorted_tables if connection.execute(table.select()).first()}
    assert left == {"workers"}
    with pytest.raises(LeaseLost):
        store.queue.append(claim, [epoch(2, LANES)])
