"""A mixed comparison as a person waits for it: the default problem, eight schemes, four of them on gradients, eight seeds.

Wall time from submission to the last result, by two warm workers, through a new SQLite store; beside it the same runs one after
another in the plain loop and torchjd's, extrapolated from an epoch of each scheme. Both evaluate after every epoch.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from mtl_core.bench.problems import mixed_heads
from mtl_core.bench.process import cpu_seconds, start_worker, wait_until_ready
from mtl_core.bench.timing import Form, Row, Spent, middle, repeated
from mtl_core.bench.torchjd_loop import ABSENT, torchjd_present
from mtl_core.bench.whole import epoch_of_plain, experiment, store_in
from mtl_core.resolving import resolve
from mtl_core.runner import submit
from mtl_core.specs import ExperimentSpec
from mtl_core.store import Store, open_store

ON_LOSSES = ("equal", "uncertainty", "imtl_l", "rlw")
SCHEMES = {  # torchjd's Nash-MTL is ten times as slow as its others, and would decide the ratio by itself
    "without Nash-MTL": (*ON_LOSSES, "pcgrad", "upgrad", "cagrad", "mgda"),
    "with Nash-MTL": (*ON_LOSSES, "pcgrad", "nash_mtl", "cagrad", "mgda"),
}
WORKERS, LOOK_SECONDS = 2, 0.05


def mixed(form: Form) -> Iterator[Row]:
    """Two workers, and one run after another."""
    if not torchjd_present():
        yield {"what": ABSENT}
        return
    epochs, seeds = form.pick((30, 8), (2, 2))
    for mix, schemes in SCHEMES.items():
        spec = experiment(schemes, epochs, seeds)
        loops = _loops(spec, form)
        with tempfile.TemporaryDirectory() as folder, closing(open_store(store_in(folder))) as store, _workers(store) as workers:
            ours = _finished(store, spec, workers)
        what = f"{len(schemes)} schemes x {seeds} seeds x {epochs} epochs"
        alone = {"wall_s": loops.wall, "cpu_s": loops.cpu, "extrapolated": True}
        yield {"mix": mix, "what": f"{what}, one run after another", **alone}
        over = {"over_loops": loops.wall / ours.wall, "over_loops_cpu": loops.cpu / ours.cpu if ours.cpu else None}
        found = {"wall_s": ours.wall, "cpu_s": ours.cpu or None, "extrapolated": False, **over}
        yield {"mix": mix, "what": f"{what}, {WORKERS} workers", **found}


def _loops(spec: ExperimentSpec, form: Form) -> Spent:
    """All runs one after another, from the median of a few epochs of each scheme."""
    problem = mixed_heads()
    runs = (resolve(spec, problem).training.epochs or 1) * len(spec.seeds)
    epochs = {arm.scheme: epoch_of_plain(problem, spec, arm.scheme, judged=True) for arm in spec.arms.values()}
    jobs = {scheme: job for scheme, job in epochs.items() if job is not None}
    repeated(jobs, 1)
    times = [middle(found) for found in repeated(jobs, form.pick(3, 1)).values()]
    return Spent(runs * sum(one.cpu for one in times), runs * sum(one.wall for one in times))


@contextmanager
def _workers(store: Store) -> Iterator[list[int]]:
    """Their process numbers."""
    children: list[subprocess.Popen[bytes]] = []
    try:
        children += [start_worker(store.url) for _ in range(WORKERS)]
        wait_until_ready(store, WORKERS)
        yield [child.pid for child in children]
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait()


def _finished(store: Store, spec: ExperimentSpec, workers: Sequence[int]) -> Spent:
    began, before = time.perf_counter(), cpu_seconds(workers)
    name = submit(store, spec)
    while store.progress(name).active:
        time.sleep(LOOK_SECONDS)
    return Spent(cpu_seconds(workers) - before, time.perf_counter() - began)
