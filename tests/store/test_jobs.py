"""Worker processes: started, found again, replaced, and gone when nobody needs them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from store_fakes import Clock, experiment, submit

from mtl_core import cores, jobs
from mtl_core.errors import SpecError
from mtl_core.runner import starting
from mtl_core.store import Store, Worker, processes
from mtl_core.store.sql import SqlStore

FAKE = [sys.executable, str(Path(__file__).with_name("fake_worker.py"))]
DEADLINE = 60.0


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = SqlStore(url)
    yield opened
    for child in jobs._children.pop(opened.url, []):
        child.kill()
        child.wait()
    opened.close()


def workers(store: Store, *states: str) -> list[Worker]:
    """Worker processes that have entered themselves."""
    entered = [one for one in store.workers.live() if one.kind == "process" and one.pid]
    return [one for one in entered if not states or one.state in states]


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    waiting = threading.Event()
    while not holds():
        assert time.monotonic() < deadline
        waiting.wait(0.01)


def test_workers_are_started_once_and_train_what_is_queued(store: Store) -> None:
    found = submit(store, experiment())
    started = jobs.ensure_workers(store, 2, FAKE)
    assert jobs.ensure_workers(store, 2, FAKE) == []
    until(lambda: len(workers(store, "idle")) == 2 and not store.progress(found).active)
    assert {one.id for one in workers(store)} == set(started)
    assert {one.device for one in workers(store)} == {"cpu"}
    assert store.progress(found).state == "done"
    assert jobs.ensure_workers(store, 2, FAKE) == []
    _a_killed_one_is_replaced(store)
    _told_to_end_they_end(store)


def _a_killed_one_is_replaced(store: Store) -> None:
    victim = workers(store)[0]
    os.kill(victim.pid, signal.SIGKILL)
    until(lambda: len(workers(store)) == 1)
    assert len(jobs.ensure_workers(store, 2, FAKE)) == 1
    until(lambda: len(workers(store, "idle")) == 2)
    assert victim.id not in {one.id for one in workers(store)}


def _told_to_end_they_end(store: Store) -> None:
    jobs.dismiss_workers(store)
    until(lambda: not workers(store))
    assert [child.wait() for child in jobs._children[store.url]][-1] == 0


def test_a_worker_told_to_end_gives_its_batch_back_and_a_stop_leaves_it_alive(store: Store) -> None:
    found, other = submit(store, experiment(epochs=100_000)), submit(store, experiment(epochs=99_999))
    jobs.ensure_workers(store, 1, [*FAKE, "--pace"])
    until(lambda: store.progress(found).epoch > 2)
    asked = time.monotonic()
    store.stop(found)
    until(lambda: store.progress(found).state == "stopped")
    assert time.monotonic() - asked < 1.0
    until(lambda: store.progress(other).epoch > 2)
    (worker,) = workers(store, "training")
    os.kill(worker.pid, signal.SIGTERM)
    until(lambda: store.progress(other).state == "queued")
    claim = store.queue.claim(store.workers.register("inline"))
    assert claim is not None
    assert claim.checkpoint is not None


def test_a_worker_ends_when_its_store_is_gone_and_its_log_stays_readable(store: Store) -> None:
    if store.file is None:
        pytest.skip("a server has no file")
    (name,) = jobs.ensure_workers(store, 1, FAKE)
    until(lambda: workers(store, "idle"))
    (worker,) = workers(store)
    for path in store.file.parent.glob("store.sqlite*"):
        path.unlink()
    until(lambda: processes.alive(worker.host, worker.pid, worker.birth) is False)
    log = (store.file.parent / "logs" / f"worker-{name}.log").read_text()
    assert "ends" in log
    assert "Traceback" not in log
    assert not store.file.exists(), "and does not bring it back"


def test_a_worker_that_has_just_been_started_can_be_told_to_end(store: Store) -> None:
    jobs.ensure_workers(store, 1, FAKE)
    jobs.dismiss_workers(store)
    (child,) = jobs._children[store.url]
    assert child.wait(DEADLINE) in (0, -signal.SIGTERM)


def test_an_idle_worker_leaves_when_the_app_that_wanted_it_is_gone(url: str) -> None:
    store = SqlStore(url)
    told: list[int] = []
    by_app, by_hand = (jobs._leave(store, told, lingers=lingers) for lingers in (True, False))
    app = store.workers.register("app", "app", "idle")
    assert not by_app(jobs.LINGER_SECONDS * 100)
    store.workers.retire(app)
    by_app = jobs._leave(store, told, lingers=True)
    assert not by_app(jobs.LINGER_SECONDS / 2)
    assert by_app(jobs.LINGER_SECONDS * 1.1)
    assert not by_hand(jobs.LINGER_SECONDS * 100)
    told.append(signal.SIGTERM)
    assert by_hand(0.0)
    store.close()


def test_a_stuck_worker_is_killed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    clock.now = time.time() - jobs.STUCK_SECONDS - 1
    store = SqlStore(url, clock)
    stuck = store.workers.register("process", state="training")
    store.workers.register("process", state="idle")
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append(pid))
    jobs._replace_stuck(store.workers.live())
    assert killed == [os.getpid()]
    assert stuck in {one.id for one in store.workers.live()}
    store.close()


def test_the_number_of_workers_is_the_environments_or_one_per_core_up_to_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MTL_WORKERS", raising=False)
    for there, wanted in ((1, 1), (2, 2), (4, 4), (96, 4)):
        monkeypatch.setattr(cores, "cores", lambda there=there: there)
        assert jobs.wanted_workers() == wanted
    monkeypatch.setenv("MTL_WORKERS", "5")
    assert jobs.wanted_workers() == 5
    monkeypatch.setenv("MTL_WORKERS", "many")
    with pytest.raises(SpecError, match="MTL_WORKERS is a number"):
        jobs.wanted_workers()


def test_old_logs_are_thrown_away(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "LOGS_KEPT", 2)
    store = SqlStore(url)
    for name in ("a", "b", "c", "d"):
        starting.log_of(store, name).touch()
    assert len(list(starting.log_of(store, "e").parent.glob("*.log"))) == 2
    store.close()


def test_what_notes_a_signal_holds_no_lock() -> None:
    """A second signal may come while the first is being noted; a lock would never be let go."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        told = jobs._told_to_leave()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert told == [signal.SIGTERM, signal.SIGTERM]
        assert type(told) is list
    finally:
        for number, old in before.items():
            signal.signal(number, old)
