"""What a scenario is, and the few drawing steps that generators share.

Shared representation of the synthetic scenarios: latents `z ~ N(0, I)`, representation `r = tanh(V z)` with orthogonal
`V` times a gain, each component scaled to unit variance, and one signal `f_i = a_i · r` a task. The `a_i` are unit vectors with
one common cosine, the knob `relatedness`. The components of r are independent, so that cosine is also the correlation
of the signals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from mtl_core.problem import TEST, TRAIN, VALIDATION, Problem

GAIN = 1.5  # of tanh: bent enough that a linear model misses part of the representation

KnobValue = bool | int | float | str | Mapping[str, float]


class Knob(NamedTuple):
    """One adjustable difficulty of a scenario; its default decides its type. Limits are inclusive.

    A knob by task maps names of tasks to numbers and is empty by default: it overrides, for the tasks it names, what other knobs
    say. Its choices are the tasks that may be named; of them a knob `tasks`, where there is one, leaves the first so many.
    """

    default: KnobValue
    low: float | None
    high: float | None
    help: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """A built-in data set with named tasks; `load` takes every knob by name."""

    name: str
    title: str
    story: str
    synthetic: bool
    knobs: Mapping[str, Knob]
    load: Callable[..., Problem]
    positive: bool = True  # no loss goes below 0


def by_task(low: float, high: float, help: str, tasks: Sequence[str]) -> Knob:
    """A knob by task: any of these tasks, each with a number within the limits."""
    return Knob({}, low, high, help, tuple(tasks))


def is_by_task(knob: Knob) -> bool:
    """Whether the knob maps names of tasks to numbers."""
    return isinstance(knob.default, Mapping)


def tasks_of(knob: Knob, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Tasks that a knob by task may name, under these values of the other knobs."""
    return knob.choices[: int(values.get("tasks", len(knob.choices)))]


SEED = Knob(0, 0, 2**31 - 1, "Seed of the generator: the same knobs always give the same data.")


def split_rows(rng: np.random.Generator, rows: int, validation: float = 0.2, test: float = 0.2) -> Int8[np.ndarray, " rows"]:
    """A shuffled split with exactly the asked shares (rounded); the rest is for training."""
    split = np.full(rows, TRAIN, dtype=np.int8)
    first, second = round(rows * validation), round(rows * test)
    split[:first] = VALIDATION
    split[first : first + second] = TEST
    return rng.permutation(split)


def reveal(
    rng: np.random.Generator, split: Int8[np.ndarray, " rows"], share: float, strata: Int[np.ndarray, " rows"] | None = None
) -> Bool[np.ndarray, " rows"]:
    """Which rows carry a label: the asked share of every split, and of every stratum inside it; at least one row of each."""
    cells = split.astype(np.int64) if strata is None else split + 3 * strata.astype(np.int64)
    shown = np.zeros(len(split), dtype=bool)
    for cell in np.unique(cells):
        rows = rng.permutation(np.flatnonzero(cells == cell))
        shown[rows[: max(1, round(share * len(rows)))]] = True
    return shown


def hide(targets: Float[np.ndarray, "rows width"], shown: Bool[np.ndarray, " rows"]) -> Float[np.ndarray, "rows width"]:
    """Targets with NaN, a missing label, where they are not shown."""
    return np.where(shown[:, None], targets, np.nan)


def orthogonal(rng: np.random.Generator, size: int) -> Float[np.ndarray, "size size"]:
    """A uniformly drawn rotation (or reflection)."""
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    return np.asarray(q * np.sign(np.diag(r)))


def directions(rng: np.random.Generator, count: int, size: int, cosine: float) -> Float[np.ndarray, "count size"]:
    """`count` unit vectors of which any two have this cosine. Possible from -1/(count - 1) to 1, with size >= count."""
    gram = np.full((count, count), cosine) + (1 - cosine) * np.eye(count)
    values, vectors = np.linalg.eigh(gram)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    return np.asarray(root @ orthogonal(rng, size)[:count])


def representation(rng: np.random.Generator, latents: Float[np.ndarray, "rows size"]) -> Float[np.ndarray, "rows size"]:
    """`r = tanh(V z)`, every component scaled to unit variance (by quadrature, so rows do not depend on each other)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    variance = (weights * np.tanh(GAIN * nodes) ** 2).sum() / weights.sum()
    return np.asarray(np.tanh(GAIN * latents @ orthogonal(rng, latents.shape[1])) / np.sqrt(variance))


def geometric(low: float, ratio: float, count: int) -> Float[np.ndarray, " count"]:
    """`low` to `low * ratio` in equal factors."""
    return np.asarray(low * ratio ** (np.arange(count) / max(1, count - 1)))


def numbered(stem: str, count: int) -> list[str]:
    """`stem_01`, `stem_02`, ..."""
    return [f"{stem}_{i + 1:02d}" for i in range(count)]


def rounded(values: Mapping[str, float] | Sequence[float], digits: int = 4) -> Any:
    """Plain floats, short enough to read, for `Problem.truth`."""
    if isinstance(values, Mapping):
        return {name: round(float(value), digits) for name, value in values.items()}
    return [round(float(value), digits) for value in values]
