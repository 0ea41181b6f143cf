"""What a process costs before and beside its steps: import, a worker's start, memory a lane. Each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from mtl_core.bench.timing import Form, Row
from mtl_core.runner.starting import ONE_THREAD
from mtl_core.store import Store, open_store

ROOT = Path(__file__).parent.parent.parent
READY_SECONDS = 120.0
IMPORT = """
import json, sys, time
began = time.perf_counter()
import {module}
print(json.dumps({{"seconds": time.perf_counter() - began, "torch": "torch" in sys.modules}}))
"""
WORKER = """
import sys
from mtl_core.__main__ import main
from mtl_core.bench.problems import known

with known():
    sys.exit(main(sys.argv[1:]))
"""
MEMORY = """
import json
from mtl_core.bench.problems import SIZES, mixed_heads, runs_of, training_of
from mtl_core.bench.timing import one_thread
from mtl_core.engine import Training

from mtl_core.bench.process import peak_kb

def train(lanes, epochs):
    training = Training(problem, runs_of(training_of(SIZES["default"], epochs), lanes), "cpu")
    for _ in training:
        training.checkpoint()
    training.results()

with one_thread():
    problem = mixed_heads({rows})
    train(1, 1)
    base = peak_kb()
    train({lanes}, 2)
    print(json.dumps({{"base": base, "peak": peak_kb()}}))
"""


def imports(form: Form) -> Iterator[Row]:
    """Seconds of the import in a new process, the quickest of several; and of a worker until it is ready for work."""
    for module in form.pick(("mtl_core", "mtl_core.engine"), ("mtl_core",)):
        found = [_told(IMPORT.format(module=module)) for _ in range(form.pick(7, 2))]
        seconds = min(one["seconds"] for one in found)
        yield {"what": f"import {module}", "seconds": seconds, "imports_torch": found[0]["torch"]}
    for what in form.pick(("a worker until it is ready", "the next one"), ()):
        yield {"what": what, "seconds": _worker_seconds(), "imports_torch": True}


def memory(form: Form) -> Iterator[Row]:
    """Peak memory that lanes of the default problem add to a process that has trained one: two epochs, checkpoints, results."""
    rows = form.pick(4096, 512)
    for lanes in form.pick((64, 256), (64,)):
        found = _told(MEMORY.format(lanes=lanes, rows=rows))
        base, peak = found["base"] / 1024, found["peak"] / 1024
        yield {"lanes": lanes, "rows": rows, "base_mb": base, "peak_mb": peak, "mb_per_lane": (peak - base) / lanes}


def peak_kb() -> float:
    """The most memory that this process has held; Linux' `getrusage` would count what its parent held when it started it."""
    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
        return float(lines["VmHWM"].split()[0])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)


def cpu_seconds(processes: Iterable[int]) -> float:
    """What these processes have used; 0 where the system does not tell."""
    stats = [Path(f"/proc/{number}/stat") for number in processes]
    fields = [stat.read_text(encoding="utf-8").rpartition(")")[2].split() for stat in stats if stat.is_file()]
    return sum(int(mine[11]) + int(mine[12]) for mine in fields) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def start_worker(url: str) -> subprocess.Popen[bytes]:
    """As the app starts one, but nobody's, and the benchmark's problem is known to it."""
    words = [sys.executable, "-c", WORKER, "worker"]
    environment = {**_environment(), **ONE_THREAD, "MTL_STORE_URL": url}
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(words, env=environment, stdin=nowhere, stdout=nowhere, stderr=nowhere)  # noqa: S603  (our own)


def wait_until_ready(store: Store, count: int = 1) -> None:
    """Until so many workers wait for work. Raises TimeoutError."""
    began = time.monotonic()
    while sum(one.state == "idle" for one in store.workers.live()) < count:
        if time.monotonic() - began > READY_SECONDS:
            raise TimeoutError(f"No worker was ready within {READY_SECONDS:g} s.")
        time.sleep(0.01)


def told_by(words: list[str], seconds: float, **more: str) -> Any:
    """The JSON in the last line that a Python process of ours prints; `more` goes into its environment.

    Raises subprocess.SubprocessError.
    """
    environment = {**_environment(), **ONE_THREAD, **more}
    done = subprocess.run(  # noqa: S603  (our own)
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=True, timeout=seconds
    )
    return json.loads(done.stdout.splitlines()[-1])


def _told(code: str) -> Any:
    return told_by(["-c", code], 300)


def _worker_seconds() -> float:
    with tempfile.TemporaryDirectory() as folder, closing(open_store(f"sqlite:///{Path(folder) / 'store.sqlite'}")) as store:
        store.workers.live()
        began = time.perf_counter()
        child = start_worker(store.url)
        try:
            wait_until_ready(store)
            return time.perf_counter() - began
        finally:
            child.terminate()
            child.wait()


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}
