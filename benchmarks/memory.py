"""How much memory training takes beyond the problem's own arrays: by lane, by row, and from a table of a million rows.

    python -m benchmarks.memory [lanes] [rows] [table] [--short]

Each figure comes from a process of its own: the highest resident size (VmHWM) after a job less the resident size before it.
Lanes: the default problem of the benchmark, two epochs and results. Rows: 64 lanes on the same problem with more rows, some steps
of an epoch, evaluation of validation and, for eight lanes, of training rows. Table: a CSV from its bytes to a problem. `--short`
takes a tenth of the rows. Linux only. CPU seconds stand beside; one thread.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mtl_core.engine import Training
    from mtl_core.problem import Problem

MEBI = 2**20
ARMS = ("equal", "uncertainty", "softplus", "liebel_korner", "imtl_l", "famo", "dwa", "rlw")
STEPS = 256
TABLE_COLUMNS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*JOBS, []], help="all by default")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--size", type=int, help="run one part once in this process, and print its figures as JSON")
    chosen = parser.parse_args()
    if chosen.size is not None:
        print(json.dumps(JOBS[chosen.parts[0]](chosen.size)))
        return
    rows = 100_000 if chosen.short else 1_000_000
    sizes = {"lanes": (64, 256), "rows": (4096, rows), "table": (rows,)}
    for part in chosen.parts or JOBS:
        for size in sizes[part]:
            print(f"{part} {size:,}", flush=True)
            for name, value in _apart(part, size).items():
                print(f"  {name:44} {value:10,.1f}")


def _apart(part: str, size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.memory", part, "--size", str(size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


class Meter:
    """Figures of some jobs: highest memory above that at the start, in MiB, and CPU seconds."""

    def __init__(self) -> None:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what is free already must not count as there
        Path("/proc/self/clear_refs").write_text("5")  # forgets the highest
        self.start, self.figures = _kibi("VmRSS"), dict[str, float]()

    @contextmanager
    def of(self, job: str) -> Iterator[None]:
        """Measure one job."""
        began = time.process_time()
        yield
        self.figures[f"{job}, CPU s"] = time.process_time() - began
        self.figures[f"{job}, highest so far, MiB"] = (_kibi("VmHWM") - self.start) / 1024


def _kibi(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def _training(problem: Problem, seeds: int, epochs: int) -> Training:
    from mtl_core.bench.problems import SIZES
    from mtl_core.engine import Training
    from mtl_core.specs import ArmSpec, DataSpec, RunSpec, SelectionSpec, TrainingSpec

    hidden, batch = SIZES["default"]
    training = TrainingSpec(epochs=epochs, batch_size=batch, lr=1e-3, hidden=hidden, weight_decay=0.0)
    data, selection = DataSpec(scenario="osint"), SelectionSpec()  # the scenario is never read: the problem is given
    arms = [ArmSpec(scheme=scheme) for scheme in ARMS]
    runs = [RunSpec(data=data, arm=arm, seed=s, training=training, selection=selection) for s in range(seeds) for arm in arms]
    return Training(problem, runs, "cpu")


def lanes(count: int) -> dict[str, float]:
    """Two epochs and results of the default problem."""
    problem = _ready(4096)
    meter = Meter()
    with meter.of("training"):
        training = _training(problem, count // len(ARMS), epochs=2)
        for _ in training:
            pass
        training.results()
    return {**meter.figures, "KiB a lane": 1024 * meter.figures["training, highest so far, MiB"] / count}


def rows(count: int) -> dict[str, float]:
    """64 lanes on so many training rows."""
    problem = _ready(count)
    own = sum(array.nbytes for array in (problem.features, problem.split, *problem.targets.values()))
    meter = Meter()
    with meter.of("tensors and lanes"):
        training = _training(problem, 8, epochs=1)
    steps = min(STEPS, training.batches.steps)
    batches = training.batches.of(1)
    with meter.of("order of rows and first step"):
        training.live.step(next(batches))
    with meter.of("steps"):
        for batch in islice(batches, steps - 1):
            training.live.step(batch)
    for split, some in ((1, 64), (0, 8)):
        with meter.of(f"evaluation of {some} lanes on {len(training.data.splits[split]):,} rows"):
            training.judge(training.live.flat[:some], np.arange(some), split)
    each = 1e6 * meter.figures["steps, CPU s"] / (steps - 1) / 64
    return {"the problem's own arrays, MiB": own / MEBI, **meter.figures, "a lane's step, CPU microseconds": each}


def table(count: int) -> dict[str, float]:
    """A CSV of numbers, a category and a class, from its bytes to a problem and what pages say of it."""
    from mtl_core import data
    from mtl_core.specs import DataSpec

    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(count, TABLE_COLUMNS - 2))
    words = np.array(["low", "middle", "high"])[np.digitize(numbers[:, 0], [-0.5, 0.5])]
    marks = np.array(["north", "south"])[(numbers[:, 1] > 0).astype(int)]
    text = io.StringIO()
    text.write(",".join([*(f"x{place}" for place in range(TABLE_COLUMNS - 2)), "side", "grade"]) + "\n")
    for row, mark, word in zip(numbers, marks, words, strict=True):
        text.write(",".join(f"{value:.3f}" for value in row) + f",{mark},{word}\n")
    content = text.getvalue().encode()
    del numbers, text, words, marks
    spec = DataSpec.model_validate({"file": "made.csv", "targets": ["grade", "x9"]})
    meter = Meter()
    with meter.of("what is understood"):
        understood = data.inspect(content, "made.csv", spec)
    del understood
    with meter.of("the problem"):
        from mtl_core.data.table import to_problem

        problem = to_problem(content, "made.csv", spec)
    own = sum(array.nbytes for array in (problem.features, problem.split, *problem.targets.values()))
    return {"the file, MiB": len(content) / MEBI, "the problem's own arrays, MiB": own / MEBI, **meter.figures}


def _ready(count: int) -> Problem:
    """The benchmark's problem, in a process that has paid its one-time costs."""
    import torch

    from mtl_core.bench.problems import mixed_heads
    from mtl_core.lanes.memory import warm

    torch.set_num_threads(1)
    warm()
    for _ in _training(mixed_heads(512), 1, epochs=1):
        pass
    return mixed_heads(count)


JOBS: dict[str, Callable[[int], dict[str, Any]]] = {"lanes": lanes, "rows": rows, "table": table}

if __name__ == "__main__":
    main()
