"""Where a step of 64 lanes spends its time, by what its operations do: the reason why it is as far from the bound as it is.

Self times of operations, by `torch.profiler`, which makes small ones a little longer. What a step takes without the profiler
beyond their sum is the interpreter's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch.profiler import ProfilerActivity, profile

from mtl_core.bench.problems import SIZES, lane_steps, mixed_heads, runs_of, training_of
from mtl_core.bench.timing import measured, middle

if TYPE_CHECKING:
    from mtl_core.bench.timing import Form, Job, Row

LANES, STEPS = 64, 10
PARTS = {  # what operations do, by their names in torch
    "matrix products": ("bmm", "baddbmm", "baddbmm_", "mm", "addmm"),
    "copies and gathers": ("copy_", "cat", "clone", "index_select", "contiguous", "stack"),
    "optimizer": ("_fused_adam_", "_fused_adamw_", "_fused_sgd_"),
    "rectifiers and biases": ("threshold_backward", "relu_", "clamp_min_", "add_"),
}
OTHER, INTERPRETER = "losses, slopes, sums, weights", "interpreter"


def profiled(form: Form) -> Iterator[Row]:
    """Microseconds a lane and step by part, largest first; sizes and schemes in turn."""
    problem = mixed_heads()
    for size in form.pick(tuple(SIZES), ("default",)):
        for scheme in form.pick(("equal", "upgrad"), ("equal",)):
            steps = lane_steps(problem, runs_of(training_of(SIZES[size]), LANES, (scheme,)), form.device)
            whole = middle(measured({scheme: steps}, form)[scheme]).cpu
            times = _by_part(steps)
            times[INTERPRETER] = max(0.0, whole - sum(times.values()))
            total = sum(times.values())
            for part, seconds in sorted(((part, mine) for part, mine in times.items() if mine > 0), key=lambda one: -one[1]):
                yield {"size": size, "scheme": scheme, "part": part, "us": 1e6 * seconds / LANES, "share": seconds / total}


def _by_part(steps: Job) -> dict[str, float]:
    """Seconds of a step."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        steps(STEPS)
    found: dict[str, float] = defaultdict(float)
    for one in seen.key_averages():
        name = one.key.removeprefix("aten::")
        part = next((part for part, names in PARTS.items() if name in names), OTHER)
        found[part] += one.self_cpu_time_total / 1e6 / STEPS
    return found
