"""Interprets the pickles that torch writes without executing them.

A pickle is a program. The few instructions that torch writes are followed here over plain values;
what a program would import or call becomes a note of its name, or ends the reading. What may be
named is what `torch.load(weights_only=True)` lets through. Work is linear in the pickle's size:
values are never printed, hashed or compared unless they are numbers or short texts.
"""

import io
import pickletools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from graph.model_files.limits import BadHeaderError, HeaderLimits

# dtypes go by their safetensors names, with their bytes.
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
        "ComplexFloatStorage": ("C64", 8),
        "UntypedStorage": ("U8", 1),
    }
)
DTYPES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "torch.float64": ("F64", 8),
        "torch.float32": ("F32", 4),
        "torch.float16": ("F16", 2),
        "torch.bfloat16": ("BF16", 2),
        "torch.float8_e4m3fn": ("F8_E4M3", 1),
        "torch.float8_e5m2": ("F8_E5M2", 1),
        "torch.float8_e4m3fnuz": ("F8_E4M3FNUZ", 1),
        "torch.float8_e5m2fnuz": ("F8_E5M2FNUZ", 1),
        "torch.float8_e8m0fnu": ("F8_E8M0", 1),
        "torch.int64": ("I64", 8),
        "torch.int32": ("I32", 4),
        "torch.int16": ("I16", 2),
        "torch.int8": ("I8", 1),
        "torch.uint64": ("U64", 8),
        "torch.uint32": ("U32", 4),
        "torch.uint16": ("U16", 2),
        "torch.uint8": ("U8", 1),
        "torch.bool": ("BOOL", 1),
        "torch.complex64": ("C64", 8),
    }
)
REBUILD = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
REBUILD_AS = "torch._utils._rebuild_tensor_v3"  # its dtype is its seventh argument
REBUILD_TYPED = "torch._tensor._rebuild_from_type_v2"
PARAMETERS = (
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch.nn.parameter.Parameter",
)
PARAMETER_DICT = "torch.nn.modules.container.ParameterDict"
TORCHS_OWN = re.compile(
    r"torch(\.cuda)?\.\w+(Storage|Tensor)|torch\.([a-z]+\d\w*|bool|Tensor)"
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
        REBUILD_TYPED,
        # Found in public Stable Diffusion checkpoints beside the state dict.
        "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
        "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
        "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "numpy.dtype",
    }
)
STEPS_PER_TENSOR = 64  # torch writes about 35
STEPS_BESIDE = 100_000  # for what trainers put beside the tensors
NAME_CHARS = 200  # of what a pickle may import; a text used often costs its length each time
KEY_CHARS = 40  # of a storage; torch numbers them, or writes an address
NUMBER_BITS = 96  # of the largest that torch writes, its magic number


