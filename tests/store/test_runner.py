"""From an experiment to its records, with a training that costs nothing."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import store_fakes as fakes
from store_fakes import EPOCHS, LANES, FakeTraining, begin, experiment, submit, trainer

from mtl_core import runner
from mtl_core.errors import DeviceError, SpecError, TableError
from mtl_core.records import RunResult
from mtl_core.runner import attending, here
from mtl_core.runner.trainer import real, remembering
from mtl_core.specs import ExperimentSpec, parse_experiment
from mtl_core.store import Store
from mtl_core.store.sql import SqlStore

TABLE = "x,z,y\n" + "\n".join(f"{i},{i % 7},{i * 2 + i % 3}" for i in range(60)) + "\n"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """With the real clock."""
    opened = SqlStore(url)
    yield opened
    opened.close()


def asked(**more: Any) -> ExperimentSpec:
    """As a person writes it: a scenario, and nothing resolved."""
    arms = {"learned": {"scheme": "softplus"}, "fixed": {"scheme": "equal"}}
    return parse_experiment(
        {"data": {"scenario": "noise_and_scale"}, "arms": arms, "seeds": 2, "training": {"epochs": EPOCHS}, **more}
    )


# --- submitting ------------------------------------------------------------------------------------------------------


def test_an_experiment_is_stored_with_everything_spelled_out(store: Store) -> None:
    found = runner.submit(store, asked())
    spec = store.comparison(found).spec
    assert spec.id == found
    assert spec.data.knobs
    assert spec.training.lr is not None
    assert runner.submit(store, spec) == found, "submitting what is stored changes nothing"


def test_a_table_is_stored_with_its_experiment_and_read_from_there(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(TABLE)
    found = runner.submit(store, asked(data={"file": str(path), "targets": {"y": "regression"}}))
    path.unlink()
    assert [row.name for row in store.tables()] == ["mine.csv"]
    claim = begin(store)
    assert {run.data.file for run in claim.runs} == {None}
    problem = real().load(claim.runs[0].data, store.get_table)
    assert [task.name for task in problem.tasks] == ["y"]
    assert runner.submit(store, store.comparison(found).spec) == found


def test_mistakes_are_told_before_anything_is_stored(store: Store, tmp_path: Path) -> None:
    for data, error in (({"scenario": "osin"}, SpecError), ({"file": str(tmp_path / "no.csv")}, TableError)):
        with pytest.raises(error):
            runner.submit(store, asked(data=data))
    with pytest.raises(DeviceError):
        runner.run(asked(), store, "mps", trainer())
    assert store.experiments() == []


# --- running here ----------------------------------------------------------------------------------------------------


def test_running_here_trains_everything_and_returns_it(store: Store) -> None:
    comparison = runner.run(asked(), store, trainer=trainer())
    assert {run.status for run in comparison.runs} == {"done"}
    assert comparison.history.shape[:2] == (EPOCHS, LANES)
    assert comparison.problem.baselines
    assert {"python", "torch", "numpy", "mtl_core", "machine", "device"} <= set(comparison.versions)
    assert store.workers.live() == []


def test_running_again_trains_nothing(store: Store) -> None:
    first = runner.run(asked(), store, trainer=trainer())
    never = trainer(train=lambda *_: pytest.fail("trained twice"))
    again = runner.run(asked(), store, trainer=never)
    assert np.array_equal(first.history, again.history)
    assert store.progress(again.experiment_id).reused == LANES


def test_what_another_process_trains_is_waited_for(store: Store, url: str) -> None:
    claim = begin(store) if runner.submit(store, asked()) else None
    assert claim is not None
    other = SqlStore(url)

    def finish() -> None:
        other.queue.append(claim, [fakes.epoch(n, LANES) for n in range(1, EPOCHS + 1)])
        other.queue.finish(claim, fakes.results(LANES))
        other.close()

    reports = runner.run_iter(asked(), store, trainer=trainer(train=lambda *_: pytest.fail("trained twice")))
    assert next(reports).state == "running"
    thread = threading.Thread(target=finish)
    thread.start()
    assert [report.state for report in reports][-1] == "done"
    thread.join()


def test_whoever_stops_asking_stops_the_experiment_and_can_go_on_later(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(runner.journal, "COMMIT_SECONDS", 0.0)
    reports = runner.run_iter(asked(), store, trainer=trainer())
    found = next(report for report in reports if report.epoch == 2).experiment_id
    reports.close()  # type: ignore[attr-defined]
    assert store.progress(found).state == "stopped"
    stopped = store.comparison(found)
    assert {run.status for run in stopped.runs} == {"stopped"}
    assert stopped.runs[0].result is not None, "with the metrics of what was trained"
    whole = runner.run(asked(), store, trainer=trainer())
    assert np.array_equal(whole.history[: len(stopped.history)], stopped.history)
    assert {run.status for run in whole.runs} == {"done"}


def test_ctrl_c_keeps_what_was_trained_and_is_raised(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "REPORT_SECONDS", 0.0)

    class Pressed(FakeTraining):
        def __iter__(self) -> Iterator[Any]:
            for item in super().__iter__():
                if item and item.epoch == 3:
                    os.kill(os.getpid(), signal.SIGINT)
                yield item

    with pytest.raises(KeyboardInterrupt):
        runner.run(asked(), store, trainer=trainer(Pressed))
    (row,) = store.experiments()
    assert row.progress.state == "stopped"
    assert row.progress.epoch == 3
    assert len(runner.run(asked(), store, trainer=trainer()).history) == EPOCHS


def test_ctrl_c_in_the_middle_of_a_step_leaves_nothing_held(store: Store) -> None:
    class Twice(FakeTraining):
        def __iter__(self) -> Iterator[Any]:
            yield fakes.epoch(1, LANES)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run(asked(), store, trainer=trainer(Twice))
    (row,) = store.experiments()
    assert row.progress.state == "stopped"
    assert {run.status for run in store.comparison(row.id).runs} == {"stopped"}


# --- working for everybody -------------------------------------------------------------------------------------------


def test_a_worker_trains_all_that_is_queued(store: Store) -> None:
    ids = [submit(store, experiment(epochs=epochs)) for epochs in (2, 3)]
    runner.work(store, store.workers.register("process"), once=True, trainer=trainer())
    assert [store.progress(one).state for one in ids] == ["done", "done"]
    assert [len(store.comparison(one).history) for one in ids] == [2, 3]


def test_an_exception_is_a_sentence_and_the_worker_goes_on(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FakeTraining):
        def __iter__(self) -> Iterator[Any]:
            if self.runs[0].training.epochs == 2:
                raise ZeroDivisionError("a defect\nwith details")
            return super().__iter__()

    ids = [submit(store, experiment(epochs=epochs)) for epochs in (2, 3)]
    with caplog.at_level(logging.ERROR):
        runner.work(store, store.workers.register("process"), once=True, trainer=trainer(Broken))
    assert [store.progress(one).state for one in ids] == ["failed", "done"]
    assert "ZeroDivisionError: a defect)" in store.progress(ids[0]).sentence
    assert "Traceback" in caplog.text


def test_a_persons_mistake_is_its_own_sentence(store: Store) -> None:
    def refuse(*_: Any) -> Any:
        raise DeviceError("This machine has no cuda device.")

    found = submit(store, experiment())
    runner.work(store, store.workers.register("process"), once=True, trainer=trainer(refuse))
    assert store.progress(found).sentence == f"{LANES} runs failed. This machine has no cuda device."


def test_a_stop_ends_the_batch_and_not_the_worker(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner.journal, "STOP_SECONDS", 0.0)

    class Stopped(FakeTraining):
        def __iter__(self) -> Iterator[Any]:
            for item in super().__iter__():
                yield item
                if self.epoch == 2 and self.runs[0].training.epochs == EPOCHS:
                    store.stop(stop_me)

    stop_me, other = submit(store, experiment()), submit(store, experiment(epochs=2))
    runner.work(store, store.workers.register("process"), once=True, trainer=trainer(Stopped))
    assert store.progress(stop_me).state == "stopped"
    assert store.progress(other).state == "done"
    assert len(store.comparison(stop_me).history) == 2


def test_a_worker_that_leaves_gives_its_batch_back_with_its_checkpoint(store: Store) -> None:
    found = submit(store, experiment())
    breaths = iter(range(100))
    runner.work(store, store.workers.register("process"), trainer=trainer(), leave=lambda idle: next(breaths) > 8)
    assert store.progress(found).state == "queued"
    assert store.progress(found).epoch > 0
    claim = begin(store)
    assert claim.checkpoint is not None


def test_a_worker_that_lost_its_batch_writes_nothing_and_goes_on(store: Store) -> None:
    class Slow(FakeTraining):
        def __iter__(self) -> Iterator[Any]:
            for item in super().__iter__():
                if self.epoch == 3:
                    store.delete(found)
                yield item

    found = submit(store, experiment())
    other = submit(store, experiment(epochs=2))
    runner.work(store, store.workers.register("process"), once=True, trainer=trainer(Slow))
    assert [row.id for row in store.experiments()] == [other]
    assert store.progress(other).state == "done"


def test_a_batch_is_kept_while_its_results_are_being_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    beaten = threading.Event()

    class Judged(FakeTraining):
        def results(self) -> list[RunResult]:
            beaten.clear()
            assert beaten.wait(10), "nobody says that the batch is in hand"
            return super().results()

    monkeypatch.setattr(attending, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(store.queue, "heartbeat", lambda claim: beaten.set())
    found = submit(store, experiment())
    runner.work(store, store.workers.register("process"), once=True, trainer=trainer(Judged))
    assert store.progress(found).state == "done"


def test_the_problem_loaded_last_is_not_loaded_again() -> None:
    loads: list[str] = []
    counted = remembering(trainer(load=lambda spec, fetch: loads.append(spec.canonical()) or fakes.problem()))
    first, second = (experiment(data={"scenario": "noise_and_scale", "seed": n}).data for n in (0, 1))
    for spec in (first, first, second, second, first):
        counted.load(spec, lambda fingerprint: ("", b""))
    assert len(loads) == 3
