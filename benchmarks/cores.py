"""What several cores bring: a comparison cut into batches for several processes, threads, and worker processes.

    python -m benchmarks.cores [cut] [threads] [workers] [--short] [--json]

cut      the mixed comparison (8 schemes, 4 of them on gradients, 8 seeds) as one batch, and cut by `plan` for two workers: CPU
         seconds of each batch beside the estimate, and wall seconds of one process and of two
threads  milliseconds of a training step with 1 thread and with as many as there are cores, threads that wait asleep (PASSIVE) or
         spinning (ACTIVE), on an idle machine and beside a busy loop on one core
workers  seconds until a worker is warm and its memory

CPU seconds hold on a busy machine as well; wall seconds only on one that is otherwise idle, so `idle` says how idle it was. Each
figure is the least of several rounds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

from mtl_core.bench.problems import FEATURES, ROWS, SIZES, mixed_heads
from mtl_core.cores import QUIET, cores
from mtl_core.durations import batch_seconds
from mtl_core.plan import plan
from mtl_core.specs import ArmSpec, DataSpec, RunSpec, SelectionSpec, TrainingSpec

MIXED = ("equal", "uncertainty", "softplus", "dwa", "mgda", "pcgrad", "cagrad", "nash_mtl")
LARGE = ((256, 256), 512)
STAT = Path("/proc/stat")
BUSY = [sys.executable, "-c", "while True: pass"]


def runs(size: str, schemes: tuple[str, ...], seeds: int, epochs: int) -> list[RunSpec]:
    """Arms of default settings on the benchmark's problem."""
    hidden, batch = {**SIZES, "large": LARGE}[size]
    training = TrainingSpec(epochs=epochs, batch_size=batch, lr=1e-3, hidden=hidden, weight_decay=0.0)
    data = DataSpec(scenario="osint")  # never read: the problem is given
    return [
        RunSpec(data=data, arm=ArmSpec(scheme=scheme), seed=seed, training=training, selection=SelectionSpec())
        for scheme in schemes
        for seed in range(seeds)
    ]


# --- cut --------------------------------------------------------------------------------------------------------------


def cut(*, short: bool) -> list[dict[str, Any]]:
    """The mixed comparison, whole and cut for two."""
    sizes = ("default",) if short else ("small", "default", "medium")
    return [_cut(size, epochs=1 if short else 4, rounds=1 if short else 3) for size in sizes]


