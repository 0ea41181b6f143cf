"""How a comparison trains and what selects its epochs: model, optimizer, phases, early stopping, the fixed criterion."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mtl_core.fields import Count, Names, NonNegative, Positive
from mtl_core.specs.base import Spec

GRAPH_TRUNKS = ("conv", "module")  # autograd takes their reverse pass, lane by lane dearer: they train in small batches


class PhaseSpec(Spec):
    """A stretch of epochs with settings of its own; None: as in the whole training.

    Parts that can be frozen: `trunk`, or the name of a task for its head. A frozen part keeps its parameters and its
    optimizer's memory, weight decay included. Tasks that are not active are absent.
    """

    epochs: Annotated[Count, Field(le=100_000)]
    name: str = ""
    lr: Positive | None = None
    trunk_lr: Positive | None = Field(None, description="learning rate of the shared trunk; None: lr")
    frozen: Names = Field((), description="parts that do not move: trunk, or names of tasks for their heads")
    tasks: Names | None = Field(None, min_length=1, description="active tasks; None: all")
    reset: tuple[Literal["optimizer", "weights"], ...] = Field(
        (), description="what starts anew with the phase: moments and step counts of the optimizer, states of the schemes"
    )


class TrainingSpec(Spec):
    """Model and optimizer; None means: chosen from the data."""

    epochs: Annotated[Count, Field(le=100_000)] | None = None
    batch_size: Count | None = None
    lr: Positive | None = None
    trunk: Literal["mlp", "conv", "point", "module"] | None = Field(
        None, description="what the tasks share: mlp; conv: convolutions, then dense layers; point: no network; module: your own"
    )
    hidden: tuple[Annotated[Count, Field(le=8192)], ...] | None = Field(None, max_length=16)
    channels: tuple[Annotated[Count, Field(le=1024)], ...] | None = Field(
        None, max_length=16, description="conv: channels of each convolution"
    )
    kernel: int | None = Field(None, ge=1, le=15, description="conv: side of the kernels, odd")
    strides: tuple[Annotated[Count, Field(le=8)], ...] | None = Field(
        None, max_length=16, description="conv: stride of each convolution; empty: 1"
    )
    module: str | None = Field(None, description="module: the name and digest of a module of your own, filled in by compare()")
    head_hidden: Annotated[int, Field(ge=0, le=8192)] | None = Field(
        None, description="hidden layer of each head: its width, or 0"
    )
    dropout: float | None = Field(None, ge=0, lt=1, description="share of the trunk's activations dropped in training")
    layer_norm: bool | None = Field(None, description="layer normalisation before each activation of the trunk")
    clip: NonNegative | None = Field(None, description="bound on the length of a run's whole gradient; 0: none")
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: NonNegative | None = None
    dtype: Literal["float32", "float64"] | None = None
    phases: tuple[PhaseSpec, ...] | None = Field(None, max_length=16, description="stretches of epochs that differ; None: one")

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.phases:
            total = sum(phase.epochs for phase in self.phases)
            if self.epochs not in (None, total):
                raise ValueError(f"the phases have {total} epochs together, and epochs says {self.epochs}; leave epochs out")
            object.__setattr__(self, "epochs", total)
        if self.kernel is not None and self.kernel % 2 == 0:
            raise ValueError(f"kernel is an odd number, so that a convolution has a middle, not {self.kernel}")
        if self.strides and self.channels is not None and len(self.strides) != len(self.channels):
            raise ValueError(f"strides has {len(self.strides)} values for {len(self.channels)} convolutions; say one for each")
        return self


class StopSpec(Spec):
    """Early stopping; the epoch kept is always the one the fixed criterion (or the primary task) likes best."""

    on: Literal["criterion", "any", "all", "primary"] = "criterion"
    task: str | None = Field(None, description="the primary task")
    patience: int = Field(10, ge=1, le=100_000)
    min_delta: NonNegative = 0.0

    @model_validator(mode="after")
    def _primary_names_its_task(self) -> Self:
        if (self.on == "primary") != (self.task is not None):
            raise ValueError("say stop: {on: primary, task: NAME}, with a task only for primary")
        return self


class SelectionSpec(Spec):
    """The fixed validation criterion and what may stop a run early. Nothing here can name a learned quantity."""

    weights: Literal["uniform", "domain", "priors"] | dict[str, NonNegative] = "uniform"
    scale: Literal["raw", "baseline", "single_task"] = "raw"
    stop: StopSpec | None = None
