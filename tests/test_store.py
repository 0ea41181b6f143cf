"""What every store guarantees. Backends: an SQLite file, and PostgreSQL where MTL_TEST_POSTGRES names an empty database."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import store_fakes as fakes
from store_fakes import EPOCHS, Clock, epoch, experiment, results, submit

from mtl_core.errors import LeaseLost, UserError
from mtl_core.problem import problem_info
from mtl_core.store import Claim, Store, leases, processes, submission
from mtl_core.store.sql import SqlStore

LANES = 4
BACKENDS = ["sqlite", *(["postgresql"] if "MTL_TEST_POSTGRES" in os.environ else [])]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that was migrated once."""
    path = tmp_path_factory.mktemp("empty") / "store.sqlite"
    SqlStore(str(path)).close()
    return path


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path, empty: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{shutil.copy(empty, tmp_path / 'store.sqlite')}"
    return os.environ["MTL_TEST_POSTGRES"]


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    opened = SqlStore(url, clock)
    yield opened
    opened.close()


def begin(store: Store, worker: str | None = None) -> Claim:
    """Claim what is next, as a worker that lives."""
    claim = store.queue.claim(worker or store.workers.register("inline"))
    assert claim is not None
    store.queue.begin(claim, fakes.CHANNELS, {"python": "3"})
    return claim


def train(store: Store, epochs: int = EPOCHS) -> Claim:
    claim = begin(store)
    for number in range(1, epochs + 1):
        store.queue.append(claim, [epoch(number, len(claim.runs))])
    store.queue.finish(claim, results(len(claim.runs)))
    return claim


# --- tables ----------------------------------------------------------------------------------------------------------


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


# --- submitting ------------------------------------------------------------------------------------------------------


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


# --- training --------------------------------------------------------------------------------------------------------


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


# --- crashes ---------------------------------------------------------------------------------------------------------


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
        worker = store.workers.register("process")
        _pretend(store, worker, pid=child.pid, birth=processes.birth(child.pid))
        begin(store, worker)
        assert store.queue.claim("other") is None
        child.kill()
        child.wait()
        assert "was lost" in store.progress(found).sentence
        assert [one.id for one in store.workers.live()] == []
        assert store.queue.claim("other") is not None


def test_a_pid_that_is_used_again_is_not_the_worker(store: Store) -> None:
    submit(store, experiment())
    worker = store.workers.register("process")
    _pretend(store, worker, birth="another time")
    begin(store, worker)
    assert store.queue.claim("other") is not None


def _pretend(store: Store, worker: str, **values: object) -> None:
    """The worker's row says something else of its process."""
    assert isinstance(store, SqlStore)
    from mtl_core.store.schema import workers

    with store._database.write() as connection:
        connection.execute(workers.update().where(workers.c.id == worker).values(**values))


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


# --- stopping --------------------------------------------------------------------------------------------------------


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


# --- failing ---------------------------------------------------------------------------------------------------------


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


# --- the list --------------------------------------------------------------------------------------------------------


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


# --- workers ---------------------------------------------------------------------------------------------------------


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


def test_the_sentence_of_a_queued_experiment_says_what_it_waits_for(store: Store, clock: Clock) -> None:
    first = submit(store, experiment(epochs=3))
    store.workers.reserve(1)
    assert "warming up" in store.progress(first).sentence
    clock.now += 1
    second = submit(store, experiment(epochs=4))
    assert store.progress(second).sentence == "Queued behind 1 other batch."


def test_a_store_is_read_by_another_process_as_it_is_written(store: Store, url: str, tmp_path: Path) -> None:
    found = submit(store, experiment())
    train(store)
    code = f"from mtl_core.store import open_store; print(open_store({url!r}).comparison({found!r}).history.sum())"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent
    )
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
