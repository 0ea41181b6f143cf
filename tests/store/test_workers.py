"""Which processes there are, and what they see of each other. Run for every backend: see conftest."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import store_fakes as fakes
from store_fakes import LANES, Clock, begin, experiment, submit, train

from mtl_core.store import Store


def test_two_apps_never_reserve_for_the_same_need(store: Store) -> None:
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.extend(store.workers.reserve(2))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 2
    assert [one.state for one in store.workers.live()] == ["starting"] * 2


def test_a_reserved_worker_that_never_comes_is_reserved_again(store: Store, clock: Clock) -> None:
    first = store.workers.reserve(1)
    clock.now += 61
    second = store.workers.reserve(1)
    assert len(second) == 1
    assert second != first
    assert store.workers.register("process", second[0]) == second[0]
    store.workers.beat(second[0], "idle", "cpu")
    assert [(one.id, one.state, one.device, one.pid) for one in store.workers.live()] == [(second[0], "idle", "cpu", os.getpid())]
    store.workers.retire(second[0])
    assert store.workers.live() == []


def test_a_worker_that_crashes_while_it_starts_is_not_tried_again_at_once(store: Store, clock: Clock) -> None:
    (name,) = store.workers.reserve(1)
    store.workers.register("process", name)
    fakes.pretend(store, name, birth="of a process that ended")
    assert store.workers.reserve(1) == []
    clock.now += 61
    assert len(store.workers.reserve(1)) == 1
    assert name not in {one.id for one in store.workers.live()}


def test_a_worker_that_was_forgotten_while_it_slept_comes_back(store: Store) -> None:
    worker = store.workers.register("process")
    store.workers.retire(worker)
    store.workers.beat(worker, "idle")
    assert [(one.id, one.state) for one in store.workers.live()] == [(worker, "idle")]


def test_the_sentence_of_a_queued_experiment_says_what_it_waits_for(store: Store, clock: Clock) -> None:
    first = submit(store, experiment(epochs=3))
    store.workers.reserve(1)
    assert "warming up" in store.progress(first).sentence
    clock.now += 1
    second = submit(store, experiment(epochs=4))
    assert store.progress(second).sentence == "Queued behind 1 other batch."


def test_a_store_is_read_by_another_process_as_it_is_written(store: Store, url: str) -> None:
    found = submit(store, experiment())
    train(store)
    code = f"from mtl_core.store import open_store; print(open_store({url!r}).comparison({found!r}).history.sum())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert float(told.stdout) == pytest.approx(store.comparison(found).history.sum())


def test_nan_is_a_value_in_a_chunk_and_not_null_in_a_column(store: Store, url: str) -> None:
    if not url.startswith("sqlite"):
        pytest.skip("looks into the SQLite file")
    submit(store, experiment())
    claim = begin(store)
    store.queue.append(claim, [fakes.Epoch(1, np.full((LANES, 2), np.nan), ("running",) * LANES)])
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    (blob,) = connection.execute("SELECT data FROM chunks").fetchone()
    connection.close()
    assert np.isnan(np.frombuffer(blob, dtype="<f4")).all()
