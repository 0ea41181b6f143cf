"""A worker may die at any moment. Run for every backend: see conftest."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import store_fakes as fakes
from store_fakes import LANES, Clock, begin, epoch, experiment, results, submit

from mtl_core.errors import LeaseLost
from mtl_core.store import Store, leases, processes
from mtl_core.store.sql import SqlStore


def test_a_silent_worker_is_replaced_and_can_write_nothing_more(store: Store, clock: Clock) -> None:
    found = submit(store, experiment())
    old = begin(store)
    store.queue.append(old, [epoch(1, LANES)], b"state after one")
    clock.now += leases.LEASE + 1
    new = begin(store)
    assert (new.batch, new.checkpoint) == (old.batch, b"state after one")
    before = store.comparison(found).history
    for write in (
        lambda: store.queue.append(old, [epoch(2, LANES)], b"x"),
        lambda: store.queue.finish(old, results(LANES)),
        lambda: store.queue.fail(old, "late"),
        lambda: store.queue.begin(old, (), {}),
        lambda: store.queue.heartbeat(old),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert np.array_equal(store.comparison(found).history, before)
    assert store.progress(found).state == "running"


def test_a_beating_worker_keeps_its_batch(store: Store, clock: Clock) -> None:
    submit(store, experiment())
    claim = begin(store)
    for _ in range(4):
        clock.now += leases.LEASE / 2
        assert store.queue.heartbeat(claim) is False
    assert store.queue.claim("other") is None


def test_a_process_that_died_here_is_replaced_at_once(store: Store) -> None:
    found = submit(store, experiment())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        worker = store.workers.register("process", state="training")
        fakes.pretend(store, worker, pid=child.pid, birth=processes.birth(child.pid))
        begin(store, worker)
        assert store.queue.claim("other") is None
        child.kill()
        child.wait()
        assert "was lost" in store.progress(found).sentence
        assert [one.id for one in store.workers.live()] == []
        assert store.queue.claim("other") is not None


def test_a_pid_that_is_used_again_is_not_the_worker(store: Store) -> None:
    submit(store, experiment())
    worker = store.workers.register("process", state="training")
    fakes.pretend(store, worker, birth="another time")
    begin(store, worker)
    assert store.queue.claim("other") is not None


def test_epochs_trained_again_do_not_turn_progress_back(store: Store, clock: Clock) -> None:
    found = submit(store, experiment())
    claim = begin(store)
    store.queue.append(claim, [epoch(1, LANES)], b"after one")
    store.queue.append(claim, [epoch(2, LANES), epoch(3, LANES)])
    clock.now += leases.LEASE + 1
    again = begin(store)
    assert again.checkpoint == b"after one"
    store.queue.append(again, [epoch(2, LANES)])
    assert store.progress(found).epoch == 3
    assert len(store.comparison(found).history) == 3


def test_a_batch_that_kills_its_workers_is_given_up_with_a_sentence(store: Store, clock: Clock) -> None:
    found = submit(store, experiment())
    for _ in range(leases.MAX_ATTEMPTS):
        begin(store)
        clock.now += leases.LEASE + 1
    assert store.queue.claim("other") is None
    progress = store.progress(found)
    assert progress.state == "failed"
    assert "without finishing another epoch" in progress.sentence


def test_a_damaged_chunk_is_a_gap_and_a_damaged_checkpoint_starts_anew(store: Store, clock: Clock) -> None:
    assert isinstance(store, SqlStore)
    from mtl_core.store.schema import checkpoints, chunks

    found = submit(store, experiment())
    claim = begin(store)
    store.queue.append(claim, [epoch(1, LANES), epoch(2, LANES)], b"state")
    with store._database.write() as connection:
        connection.execute(chunks.update().where(chunks.c.epoch == 1).values(data=b"\0" * 4 * LANES * len(fakes.CHANNELS)))
        connection.execute(checkpoints.update().values(data=b"stale"))
    history = store.comparison(found).history
    assert np.isnan(history[0]).all()
    assert np.isfinite(history[1]).all()
    clock.now += leases.LEASE + 1
    assert begin(store).checkpoint is None
