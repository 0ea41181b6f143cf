"""What is kept and queued. Run for every backend: see conftest."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from store_fakes import LANES, begin, experiment, submit, train

from mtl_core.errors import UserError
from mtl_core.store import Store, submission
from mtl_core.store.sql import SqlStore


def test_the_same_bytes_are_kept_once_under_their_first_name(store: Store) -> None:
    fingerprint = store.put_table("a.csv", b"x,y\n1,2\n")
    assert store.put_table("b.csv", b"x,y\n1,2\n") == fingerprint
    assert [(row.name, row.size) for row in store.tables()] == [("a.csv", 8)]
    assert store.get_table(fingerprint) == ("a.csv", b"x,y\n1,2\n")


def test_an_unknown_table_and_an_unknown_comparison_are_a_sentence_each(store: Store) -> None:
    with pytest.raises(UserError, match="is not in this store"):
        store.get_table("0" * 16)
    for ask in (store.progress, store.comparison, store.stop, store.delete, store.pin):
        with pytest.raises(UserError, match="There is no comparison"):
            ask("nothing")


def test_a_new_experiment_waits_for_a_worker(store: Store) -> None:
    progress = store.progress(submit(store, experiment()))
    assert (progress.state, progress.runs_done, progress.runs_total, progress.epoch) == ("queued", 0, LANES, 0)
    assert progress.active
    assert "waiting for a worker" in progress.sentence


def test_a_resubmitted_experiment_is_the_same_row_and_queues_nothing(store: Store) -> None:
    first = submit(store, experiment())
    assert submit(store, experiment(name="renamed")) == first
    assert [row.name for row in store.experiments()] == ["renamed"]
    begin(store)
    assert submit(store, experiment()) == first
    assert store.queue.claim("other") is None


def test_what_is_stored_is_reused_and_said_to_be(store: Store) -> None:
    found = submit(store, experiment())
    train(store)
    assert store.progress(found).reused == 0
    submit(store, experiment())
    progress = store.progress(found)
    assert (progress.state, progress.reused) == ("done", LANES)
    assert progress.sentence == "Done: every run was there already."


def test_changing_one_arm_trains_one_arm(store: Store) -> None:
    submit(store, experiment("equal", "softplus"))
    train(store)
    changed = submit(store, experiment("equal", "dwa"))
    claim = begin(store)
    assert {run.arm.scheme for run in claim.runs} == {"dwa"}
    progress = store.progress(changed)
    assert (progress.reused, progress.runs_done, progress.runs_total) == (2, 2, 4)


def test_runs_that_another_experiment_trains_are_not_queued_again(store: Store) -> None:
    submit(store, experiment("equal"))
    begin(store)
    both = submit(store, experiment("equal", "softplus"))
    assert {run.arm.scheme for run in begin(store).runs} == {"softplus"}
    assert store.queue.claim("other") is None
    assert store.progress(both).state == "running"


def test_two_names_for_the_same_arm_share_their_runs(store: Store) -> None:
    spec = experiment(arms={"a": {"scheme": "equal"}, "b": {"scheme": "equal"}})
    found = submit(store, spec)
    assert len(train(store).runs) == 2
    comparison = store.comparison(found)
    assert [(run.arm, run.seed) for run in comparison.runs] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert np.array_equal(comparison.history[:, :2], comparison.history[:, 2:])


def test_a_full_queue_refuses_with_a_sentence_and_keeps_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "MAX_QUEUED", 1)
    submit(store, experiment(seeds=1))
    with pytest.raises(UserError, match="queue is full"):
        submit(store, experiment(seeds=2, epochs=9))
    assert len(store.experiments()) == 1


def test_two_submitting_at_once_queue_every_run_once(store: Store, url: str) -> None:
    together = threading.Barrier(4)

    def send() -> None:
        own = SqlStore(url)
        together.wait()
        submit(own, experiment())
        own.close()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begin(store).runs) == LANES
    assert store.queue.claim("other") is None


def test_every_batch_is_claimed_once_by_many_claiming_at_once(store: Store) -> None:
    for epochs in range(1, 13):
        submit(store, experiment(epochs=epochs))
    claimed: list[int] = []

    def take(worker: str) -> None:
        while (claim := store.queue.claim(worker)) is not None:
            claimed.append(claim.batch)

    threads = [threading.Thread(target=take, args=(store.workers.register("inline"),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == list(range(1, 13))
