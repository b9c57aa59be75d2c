"""Regional compilation: the blocks that a network repeats, compiled for sizes that are named.

Compiled code belongs to a kind of block and to shapes, not to weights: all blocks of a kind and
width share it, those of other models and those that LoRAs changed too. It is made within
`Regions.compiling`, never at another time; what no code was made for runs as it would without.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from diffusion.networks.packed_layers import PackedWeight

# For each argument of a block, the dimensions that may have any length but 1.
Free: TypeAlias = Sequence[tuple[int, ...]]
Blocks: TypeAlias = Mapping[type[nn.Module], Free]


@dataclass(frozen=True, eq=False)
class Code:
    """What was compiled for one kind of block and one set of shapes."""

    compiling: Callable[..., Any]  # compiles where nothing fits
    running: Callable[..., Any]  # runs as it stands where nothing fits


@dataclass(eq=False)
class Regions:
    """Compiled code of one replica. For one thread."""

    backend: str | Callable[..., Any] = "inductor"
    _compiles: bool = False
    _code: dict[Hashable, Code] = field(default_factory=dict)
    _placed: dict[type[nn.Module], type[nn.Module]] = field(default_factory=dict)

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """While it lasts, blocks are compiled for all that they are called with."""
        self._compiles = True
        try:
            yield
        finally:
            self._compiles = False

    def place(self, network: nn.Module, blocks: Blocks) -> None:
        """Let those of `blocks` that are in `network` run what was compiled for them.

        Copies of the network do as well.
        """
        placed = set(self._placed.values())
        for kind in blocks.keys() - self._placed.keys() - placed:
            self._placed[kind] = self._subclass(kind, blocks[kind])
        for block in network.modules():
            kind = type(block)
            if kind in blocks and kind not in placed:
                block.__class__ = self._placed[kind]

    def _subclass(self, kind: type[nn.Module], free: Free) -> type[nn.Module]:
        def forward(block: nn.Module, *arguments: Any) -> Any:
            key = _key(arguments, free)
            code = None if key is None else self._code_of(kind, (key, packing_of(block)))
            if code is None:
                return kind.forward(block, *arguments)
            arguments = tuple(map(_dense, arguments))
            if not self._compiles:
                return code.running(block, *arguments)
            _mark(arguments, free)
            return code.compiling(block, *arguments)

        return type(f"Compiled{kind.__name__}", (kind,), {"forward": forward})

    def _code_of(self, kind: type[nn.Module], key: Hashable) -> Code | None:
        code = self._code.get((kind, key))
        if code is None and self._compiles:
            function = _copied(kind.forward)
            compiling = torch.compile(function, fullgraph=True, dynamic=False, backend=self.backend)
            code = self._code[kind, key] = Code(compiling, torch._dynamo.run(function))
        return code


def _copied(function: Any) -> FunctionType:
    """`function` with code of its own: torch keeps what it compiles with the code it is made of."""
    return FunctionType(
        function.__code__.replace(),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )


def _dense(argument: Any) -> Any:
    """Tokens [N, T, D] as they lie in a tensor of their own, since code goes by strides."""
    if not isinstance(argument, Tensor) or argument.ndim != 3:
        return argument
    # Through two dimensions, as one picture out of many is contiguous whatever its stride.
    return argument.contiguous().flatten(0, 1).view(argument.shape)


def _key(arguments: Sequence[Any], free: Free) -> Hashable:
    """What code is made for; None where an argument is something else than tensors."""
    key = []
    for argument, dims in zip(arguments, free, strict=False):
        for tensor in argument if isinstance(argument, tuple) else (argument,):
            if not isinstance(tensor, Tensor):
                return None
            lengths = tuple(
                None if dim in dims and length > 1 else length
                for dim, length in enumerate(tensor.shape)
            )
            key.append((tensor.dtype, lengths))
    return tuple(key) if len(arguments) == len(free) else None


def packing_of(block: nn.Module) -> Hashable:
    """How the weights of a block are packed: code for one way is not that for another."""
    return tuple(
        (layer.packing, len(layer.changes))
        for layer in block.modules()
        if isinstance(layer, PackedWeight)
    )


def _mark(arguments: Sequence[Any], free: Free) -> None:
    """Tell torch which dimensions may have any length."""
    for argument, dims in zip(arguments, free, strict=True):
        for tensor in argument if isinstance(argument, tuple) else (argument,):
            for dim in dims:
                if tensor.shape[dim] > 1:
                    torch._dynamo.mark_dynamic(tensor, dim)