@dataclass(frozen=True, eq=False)
class Storage:
    """Bytes that tensors are views of."""

    key: str
    dtype: str
    itemsize: int
    count: int

    @property
    def n_bytes(self) -> int:
        return self.count * self.itemsize


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A view of a storage. `offset` and `strides` count elements."""

    storage: Storage
    dtype: str
    itemsize: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int


@dataclass(frozen=True, eq=False)
class Named:
    name: str


@dataclass(eq=False)
class _Opaque:
    """A value that does not matter here."""


@dataclass(eq=False)
class PickleProgram:
    """Follows one pickle after another. Its values are plain, or the notes above."""

    limits: HeaderLimits
    storages: dict[str, Storage] = field(default_factory=dict)
    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    tensors: int = 0

    def __post_init__(self) -> None:
        self._steps_left = self.limits.tensors * STEPS_PER_TENSOR + STEPS_BESIDE

    def run(self, stream: io.BytesIO) -> Any:
        """What the next pickle of the stream makes.

        Raises:
            BadHeaderError: torch did not write it, or it is over the limits. Of a damaged pickle
                also any other exception.
        """
        self.stack, self.marks, self.memo = [], [], {}
        for opcode, argument, _ in pickletools.genops(stream):
            self.spend(1)
            instruction = _INSTRUCTIONS.get(opcode.name)
            if instruction is None:
                problem = f"torch does not write {opcode.name}"
                raise BadHeaderError(problem)
            instruction(self, argument)
        return self.stack.pop()

    def spend(self, steps: int) -> None:
        """Count work. Raises BadHeaderError once there was more than a file of tensors makes."""
        self._steps_left -= steps
        if self._steps_left < 0:
            problem = "its pickle has more in it than tensors"
            raise BadHeaderError(problem)

    def popped_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def number(self, value: int) -> None:
        if isinstance(value, int) and value.bit_length() > NUMBER_BITS:
            problem = "its pickle has a number that torch does not write"
            raise BadHeaderError(problem)
        self.stack.append(value)

    def put(self, index: Any) -> None:
        self.memo[int(index)] = self.stack[-1]

    def memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def get(self, index: Any) -> None:
        self.stack.append(self.memo[int(index)])

    def tuple_of(self, count: int) -> None:
        items = tuple(self.stack[-count:])
        if len(items) < count:
            problem = "its pickle is damaged"
            raise BadHeaderError(problem)
        del self.stack[-count:]
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
            self.stack[-1].update(_named(zip(pairs[::2], pairs[1::2], strict=True)))

    def name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(self.named(module, name))

    def stack_name(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(self.named(module, name))

    def storage(self, _: Any) -> None:
        said = self.stack.pop()
        what, kind, key, _, count = said[:5]
        if what != "storage" or not isinstance(kind, Named) or not _counts(count):
            problem = "a storage in it is not described"
            raise BadHeaderError(problem)
        if len(said) > 5 and said[5] is not None:
            problem = "it has views of storages, which no torch since 0.4 writes"
            raise BadHeaderError(problem)
        if not isinstance(key, str) or len(key) > KEY_CHARS or not key.isprintable():
            problem = "a storage in it has a name that torch does not write"
            raise BadHeaderError(problem)
        dtype, itemsize = STORAGES.get(kind.name.rpartition(".")[2], ("", 0))
        if not itemsize:
            problem = f"it has a {kind.name[:60]}, which is not served"
            raise BadHeaderError(problem)
        storage = self.storages.setdefault(key, Storage(key, dtype, itemsize, count))
        if (storage.dtype, storage.count) != (dtype, count):
            problem = f"its storage {key!r} is described twice"
            raise BadHeaderError(problem)
        self.stack.append(storage)

    def call(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Named):
            problem = "it calls what cannot be called"
            raise BadHeaderError(problem)
        name = function.name
        if name == REBUILD_TYPED and isinstance(arguments[0], Named):  # a tensor of a subclass
            name, arguments = arguments[0].name, arguments[2]
        self.stack.append(self._called(name, arguments))

    def _called(self, name: str, arguments: Any) -> Any:
        if name in DICTS:
            return dict(_named(self._pairs(arguments)))
        if name in PARAMETERS:
            return arguments[0]
        if name in REBUILD or name == REBUILD_AS:
            self.tensors += 1
            self.limits.check_count(self.tensors)
            return self._tensor(arguments, arguments[6] if name == REBUILD_AS else None)
        if name.startswith("torch._utils._rebuild_"):
            problem = f"it has a tensor made by {name[:60]}, which is not served"
            raise BadHeaderError(problem)
        return self.unknown(name)

    def named(self, module: Any, name: Any) -> Named:
        return _allowed(module, name)

    def unknown(self, _name: str) -> Any:
        return _Opaque()

    def state_set(self, built: Any, state: Any) -> None: ...

    def _tensor(self, arguments: Any, dtype: Any) -> StoredTensor:
        storage, offset, shape, strides = arguments[:4]
        known = DTYPES.get(dtype.name) if isinstance(dtype, Named) else None
        if not isinstance(storage, Storage) or (dtype is not None and known is None):
            problem = "a tensor in it is not described"
            raise BadHeaderError(problem)
        for numbers in (shape, strides):
            if not isinstance(numbers, tuple | list) or len(numbers) > self.limits.dims:
                problem = f"a tensor in it has no shape, or more than {self.limits.dims} dimensions"
                raise BadHeaderError(problem)
        if len(shape) != len(strides) or not all(map(_counts, (offset, *shape, *strides))):
            problem = "a tensor in it has no shape"
            raise BadHeaderError(problem)
        kind, itemsize = known or (storage.dtype, storage.itemsize)
        return StoredTensor(storage, kind, itemsize, tuple(shape), tuple(strides), offset)

    def _pairs(self, arguments: Any) -> Iterable[tuple[Any, Any]]:
        """What Python 2 wrote an OrderedDict from: a list of pairs, or nothing."""
        listed = arguments[0] if arguments and isinstance(arguments[0], list) else []
        self.spend(len(listed))
        return [(pair[0], pair[1]) for pair in listed]

    def build(self, _: Any) -> None:
        state, built = self.stack.pop(), self.stack[-1]
        parameters = state.get("_parameters") if isinstance(state, dict) else None
        if isinstance(built, dict) and isinstance(parameters, dict):  # a ParameterDict
            self.spend(len(parameters))
            built.update(parameters)
        self.state_set(built, state)


def _allowed(module: Any, name: Any) -> Named:
    texts = isinstance(module, str) and isinstance(name, str)
    if not texts or len(module) + len(name) > NAME_CHARS:
        problem = "it names what is no name"
        raise BadHeaderError(problem)
    whole = f"{module}.{name}"
    if whole in HARMLESS | DICTS or TORCHS_OWN.fullmatch(whole):
        return Named(whole)
    shown = ascii(whole[:80])[1:-1]
    problem = f"it holds {shown}, which is no tensor; code in model files is never run"
    raise BadHeaderError(problem)


def _named(pairs: Iterable[tuple[Any, Any]]) -> Iterable[tuple[str | int, Any]]:
    """The pairs whose key may name a tensor; others may be slow to hash."""
    return ((key, value) for key, value in pairs if isinstance(key, str | int))


def _counts(number: Any) -> bool:
    return type(number) is int and number >= 0


def _nothing(_program: PickleProgram, _argument: Any) -> None:
    """Says how the pickle is written, not what is in it."""


def _value(make: Callable[[], Any]) -> Callable[[PickleProgram, Any], None]:
    return lambda program, _: program.push(make())


def _tuple(count: int) -> Callable[[PickleProgram, Any], None]:
    return lambda program, _: program.tuple_of(count)


def _dict(pairs: list[Any]) -> dict[Any, Any]:
    return dict(_named(zip(pairs[::2], pairs[1::2], strict=True)))


_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
_TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING")
_INSTRUCTIONS: Mapping[str, Callable[[PickleProgram, Any], None]] = MappingProxyType(
    {
        **dict.fromkeys(("PROTO", "FRAME", "STOP"), _nothing),
        **dict.fromkeys(_NUMBERS, PickleProgram.number),
        **dict.fromkeys((*_TEXTS, "BINBYTES", "SHORT_BINBYTES"), PickleProgram.push),
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
        "TUPLE": lambda program, _: program.push(tuple(program.popped_to_mark())),
        "LIST": lambda program, _: program.push(program.popped_to_mark()),
        "DICT": lambda program, _: program.push(_dict(program.popped_to_mark())),
        "MARK": PickleProgram.mark,
        **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), PickleProgram.put),
        **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), PickleProgram.get),
        "MEMOIZE": PickleProgram.memoize,
        "APPEND": PickleProgram.append,
        "APPENDS": PickleProgram.appends,
        "SETITEM": PickleProgram.set_item,
        "SETITEMS": PickleProgram.set_items,
        "GLOBAL": PickleProgram.name,
        "STACK_GLOBAL": PickleProgram.stack_name,
        "BINPERSID": PickleProgram.storage,
        "REDUCE": PickleProgram.call,
        "NEWOBJ": PickleProgram.call,
        "BUILD": PickleProgram.build,
    }
)