def _cut(size: str, epochs: int, rounds: int) -> dict[str, Any]:
    whole = runs(size, MIXED, 8, epochs)
    parts = plan(whole, features=FEATURES, tasks=6, rows=ROWS, free=(0.0, 0.0))
    alone, together = [], []
    with multiprocessing.get_context("spawn").Pool(2, _prepare) as pool:
        pool.map(_train, [whole[:1]] * 2, chunksize=1)
        for _ in range(rounds):
            alone.append(_at_once(pool, [whole]))
            together.append(_at_once(pool, parts))
    (whole_wall, whole_cpu), (wall, *part_cpu) = (list(map(min, zip(*times, strict=True))) for times in (alone, together))
    return {
        "size": size,
        "lane_steps": len(whole) * epochs * -(-ROWS // (whole[0].training.batch_size or 1)),
        "parts": [[len(part), sorted({run.arm.scheme for run in part})] for part in parts],
        "whole_cpu_s": whole_cpu,
        "parts_cpu_s": part_cpu,
        "gain_by_cpu": whole_cpu / max(part_cpu),
        "estimates_s": [batch_seconds(batch, FEATURES, ROWS) for batch in (whole, *parts)],
        "wall_s": {"one process": whole_wall, "two processes": wall},
    }


def _at_once(pool: Pool, batches: list[list[RunSpec]]) -> list[float]:
    """Wall seconds of all, and CPU seconds of each."""
    began = time.perf_counter()
    spent = pool.map(_train, batches, chunksize=1)
    return [time.perf_counter() - began, *spent]


def _prepare() -> None:
    import torch

    from mtl_core.lanes.memory import warm

    torch.set_num_threads(1)
    warm()


def _train(batch: list[RunSpec]) -> float:
    from mtl_core.engine import Training

    began = time.process_time()
    for _ in Training(mixed_heads(), batch, "cpu"):
        pass
    return time.process_time() - began


# --- threads ----------------------------------------------------------------------------------------------------------


def threads(*, short: bool) -> list[dict[str, Any]]:
    """Every number of threads and way to wait, idle and beside a busy loop, each in a process of its own."""
    sizes = ["default"] if short else ["default", "medium", "large"]
    table = []
    for busy in (False, True):
        for policy in ("PASSIVE", "ACTIVE"):
            for count in (1, cores()):
                with _busy_core() if busy else _nothing():
                    steps = _child(["steps", str(count), *sizes], {"OMP_WAIT_POLICY": policy, "OMP_NUM_THREADS": str(count)})
                table.append({"beside a busy loop": busy, "waiting": policy, "threads": count, "step_ms": steps})
    return table


@contextmanager
def _busy_core() -> Iterator[None]:
    with subprocess.Popen(BUSY) as process:
        try:
            yield
        finally:
            process.kill()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def steps(count: int, sizes: list[str]) -> dict[str, float]:
    """Least milliseconds of a step of 16 (large) or 64 lanes, by size, in this process."""
    import torch

    from mtl_core.engine import Training
    from mtl_core.lanes.memory import warm

    warm()
    torch.set_num_threads(count)
    found = {}
    for size in sizes:
        training = Training(mixed_heads(), runs(size, MIXED, 2 if size == "large" else 8, 1), "cpu")
        batch = next(iter(training.batches.of(1)))
        found[size] = min(_seconds(lambda training=training, batch=batch: training.live.step(batch)) for _ in range(25)) * 1e3
    return found


def _seconds(job: Callable[[], Any]) -> float:
    began = time.perf_counter()
    job()
    return time.perf_counter() - began


# --- workers ----------------------------------------------------------------------------------------------------------


def workers(*, short: bool) -> dict[str, float]:
    """Of a worker, in a process of its own: least of three starts."""
    starts = [_child(["start"], QUIET | {"OMP_NUM_THREADS": "1"}) for _ in range(1 if short else 3)]
    return {name: min(start[name] for start in starts) for name in starts[0]}


def start() -> dict[str, float]:
    """Import and rehearse as a worker does."""
    from mtl_core.runner.trainer import real

    trainer = real()
    imported = time.process_time()
    with trainer.threads():
        trainer.warm()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return {"import_cpu_s": imported, "rehearsal_cpu_s": time.process_time() - imported, "memory_mib": memory}


def _child(words: list[str], environment: dict[str, str]) -> Any:
    command = [sys.executable, "-m", "benchmarks.cores", "--child", *words]
    told = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    return json.loads(told.stdout)


def _answer(words: list[str]) -> Any:
    return start() if words[0] == "start" else steps(int(words[1]), words[2:])


def idle() -> float | None:
    """Share of the cores' time in which nothing ran, during a second before anything was measured; None off Linux."""
    if not STAT.exists():
        return None
    before = _jiffies()
    time.sleep(1)
    spent = [now - then for now, then in zip(_jiffies(), before, strict=True)]
    return (spent[3] + spent[4]) / max(1, sum(spent))


def _jiffies() -> list[int]:
    return [int(number) for number in STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]


PARTS: dict[str, Callable[..., Any]] = {"cut": cut, "threads": threads, "workers": workers}


def main() -> None:
    """Measure and print JSON, or one line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART", help="default: all")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(_answer(chosen.child)))
        return
    found = {"idle": idle(), **{name: PARTS[name](short=chosen.short) for name in chosen.parts or PARTS}}
    for name, figures in found.items() if not chosen.json else ():
        for row in figures if isinstance(figures, list) else [figures]:
            print(name, json.dumps(row))
    if chosen.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
