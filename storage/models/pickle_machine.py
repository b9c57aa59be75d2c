"""A reader of the pickles that torch writes, which runs nothing of them.

A pickle is a program. The few instructions that torch writes are followed here over plain values;
what a program would import or call becomes a note of its name, or ends the reading. What may be
named is what `torch.load(weights_only=True)` lets through.
"""

import io
import pickletools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

STORAGES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "DoubleStorage": ("F64", 8),
        "FloatStorage": ("F32", 4),
        "HalfStorage": ("F16", 2),
        "BFloat16Storage": ("BF16", 2),
        "LongStorage": ("I64", 8),
        "IntStorage": ("I32", 4),
        "ShortStorage": ("I16", 2),
        "CharStorage": ("I8", 1),
        "ByteStorage": ("U8", 1),
        "BoolStorage": ("BOOL", 1),
        "UntypedStorage": ("U8", 1),
    }
)
REBUILD = "torch._utils._rebuild_tensor"
PARAMETER = "torch._utils._rebuild_parameter"
PARAMETER_DICT = "torch.nn.modules.container.ParameterDict"
TORCHS_OWN = re.compile(
    r"torch(\.cuda)?\.\w+(Storage|Tensor)"
    r"|torch\.([a-z]+\d\w*|bool|Tensor)"
    r"|torch\._utils\._rebuild_(tensor|parameter)\w*"
)
DICTS = frozenset({"collections.OrderedDict", "collections.Counter", PARAMETER_DICT})
HARMLESS = frozenset(
    {
        "builtins.set",
        "builtins.bytearray",
        "builtins.complex",
        "__builtin__.set",
        "_codecs.encode",
        "torch.Size",
        "torch.device",
        "torch.nn.parameter.Parameter",
        "torch.serialization._get_layout",
        "torch.storage.TypedStorage",
        "torch.storage.UntypedStorage",
        "torch._tensor._rebuild_from_type_v2",
        # Found in public Stable Diffusion checkpoints beside the state dict.
        "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
        "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
        "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "numpy.dtype",
    }
)


