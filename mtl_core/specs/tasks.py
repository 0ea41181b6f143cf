"""What a task is: its kind, its loss, and what a user may say of a target column."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from mtl_core.fields import NonNegative, Positive
from mtl_core.specs.base import Spec

Kind = Literal[
    "regression", "multi_output", "binary", "multiclass", "count", "segmentation", "dense_regression", "detection", "function"
]
LOSSES: dict[str, tuple[str, ...]] = {  # allowed losses by kind, the default first
    "regression": ("mse", "l1", "huber"),
    "multi_output": ("mse", "l1", "huber"),
    "binary": ("bce", "focal"),
    "multiclass": ("ce",),
    "count": ("zinb", "poisson"),
    "segmentation": ("pixel_ce",),
    "dense_regression": ("l1", "mse", "huber"),
    "detection": ("grid",),
    "function": ("landscape_1", "landscape_2"),
}
MAPS = ("segmentation", "dense_regression", "detection")  # kinds with a prediction for every place of a grid
BOX = 4  # numbers of a box: its centre within the cell, its width and height within the image


class TaskSpec(Spec):
    """One task: its kind, the loss it trains on, and what a scheme may know of it.

    Target columns of a map are place after place of its grid, row by row; at each place a class (segmentation), its channels
    (dense_regression), or `object, x, y, width, height, class` of a detection cell: 1 or 0, the centre within the cell and the
    size within the image, all from 0 to 1, and the class; numbers of a cell without an object are 0.
    """

    name: str = Field(min_length=1)
    kind: Kind
    width: int = Field(1, ge=1, le=1 << 20, description="target columns: horizon or latent size of a vector, numbers of a map")
    grid: tuple[int, ...] = Field((), max_length=2, description="maps: places along each axis, such as (height, width)")
    classes: tuple[str, ...] = Field((), max_length=1000, description="class names in code order")
    loss: str = Field("", description="empty: the kind's default")
    positive_weight: Positive = Field(1.0, description="binary: weight of the positive class")
    focal_gamma: NonNegative = Field(2.0, description="binary focal loss: exponent")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="multiclass: smoothing")
    huber_delta: Positive = Field(1.0, description="regression Huber: threshold in scaled units")
    object_weight: NonNegative = Field(1.0, description="detection: coefficient of the objectness term")
    box_weight: NonNegative = Field(1.0, description="detection: coefficient of the box term")
    class_weight: NonNegative = Field(1.0, description="detection: coefficient of the class term")
    prior: float = Field(0.0, description="task prior: initial log-variance s for presets that use priors")
    scaled: bool = Field(True, description="regression: z-score the target by training statistics before the loss")
    unit: str = ""
    extra_metrics: tuple[Literal["nasa_score"], ...] = Field((), description="metrics beyond those of the kind")

    @model_validator(mode="after")
    def _loss_belongs_to_kind(self) -> Self:
        allowed = LOSSES[self.kind]
        if not self.loss:
            object.__setattr__(self, "loss", allowed[0])
        if self.loss not in allowed:
            raise ValueError(f'a {self.kind} task trains on {" or ".join(allowed)}, not "{self.loss}"')
        least = {"multiclass": 2, "segmentation": 2, "detection": 1}.get(self.kind, 0)
        if len(self.classes) < least:
            raise ValueError(f'task "{self.name}" needs at least {"two classes" if least == 2 else "one class"}')
        return self

    @model_validator(mode="after")
    def _a_map_has_a_grid(self) -> Self:
        if (self.kind in MAPS) != bool(self.grid):
            raise ValueError(f'task "{self.name}": a grid belongs to {", ".join(MAPS)}, and to them only')
        if self.kind == "segmentation":
            object.__setattr__(self, "width", self.places)
        elif self.kind == "detection":
            object.__setattr__(self, "width", self.places * (BOX + 2))
        elif self.grid and self.width % self.places:
            raise ValueError(f'task "{self.name}": a map of {self.places} places has a multiple of {self.places} columns')
        return self

    @property
    def is_regression(self) -> bool:
        """Whether its targets are amounts, measured by their distance from what is predicted."""
        return self.kind in ("regression", "multi_output", "dense_regression")

    @property
    def places(self) -> int:
        """Places of the grid of a map; 1 for any other kind."""
        return math.prod(self.grid)

    @property
    def outputs_a_place(self) -> int:
        """Outputs of the model at each place of the grid; for kinds without a grid all of them."""
        if self.kind in ("multiclass", "segmentation"):
            return len(self.classes)
        if self.kind == "detection":
            return 1 + BOX + len(self.classes)
        if self.kind == "count":
            return 3 if self.loss == "zinb" else 1
        return 2 if self.kind == "function" else self.width // self.places

    @property
    def outputs(self) -> int:
        """All outputs of the model for this task."""
        return self.places * self.outputs_a_place

    @property
    def elements(self) -> int:
        """Loss elements a row: one a target column, except that a row of detection cells is one."""
        return 1 if self.kind == "detection" else self.width


class TargetSpec(Spec):
    """What the user says of a target column; everything left out is inferred."""

    kind: Kind | None = None
    loss: str = ""
    positive_weight: Positive = 1.0
    focal_gamma: NonNegative = 2.0
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    huber_delta: Positive = 1.0
