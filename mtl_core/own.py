"""Trunks of one's own: `nn.Module`s that a program hands to `compare(..., trunk=...)`.

Every lane is a copy of the module, called through `torch.func` (slower than the built-in trunks: the reverse pass is autograd's).
A module maps `[rows, *input_shape]` (flat rows: `[rows, features]`) to `[rows, width]` or to a map `[rows, width, *places]`,
treats rows one by one and draws nothing: no batch norm, no dropout.

A run's identity holds the module's name and a digest of its structure, source and initial values, so that changed code is another
run. The last layer, for schemes that take its gradients, is the module's last two parameters. Modules live in the process that
made them: no file, link or page can name code to be run.
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
    from torch import Tensor, nn


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
    module = _made(factory)
    _check(module)
    found = _tried(module, input_shape)
    kind = re.sub(r"\W+", "_", type(module).__name__)
    name = f"{kind}-{_digest(module)}"
    shapes = tuple(tuple(part.shape) for part in module.parameters())
    _KNOWN[name] = OwnTrunk(name, factory, shapes, found.shape[1], tuple(found.shape[2:]), module)
    return name


def _made(factory: Any) -> nn.Module:
    """A module as the factory makes it; equal factories make equal modules, which the digest takes in."""
    import torch
    from torch import nn

    wanted = "trunk is a function (or class) without arguments that returns a new nn.Module at each call"
    if isinstance(factory, nn.Module) or not callable(factory):
        raise SpecError(f"{wanted}, not a {type(factory).__name__}.")
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module, another = factory(), factory()
    except TypeError as error:
        raise SpecError(f"{wanted}: {str(error).splitlines()[0][:200]}.") from error
    if not isinstance(module, nn.Module):
        raise SpecError(f"{wanted}, not a {type(module).__name__}.")
    if module is another:
        raise SpecError(f"{wanted}; this one returns the same module again.")
    return module


def _tried(module: nn.Module, input_shape: tuple[int, ...]) -> Tensor:
    """What the module makes of two rows, `[2, width, *places]`, mapped over two lanes as in training, with its reverse pass."""
    import torch

    names = [name for name, _ in module.named_parameters()]

    def one(*values: Tensor) -> Any:
        *parts, rows = values
        return torch.func.functional_call(module.train(), dict(zip(names, parts, strict=True)), (rows,))

    pieces = [torch.stack([part.detach().float()] * 2).requires_grad_() for part in module.parameters()]
    try:
        found = torch.vmap(one)(*pieces, torch.zeros(2, 2, *input_shape))
        torch.autograd.grad(found.sum(), pieces, allow_unused=True)
    except Exception as error:  # whatever a module of somebody's own may raise
        why = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise SpecError(f"The trunk cannot be run as lanes on rows of shape {list(input_shape)}: {why}") from error
    if found.dim() < 3 or found.shape[1] != 2:
        raise SpecError("The trunk must return one tensor, [rows, width] or [rows, width, places...].")
    tried: Tensor = found[0]
    return tried


def _check(module: nn.Module) -> None:
    from torch import nn

    parameters = list(module.parameters())
    if not parameters:
        raise SpecError("The trunk has no parameters, so the tasks would share nothing that is trained.")
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            raise SpecError("The trunk has batch norm, which mixes the rows of a batch; take nn.GroupNorm or nn.LayerNorm.")
        if isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0:
            raise SpecError("The trunk has dropout, which draws without a run's seed; take it out of the module.")
    if any(isinstance(part, nn.parameter.UninitializedParameter) for part in parameters):
        raise SpecError("The trunk has lazy layers, whose sizes are not known before they are run; give them their sizes.")
    if any(not part.is_floating_point() for part in parameters):
        raise SpecError("The trunk has parameters that are no real numbers.")
    if not all(part.requires_grad for part in parameters):
        raise SpecError(
            "Parameters of the trunk have requires_grad False; to freeze a trunk, say it in a phase: frozen: [trunk]."
        )


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
