"""How long each built-in scenario takes with its own budget: one arm, eight seeds, as the app runs it, with warm workers.

    python -m benchmarks.budgets [NAME ...] [--seeds 8] [--workers 2] [--arm equal]

Wall time from pressing Run to the last result, with the load of the machine at the end: read it where nothing else runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from mtl_core import jobs, runner
from mtl_core.data.scenarios import SCENARIOS
from mtl_core.specs import parse_experiment
from mtl_core.store import Store, open_store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(SCENARIOS))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--arm", default="equal")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'store.sqlite'}")
        jobs.ensure_workers(store, chosen.workers)
        _run(store, "noise_and_scale", chosen.arm, 2, epochs=1)  # until the workers are warm
        for name in chosen.names:
            wall = _run(store, name, chosen.arm, chosen.seeds)
            print(f"{name:16} {wall:6.1f} s wall, load {_load()}", flush=True)
        jobs.dismiss_workers(store)
        store.close()


def _run(store: Store, name: str, arm: str, seeds: int, epochs: int | None = None) -> float:
    training = {} if epochs is None else {"epochs": epochs}
    value = {"data": {"scenario": name}, "arms": {arm: arm}, "seeds": seeds, "training": training}
    started = time.monotonic()
    experiment = runner.submit(store, parse_experiment(value))
    while store.progress(experiment).active:
        time.sleep(0.05)
    progress = store.progress(experiment)
    assert progress.state == "done", progress.sentence
    return time.monotonic() - started


def _load() -> str:
    return Path("/proc/loadavg").read_text().split()[0] if Path("/proc/loadavg").exists() else "?"


if __name__ == "__main__":
    main()
