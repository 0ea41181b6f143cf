"""From what a person wrote to batches in the queue. No torch here: pages call this."""

from __future__ import annotations

from collections.abc import Sequence

from mtl_core import data
from mtl_core.plan import plan
from mtl_core.problem import Problem, problem_info
from mtl_core.resolving import resolve
from mtl_core.specs import ExperimentSpec
from mtl_core.store import Store


def prepare(store: Store, experiment: ExperimentSpec) -> tuple[ExperimentSpec, Problem]:
    """The experiment with everything spelled out and its table in the store, and its problem. Raises UserError."""
    pinned, table = data.pin(experiment.data)
    if table is not None:
        store.put_table(*table)
        pinned = pinned.model_copy(update={"file": None})  # workers read the bytes that were there at submission
    problem = data.load(pinned, store.get_table)
    if pinned.fingerprint is not None:
        pinned = pinned.model_copy(update={"file": None})
    return resolve(experiment.model_copy(update={"data": pinned}), problem), problem


def submit(store: Store, experiment: ExperimentSpec, free: Sequence[float] | None = None) -> str:
    """Keep an experiment and queue those of its runs that nobody has trained; returns its id. Raises UserError.

    free: in how many seconds each of those who will train can begin; None: the store's workers that are not training, now.
    """
    spec, problem = prepare(store, experiment)
    sizes = {"features": problem.features.shape[1], "tasks": len(problem.tasks), "rows": problem.rows(0)}
    batches = plan(spec.runs().values(), **sizes, free=free or (0.0,) * max(1, sharing(store, spec)))
    return store.submit(spec, problem_info(problem), batches)


def sharing(store: Store, experiment: ExperimentSpec) -> int:
    """How many of the store's worker processes can begin with an experiment now, those that warm up among them.

    None if a single device is to train all of it. One that trains something else will be free some time, which is not known.
    """
    present = [one for one in store.workers.live() if one.kind == "process" and one.state != "training"]
    accelerated = any(one.device not in ("", "cpu") for one in present)
    if experiment.training.trunk == "module":  # only the process that made the module can train it
        return 0
    return 0 if experiment.device not in ("auto", "cpu") or (experiment.device == "auto" and accelerated) else len(present)
