"""A mixed comparison as a person waits for it: eight schemes, four of them on gradients, with eight seeds, by two workers.

Wall time from submission to the last result, workers warm, through a new SQLite store; beside it the same runs one after another
in the plain loop and torchjd's, extrapolated from an epoch of each scheme. Both evaluate after every epoch.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from mtl_core.bench.process import start_worker, wait_until_ready
from mtl_core.bench.timing import Form, Row, spent
from mtl_core.bench.torchjd_loop import ABSENT, torchjd_present
from mtl_core.bench.whole import SCENARIO, epoch_of_plain, experiment, store_in
from mtl_core.data import scenarios
from mtl_core.resolving import resolve
from mtl_core.runner import submit
from mtl_core.specs import ExperimentSpec
from mtl_core.store import Store, open_store

SCHEMES = ("equal", "uncertainty", "imtl_l", "rlw", "pcgrad", "upgrad", "cagrad", "mgda")
WORKERS, LOOK_SECONDS = 2, 0.05


def mixed(form: Form) -> Iterator[Row]:
    """Two workers, and one run after another."""
    if not torchjd_present():
        yield {"what": ABSENT, "wall_s": None, "over_loops": None, "extrapolated": None}
        return
    epochs, seeds = form.pick((30, 8), (2, 2))
    spec = experiment(SCHEMES, epochs, seeds)
    loops = _loops(spec, form)
    with tempfile.TemporaryDirectory() as folder, closing(open_store(store_in(folder))) as store, _workers(store):
        wall = _finished(store, spec)
    what = f"{len(SCHEMES)} schemes x {seeds} seeds x {epochs} epochs"
    yield {"what": f"{what}, one run after another", "wall_s": loops, "over_loops": None, "extrapolated": True}
    yield {"what": f"{what}, {WORKERS} workers", "wall_s": wall, "over_loops": loops / wall, "extrapolated": False}


def _loops(spec: ExperimentSpec, form: Form) -> float:
    """Seconds of all runs one after another, from the quickest of a few epochs of each scheme."""
    problem = scenarios.load(SCENARIO, {})
    epochs = resolve(spec, problem).training.epochs or 1
    total = 0.0
    for arm in spec.arms.values():
        epoch = epoch_of_plain(problem, spec, arm.scheme, judged=True)
        assert epoch is not None
        epoch()
        total += min(spent(epoch).wall for _ in range(form.pick(3, 1)))
    return total * epochs * len(spec.seeds)


@contextmanager
def _workers(store: Store) -> Iterator[None]:
    children: list[subprocess.Popen[bytes]] = []
    try:
        children += [start_worker(store.url) for _ in range(WORKERS)]
        wait_until_ready(store, WORKERS)
        yield
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait()


def _finished(store: Store, spec: ExperimentSpec) -> float:
    began = time.perf_counter()
    name = submit(store, spec)
    while store.progress(name).active:
        time.sleep(LOOK_SECONDS)
    return time.perf_counter() - began
