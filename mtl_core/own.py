"""Trunks of one's own: `nn.Module`s that a program hands to `compare(..., trunk=...)`.

Every lane is a copy of the module, called through `torch.func` (slower than the built-in trunks: the reverse pass is autograd's).
A module maps `[rows, *input_shape]` (flat rows: `[rows, features]`) to `[rows, width]` or to a map `[rows, width, *places]`,
treats rows one by one and draws nothing: no batch norm, no dropout.

A run's identity holds the module's name and a digest of its structure and source, so that changed code is another run. Modules
live in the process that made them: no file, link or page can name code to be run.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mtl_core.errors import SpecError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class OwnTrunk:
    """A module that lanes can be made of."""

    name: str  # NAME-DIGEST, as specs have it
    factory: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]  # of its parameters, in order
    width: int  # of its representation, at each place
    map: tuple[int, ...]  # places of its representation; () for a vector
    module: nn.Module  # one of them, whose parameters are never read


_KNOWN: dict[str, OwnTrunk] = {}


def own_trunk(name: str) -> OwnTrunk:
    """A trunk that this process has made known. Raises SpecError for any other."""
    if name not in _KNOWN:
        raise SpecError(
            f'training.module: the trunk "{name}" is a module of somebody\'s own and lives in the program that made it; '
            "run it from there with compare(..., trunk=...), or choose the trunk mlp or conv."
        )
    return _KNOWN[name]


def is_known(name: str) -> bool:
    """Whether this process has made the trunk known."""
    return name in _KNOWN


def make_known(factory: Callable[[], nn.Module], input_shape: tuple[int, ...]) -> str:
    """The name under which specs may use the modules that `factory()` makes. Raises SpecError for those that cannot be lanes."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # so that equal factories make equal modules, which the digest takes in
        module = factory()
    if not isinstance(module, nn.Module):
        raise SpecError(f"trunk is a function that returns a new nn.Module at each call, not a {type(module).__name__}.")
    _check(module)
    with torch.no_grad():
        try:
            found = module.eval()(torch.zeros(2, *input_shape))
        except (RuntimeError, ValueError, TypeError) as error:
            raise SpecError(
                f"The trunk cannot take rows of shape {list(input_shape)}: {str(error).splitlines()[0][:200]}"
            ) from error
    if not isinstance(found, torch.Tensor) or found.dim() < 2 or len(found) != 2:
        raise SpecError("The trunk must return one tensor, [rows, width] or [rows, width, places...].")
    kind = re.sub(r"\W+", "_", type(module).__name__)
    name = f"{kind}-{_digest(module)}"
    shapes = tuple(tuple(part.shape) for part in module.parameters())
    if not shapes:
        raise SpecError("The trunk has no parameters, so the tasks would share nothing that is trained.")
    _KNOWN[name] = OwnTrunk(name, factory, shapes, found.shape[1], tuple(found.shape[2:]), module)
    return name


def _check(module: nn.Module) -> None:
    from torch import nn

    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            raise SpecError("The trunk has batch norm, which mixes the rows of a batch; take nn.GroupNorm or nn.LayerNorm.")
        if isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0:
            raise SpecError("The trunk has dropout, which draws without a run's seed; take it out of the module.")
    if any(not part.is_floating_point() for part in module.parameters()):
        raise SpecError("The trunk has parameters that are no real numbers.")


def _digest(module: nn.Module) -> str:
    """Of structure, settings, initial values and, where it can be had, source."""
    sources = {type(part): _source(type(part)) for part in module.modules()}
    text = repr(module) + "".join(sorted(sources.values())) + str([tuple(part.shape) for part in module.parameters()])
    values = b"".join(part.detach().double().numpy().tobytes() for part in [*module.parameters(), *module.buffers()])
    return hashlib.sha256(text.encode() + values).hexdigest()[:12]


def _source(kind: Any) -> str:
    if kind.__module__.startswith("torch."):
        return str(kind)
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return str(kind)
