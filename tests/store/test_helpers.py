"""Helpers of a training in the calling process: called when batches wait, gone when nobody needs them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import store_fakes as fakes
from store_fakes import Clock, FakeTraining, begin, experiment, submit, trainer

from mtl_core import runner
from mtl_core.errors import SpecError
from mtl_core.plan import plan
from mtl_core.problem import problem_info
from mtl_core.runner import helpers
from mtl_core.runner.helpers import READY, Helpers, crew
from mtl_core.runner.starting import start_worker
from mtl_core.specs import parse_experiment
from mtl_core.store import Store
from mtl_core.store.sql import SqlStore

FAKE = [sys.executable, str(Path(__file__).with_name("fake_worker.py"))]


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """With the real clock."""
    opened = SqlStore(url)
    yield opened
    opened.close()


def two_batches(store: Store, epochs: int = 5) -> str:
    spec = experiment(epochs=epochs)
    return store.submit(spec, problem_info(fakes.problem()), plan(spec.runs().values(), max_lanes=2))


def test_the_crew_is_the_caller_the_workers_that_are_there_and_helpers_up_to_what_is_wanted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = experiment()
    monkeypatch.setenv("MTL_WORKERS", "3")
    assert crew(store, spec, "cpu") == (0.0, READY, READY)
    store.workers.register("process", state="idle")
    assert crew(store, spec, "cpu") == (0.0, 0.0, READY)
    monkeypatch.setenv("MTL_WORKERS", "0")
    assert crew(store, spec, "cpu") == (0.0, 0.0)


def test_a_single_accelerator_and_a_module_of_ones_own_are_not_shared(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_WORKERS", "3")
    worker = store.workers.register("process", state="idle")
    own = experiment().model_copy(update={"training": experiment().training.model_copy(update={"trunk": "module"})})
    assert crew(store, own, "cpu") == (0.0,)
    assert crew(store, experiment(), "cuda") == (0.0,)
    assert runner.submitting.sharing(store, experiment()) == 1
    store.workers.beat(worker, "idle", "cuda")
    assert runner.submitting.sharing(store, experiment()) == 0
    assert runner.submitting.sharing(store, experiment(device="cpu")) == 1
    assert runner.submitting.sharing(store, experiment(device="cuda")) == 0


def test_the_queue_tells_what_waits_and_what_is_held(store: Store) -> None:
    found = two_batches(store)
    submit(store, experiment(epochs=9))
    assert (store.queue.load(found), store.queue.load()) == ((2, 0), (3, 0))
    begin(store)
    assert (store.queue.load(found), store.queue.load()) == ((1, 1), (2, 1))


def test_a_batch_whose_holder_has_died_waits_again(store: Store) -> None:
    found = two_batches(store)
    worker = store.workers.register("process")
    assert store.queue.claim(worker) is not None
    assert store.queue.load(found) == (1, 1)
    store.workers.retire(worker)
    assert store.queue.load(found) == (2, 0)


def test_a_helper_trains_what_waits_and_leaves(store: Store) -> None:
    found, clock = two_batches(store), Clock()
    other = submit(store, experiment(epochs=9))
    begin(store)
    helping = Helpers(store, found, 3, FAKE, clock)
    helping.look()
    assert not helping.processes, "nobody has waited yet"
    clock.now += helpers.PATIENCE
    helping.look()
    helping.look()
    assert len(helping.processes) == 1, "one for each batch that waits"
    assert [one.wait(60) for one in helping.processes.values()] == [0]
    assert store.queue.load(found) == (0, 1)
    assert store.progress(other).state == "queued", "another experiment is not its business"
    helping.end()
    assert [one.kind for one in store.workers.live()] == ["inline"], "the one that holds the first batch"


def test_a_helper_is_told_to_end_and_gives_back_what_it_trains(store: Store) -> None:
    found, clock = two_batches(store, epochs=100_000), Clock()
    begin(store)
    helping = Helpers(store, found, 1, [*FAKE, "--pace"], clock)
    clock.now += helpers.PATIENCE
    helping.look()
    waiting, deadline = threading.Event(), time.monotonic() + 60
    while store.queue.load(found) != (0, 2):
        assert time.monotonic() < deadline
        waiting.wait(0.02)
    helping.end()
    assert store.queue.load(found) == (1, 1)


def test_where_nothing_waits_nobody_is_called(store: Store) -> None:
    clock = Clock()
    found = submit(store, experiment())
    begin(store)
    helping = Helpers(store, found, 1, FAKE, clock)
    clock.now += helpers.PATIENCE
    helping.look()
    helping.end()
    assert not helping.processes


def test_a_helper_that_cannot_be_started_leaves_the_work_to_the_caller(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    found = two_batches(store)
    helping = Helpers(store, found, 1, ["/no/such/program"], clock)
    clock.now += helpers.PATIENCE
    helping.look()
    helping.end()
    assert "one process trains" in caplog.text


def test_results_are_the_same_with_helpers_and_without(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_WORKERS", "2")
    monkeypatch.setattr(helpers, "PATIENCE", 0.0)
    monkeypatch.setattr(helpers, "start_worker", lambda store, name, _, *more: start_worker(store, name, FAKE, *more))
    monkeypatch.setattr(runner.submitting, "plan", lambda runs, **_: plan(runs, max_lanes=2))
    asked = parse_experiment(
        {"data": {"scenario": "noise_and_scale"}, "arms": {"a": {"scheme": "equal"}, "b": {"scheme": "dwa"}}, "seeds": 4}
    )
    shared, alone = SqlStore(url), SqlStore(str(tmp_path / "alone.sqlite"))

    class Helped(FakeTraining):
        """Begins when a helper has taken the second of four batches."""

        def __iter__(self) -> Iterator[Any]:
            deadline = time.monotonic() + 60
            while shared.queue.load()[0] > 2:
                assert time.monotonic() < deadline
                yield None
            yield from super().__iter__()

    helped = runner.run(asked, shared, trainer=trainer(Helped))
    monkeypatch.setenv("MTL_WORKERS", "0")
    by_itself = runner.run(asked, alone, trainer=trainer())
    assert np.array_equal(helped.history, by_itself.history)
    assert [run.status for run in helped.runs] == ["done"] * 8
    assert shared.workers.live() == []
    shared.close()
    alone.close()


def test_a_wrong_number_of_threads_is_told_before_anything_is_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_THREADS", "all")
    asked = parse_experiment({"data": {"scenario": "noise_and_scale"}, "arms": {"a": {"scheme": "equal"}}, "seeds": 1})
    with pytest.raises(SpecError, match="MTL_THREADS"):
        runner.run(asked, store, trainer=trainer())
    assert store.experiments() == []
