"""What `torch.compile` makes of a step of 64 lanes, and how long it compiles. Needs a C++ compiler.

Two things are tried, each in a process of its own that is ended after a while, as a compiler may fail or take its time:

    tensors    forward, losses and reverse pass of all lanes, written here over stacked parameters, with one fused Adam
    step       the engine's step but its optimizer, whose fused kernel the compiler does not take; where control flow depends on
               data, the step breaks into several graphs

Compared with the same left to eager mode, in the same process and in turns. A failure is a row that says so.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mtl_core.bench.plain import Column, minibatches, split_of
from mtl_core.bench.problems import SIZES, mixed_heads, runs_of, training_of
from mtl_core.bench.process import told_by
from mtl_core.bench.timing import Form, Job, Row, measured, middle, one_thread, ratio
from mtl_core.engine import Training
from mtl_core.lanes.models import init_parameters
from mtl_core.lanes.plain import to_module
from mtl_core.shapes import shape_of

if TYPE_CHECKING:
    from mtl_core.problem import Problem
    from mtl_core.specs import TaskSpec, TrainingSpec

LANES, PREPARED = 64, 8  # lanes, and minibatches drawn beforehand
TRIED = {"tensors": "forward, losses, reverse pass", "step": "the engine's step but its optimizer"}
LIMIT_S = 150.0


def compiled(form: Form) -> Iterator[Row]:
    """A row for each size and each of the two."""
    if not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        yield {"what": "torch.compile", "note": "There is no C++ compiler, which torch.compile needs."}
        return
    for size in form.pick(("default", "medium"), ("small",)):
        for what, words in TRIED.items():
            yield {"size": size, "what": words, "lanes": LANES, **_tried(what, size, form)}


def _tried(what: str, size: str, form: Form) -> Row:
    arguments = ["-m", __name__, what, size, "short" if form.short else "full"]
    try:
        with tempfile.TemporaryDirectory() as cache:  # what was compiled before is compiled again
            found: Row = told_by(arguments, LIMIT_S, TORCHINDUCTOR_CACHE_DIR=cache)
    except subprocess.TimeoutExpired:
        return {"note": f"not done within {LIMIT_S:g} s"}
    except subprocess.CalledProcessError as error:
        return {"note": f"failed: {_reason(str(error.stderr)) or error.returncode}"}
    return found


def _reason(printed: str) -> str:
    """The last line that names an error."""
    return next(
        (line[:200] for line in reversed(printed.splitlines()) if re.match(r"[\w.]*(Error|Failed|Unsupported)\b", line)), ""
    )


# --- in the process of its own ----------------------------------------------------------------------------------------


def main(what: str, size: str, length: str) -> None:
    """Print what is found as JSON."""
    form = Form.of(short=length == "short")
    problem, training = mixed_heads(), training_of(SIZES[size])
    with one_thread():
        pair = tensor_steps if what == "tensors" else engine_steps
        eager, fast = pair(problem, training)
        began = time.perf_counter()
        fast(3)
        seconds = time.perf_counter() - began
        times = measured({"eager": eager, "compiled": fast}, form)
    faster = ratio(times["eager"], times["compiled"])
    row = {
        "compile_s": seconds,
        "eager_lane_steps_per_s": LANES / middle(times["eager"]).cpu,
        "compiled_lane_steps_per_s": LANES / middle(times["compiled"]).cpu,
        "over_eager": faster.middle,
        "graph_breaks": sum(torch._dynamo.utils.counters["graph_break"].values()),
    }
    print(json.dumps(row))  # noqa: T201  (the parent reads it)


def engine_steps(problem: Problem, training: TrainingSpec) -> tuple[Job, Job]:
    """The engine's step, as it is and compiled."""

    def steps(wrapped: Callable[[Any], Any]) -> Job:
        lanes = Training(problem, runs_of(training, LANES), "cpu")
        optimizer: Any = lanes.live.optimizer
        optimizer.step = torch.compiler.disable(optimizer.step)
        step = wrapped(lanes.live.step)
        batches = cycle(islice(lanes.batches.of(1), PREPARED))

        def run(number: int) -> None:
            for batch in islice(batches, number):
                step(batch)

        return run

    return steps(lambda step: step), steps(torch.compile)


def tensor_steps(problem: Problem, training: TrainingSpec) -> tuple[Job, Job]:
    """Steps over stacked parameters, eager and compiled."""
    return _stacked(problem, training, lambda job: job), _stacked(problem, training, torch.compile)


def _stacked(problem: Problem, training: TrainingSpec, wrapped: Callable[[Any], Any]) -> Job:
    parameters = stacked_parameters(problem, training, LANES)
    optimizer = torch.optim.Adam(parameters, lr=training.lr or 1e-3, fused=True)
    split = split_of(problem, 0, torch.float32)
    rows = list(islice(minibatches(len(split.features), training.batch_size or 1), PREPARED))
    batches = cycle([(split.features[mine], [one.of(mine) for one in split.columns]) for mine in rows])
    objective = wrapped(stacked_objective)

    def steps(number: int) -> None:
        for features, columns in islice(batches, number):
            optimizer.zero_grad()
            objective(problem.tasks, parameters, features, columns).backward()
            optimizer.step()

    return steps


def stacked_parameters(problem: Problem, training: TrainingSpec, lanes: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Weights `[lanes, inputs, outputs]` and biases `[lanes, 1, outputs]` of each layer, all heads as one."""
    shape = shape_of(problem, training)
    model = to_module(init_parameters(shape, [0], dtype), 0, shape)
    trunk = [(layer.weight, layer.bias) for layer in model.trunk.modules() if isinstance(layer, nn.Linear)]
    heads = [(head.weight, head.bias) for head in model.heads if isinstance(head, nn.Linear)]
    joined = tuple(torch.cat(parts) for parts in zip(*heads, strict=True))
    layers = [(weight.detach().mT, bias.detach().unsqueeze(0)) for weight, bias in (*trunk, joined)]
    return [part.expand(lanes, *part.shape).clone().requires_grad_() for layer in layers for part in layer]


def stacked_objective(tasks: tuple[TaskSpec, ...], parameters: list[Tensor], features: Tensor, columns: list[Column]) -> Tensor:
    """Sum over lanes of the mean over tasks of their losses, one minibatch for all lanes."""
    lanes = len(parameters[0])
    hidden = features.expand(lanes, *features.shape)
    pairs = list(zip(parameters[::2], parameters[1::2], strict=True))
    for weight, bias in pairs[:-1]:
        hidden = torch.relu(torch.baddbmm(bias, hidden, weight))
    outputs = torch.baddbmm(pairs[-1][1], hidden, pairs[-1][0]).split([task.outputs for task in tasks], -1)
    losses = [_loss(task, mine, column.targets) for task, mine, column in zip(tasks, outputs, columns, strict=True)]
    return torch.stack(losses, -1).mean(-1).sum()


def _loss(task: TaskSpec, outputs: Tensor, targets: Tensor) -> Tensor:
    """Of every lane."""
    everywhere = targets.expand(len(outputs), *targets.shape)
    if task.kind == "multiclass":
        logarithms = torch.log_softmax(outputs, -1)
        return -logarithms.gather(-1, everywhere.long()).mean((1, 2))
    if task.kind == "binary":
        return nn.functional.binary_cross_entropy_with_logits(outputs, everywhere, reduction="none").mean((1, 2))
    return (outputs - everywhere).square().mean((1, 2))


if __name__ == "__main__":
    main(*sys.argv[1:4])