class NotACheckpointError(ValueError):
    """Says what is wrong with a file that torch should have written."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a checkpoint; its dtype by safetensors' name."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass(frozen=True)
class Storage:
    key: str
    dtype: str
    n_bytes: int


@dataclass(eq=False)
class _Opaque:
    """A value that does not matter here."""


@dataclass(eq=False)
class Machine:
    """Follows one pickle after another. Its values are plain, or the notes above."""

    storages: dict[str, Storage] = field(default_factory=dict)
    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self, stream: io.BytesIO) -> Any:
        self.stack, self.marks, self.memo = [], [], {}
        for opcode, argument, _ in pickletools.genops(stream):
            instruction = _INSTRUCTIONS.get(opcode.name)
            if instruction is None:
                problem = f"torch does not write {opcode.name}"
                raise NotACheckpointError(problem)
            instruction(self, argument)
        return self.stack.pop()

    def popped_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def put(self, index: Any) -> None:
        self.memo[int(index)] = self.stack[-1]

    def memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def get(self, index: Any) -> None:
        self.stack.append(self.memo[int(index)])

    def tuple_of(self, count: int) -> None:
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        self.stack.append(items)

    def append(self, _: Any) -> None:
        item = self.stack.pop()
        self.extend_with([item])

    def appends(self, _: Any) -> None:
        self.extend_with(self.popped_to_mark())

    def extend_with(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_pairs([key, value])

    def set_items(self, _: Any) -> None:
        self.set_pairs(self.popped_to_mark())

    def set_pairs(self, pairs: list[Any]) -> None:
        if isinstance(self.stack[-1], dict):
            for key, value in zip(pairs[::2], pairs[1::2], strict=True):
                if isinstance(key, str | int):  # others name no tensor, and may be slow to hash
                    self.stack[-1][key] = value

    def name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(_allowed(f"{module}.{name}"))

    def stack_name(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(_allowed(f"{module}.{name}"))

    def storage(self, _: Any) -> None:
        said = self.stack.pop()
        kind, key, count = said[1], str(said[2]), int(said[4])
        dtype, itemsize = STORAGES.get(kind.name.rpartition(".")[2], ("", 1))
        self.storages[key] = Storage(key, dtype, count * itemsize)
        self.stack.append(self.storages[key])

    def call(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(_called(function, arguments))

    def build(self, _: Any) -> None:
        state, built = self.stack.pop(), self.stack[-1]
        if isinstance(built, dict) and isinstance(state, dict):
            built.update(state.get("_parameters") or {})


def _allowed(name: str) -> _Global:
    if name in HARMLESS | DICTS or TORCHS_OWN.fullmatch(name):
        return _Global(name)
    problem = f"it holds {name}, which is no tensor; code in model files is never run"
    raise NotACheckpointError(problem)


def _called(function: Any, arguments: Any) -> Any:
    if not isinstance(function, _Global):
        problem = "it calls what cannot be called"
        raise NotACheckpointError(problem)
    if function.name in DICTS:
        return {}
    if function.name.startswith(PARAMETER):
        return arguments[0]
    if function.name.startswith(REBUILD):
        return _tensor(arguments[0], arguments[2])
    if function.name == "torch._tensor._rebuild_from_type_v2":
        return _called(arguments[0], arguments[2])
    return _Opaque()


def _tensor(storage: Any, shape: Any) -> StoredTensor:
    if not isinstance(storage, Storage) or not all(isinstance(n, int) and n >= 0 for n in shape):
        problem = "a tensor in it has no shape"
        raise NotACheckpointError(problem)
    return StoredTensor(tuple(shape), storage.dtype)


def _push_argument(machine: Machine, argument: Any) -> None:
    machine.push(argument)


def _nothing(_machine: Machine, _argument: Any) -> None:
    """Says how the pickle is written, not what is in it."""


def _value(make: Callable[[], Any]) -> Callable[[Machine, Any], None]:
    return lambda machine, _: machine.push(make())


def _tuple(count: int) -> Callable[[Machine, Any], None]:
    return lambda machine, _: machine.tuple_of(count)


_INSTRUCTIONS: Mapping[str, Callable[[Machine, Any], None]] = MappingProxyType(
    {
        **dict.fromkeys(("PROTO", "FRAME", "STOP"), _nothing),
        **dict.fromkeys(
            ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
            _push_argument,
        ),
        **dict.fromkeys(
            (
                "UNICODE",
                "BINUNICODE",
                "SHORT_BINUNICODE",
                "STRING",
                "BINSTRING",
                "SHORT_BINSTRING",
                "BINBYTES",
                "SHORT_BINBYTES",
            ),
            _push_argument,
        ),
        "NONE": _value(lambda: None),
        "NEWTRUE": _value(lambda: True),
        "NEWFALSE": _value(lambda: False),
        "EMPTY_TUPLE": _value(tuple),
        "EMPTY_LIST": _value(list),
        "EMPTY_DICT": _value(dict),
        "EMPTY_SET": _value(_Opaque),
        "TUPLE1": _tuple(1),
        "TUPLE2": _tuple(2),
        "TUPLE3": _tuple(3),
        "TUPLE": lambda machine, _: machine.push(tuple(machine.popped_to_mark())),
        "LIST": lambda machine, _: machine.push(machine.popped_to_mark()),
        "DICT": lambda machine, _: machine.push(_dict(machine.popped_to_mark())),
        "MARK": Machine.mark,
        **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine.put),
        **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine.get),
        "MEMOIZE": Machine.memoize,
        "APPEND": Machine.append,
        "APPENDS": Machine.appends,
        "SETITEM": Machine.set_item,
        "SETITEMS": Machine.set_items,
        "GLOBAL": Machine.name,
        "STACK_GLOBAL": Machine.stack_name,
        "BINPERSID": Machine.storage,
        "REDUCE": Machine.call,
        "NEWOBJ": Machine.call,
        "BUILD": Machine.build,
    }
)


def _dict(pairs: list[Any]) -> dict[Any, Any]:
    found = zip(pairs[::2], pairs[1::2], strict=True)
    return {key: value for key, value in found if isinstance(key, str | int)}
