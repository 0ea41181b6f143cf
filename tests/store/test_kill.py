"""Workers killed with SIGKILL at moments nobody chose: nothing shown is lost, and the end is the same bit for bit."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_fakes import experiment, submit, trainer

from mtl_core import runner
from mtl_core.records import Comparison
from mtl_core.runner import Trainer, journal
from mtl_core.runner.trainer import real
from mtl_core.specs import parse_experiment
from mtl_core.store import Store
from mtl_core.store.sql import SqlStore

DEADLINE = 60.0
forked = multiprocessing.get_context("fork")  # a child in milliseconds, torch included


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = SqlStore(url)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "COMMIT_SECONDS", 0.0)
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", 0.02)
    monkeypatch.setattr(journal, "CHECKPOINT_SHARE", 1.0)


def _work(url: str, how: Trainer) -> None:
    store = SqlStore(url)
    with how.threads():
        runner.work(store, store.workers.register("process"), once=True, trainer=how)
    os._exit(0)  # nothing of the test process is run down here


def until(holds: Callable[[], bool], child: Any) -> None:
    """Wait, reading the store, until something holds or the child has ended."""
    deadline = time.monotonic() + DEADLINE
    while child.is_alive() and not holds():
        child.join(0.002)
        assert time.monotonic() < deadline


def kill_often(store: Store, found: str, how: Trainer, targets: list[int]) -> None:
    """Kill a worker each time the store shows as many epochs, and check that what was shown stays."""
    shown = store.comparison(found).history
    for target in targets:
        child = forked.Process(target=_work, args=(store.url, how))
        child.start()
        until(lambda least=target: store.progress(found).epoch >= least, child)
        shown_then = store.comparison(found).history
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        child.close()
        assert np.array_equal(shown_then[: len(shown)], shown, equal_nan=True)
        now = SqlStore(store.url)  # as after a restart: with an empty cache
        assert np.array_equal(now.comparison(found).history[: len(shown_then)], shown_then, equal_nan=True)
        now.close()
        shown = shown_then


def finish(store: Store, found: str, how: Trainer) -> Comparison:
    runner.work(store, store.workers.register("process"), once=True, trainer=how)
    assert store.progress(found).state == "done"
    return store.comparison(found)


def test_a_worker_killed_again_and_again_ends_where_an_undisturbed_one_does(store: Store, tmp_path: Path) -> None:
    spec = experiment(epochs=120)
    found = submit(store, spec)
    targets = sorted(random.sample(range(1, 115), 6))
    kill_often(store, found, trainer(), targets)
    disturbed = finish(store, found, trainer())
    calm = SqlStore(str(tmp_path / "calm.sqlite"))
    undisturbed = finish(calm, submit(calm, spec), trainer())
    calm.close()
    assert np.array_equal(disturbed.history, undisturbed.history), targets
    assert [run.result for run in disturbed.runs] == [run.result for run in undisturbed.runs]


def test_two_workers_and_a_killer_train_every_batch_once(store: Store) -> None:
    ids = [submit(store, experiment(epochs=epochs)) for epochs in (60, 61, 62, 63)]
    for _ in range(3):
        children = [forked.Process(target=_work, args=(store.url, trainer())) for _ in range(2)]
        for child in children:
            child.start()
        until(lambda: sum(store.progress(one).epoch for one in ids) > random.randrange(40, 200), children[0])
        for child in children:
            os.kill(child.pid or 0, signal.SIGKILL)
            child.join()
            child.close()
    runner.work(store, store.workers.register("process"), once=True, trainer=trainer())
    for one, epochs in zip(ids, (60, 61, 62, 63), strict=True):
        comparison = store.comparison(one)
        assert np.isfinite(comparison.history).all()
        assert len(comparison.history) == epochs
        assert {run.status for run in comparison.runs} == {"done"}


def test_the_engine_killed_goes_on_bit_for_bit(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    how = real()
    arms = {"learned": {"scheme": "softplus", "gate": {}}, "fixed": {"scheme": "equal"}}
    training = {"epochs": 12, "hidden": [8], "batch_size": 256}
    data = {"scenario": "noise_and_scale"}
    spec = parse_experiment({"data": data, "arms": arms, "seeds": 2, "training": training})
    found = runner.submit(store, spec)
    kill_often(store, found, how, [1, 5, 9])
    disturbed = finish(store, found, how)
    calm = SqlStore(str(tmp_path / "calm.sqlite"))
    undisturbed = finish(calm, runner.submit(calm, spec), how)
    calm.close()
    assert np.array_equal(disturbed.history, undisturbed.history, equal_nan=True)
    assert [run.result for run in disturbed.runs] == [run.result for run in undisturbed.runs]
