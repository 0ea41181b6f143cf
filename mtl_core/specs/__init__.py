"""What to run, as frozen values that are checked at the door.

    ExperimentSpec  = data + arms + seeds + training + selection     (what a person writes, links or clicks)
    RunSpec         = data + one arm + one seed + training + selection   (one lane; its hash is its identity)

Unset training values are filled from the data by `resolving.resolve`; a run's hash is taken of the resolved, canonical form,
so it does not depend on what was left to defaults, on names given to arms, on a file's path or on the device.
"""

from mtl_core.specs.arms import ArmSpec, GateSpec, single_task_arms
from mtl_core.specs.base import Spec, digest, sentence
from mtl_core.specs.data import OF_FILES, DataSpec
from mtl_core.specs.experiment import MAX_ARMS, MAX_SEEDS, RESULTS_VERSION, ExperimentSpec, RunSpec, parse_experiment
from mtl_core.specs.tasks import LOSSES, MAPS, Kind, TargetSpec, TaskSpec
from mtl_core.specs.training import GRAPH_TRUNKS, PhaseSpec, SelectionSpec, StopSpec, TrainingSpec

__all__ = [
    "GRAPH_TRUNKS",
    "LOSSES",
    "MAPS",
    "MAX_ARMS",
    "MAX_SEEDS",
    "OF_FILES",
    "RESULTS_VERSION",
    "ArmSpec",
    "DataSpec",
    "ExperimentSpec",
    "GateSpec",
    "Kind",
    "PhaseSpec",
    "RunSpec",
    "SelectionSpec",
    "Spec",
    "StopSpec",
    "TargetSpec",
    "TaskSpec",
    "TrainingSpec",
    "digest",
    "parse_experiment",
    "sentence",
    "single_task_arms",
]
