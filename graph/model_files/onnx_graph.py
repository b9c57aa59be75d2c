"""Reads what an ONNX file says of itself, within limits, before anything runs it.

The file is a protobuf message. Field numbers are those of onnx.proto3.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

from graph.model_files.limits import BadHeaderError

MOST_BYTES = 2 * 2**30  # protobuf's own limit
MOST_NODES = 20_000  # the largest network that is used here has 500
MOST_NUMBERS = 2_000_000  # that say what follows; such a network has 20,000
MOST_WEIGHTS_BYTES = 64 * 2**20  # of the last ones
DEEPEST = 8  # graphs in nodes of graphs
DOMAINS = frozenset({b"", b"ai.onnx", b"com.microsoft"})  # operators that are built in
UNBOUNDED = frozenset({b"Loop", b"Scan"})  # how often they run is a number in the file
VARINT, FIXED64, BLOCK, FIXED32 = 0, 1, 2, 5
MODEL_GRAPH, MODEL_FUNCTIONS = 7, 25
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_SPARSE = 1, 5, 15
NODE_OPERATOR, NODE_ATTRIBUTE, NODE_DOMAIN = 4, 5, 7
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS = 5, 6, 10, 11
ATTRIBUTE_SPARSE = frozenset({22, 23})
TAG_BITS = 32  # a protobuf reader drops those above, and reads another field
TENSOR_DIMS, TENSOR_TYPE, TENSOR_FLOATS, TENSOR_RAW = 1, 2, 4, 9
TENSOR_EXTERNAL, TENSOR_LOCATION = 13, 14
FLOAT = 1
SPARSE = "it has sparse weights, which are not read"


@dataclass(frozen=True)
class Span:
    """A part of the file."""

    start: int
    end: int


@dataclass(frozen=True)
class OnnxGraph:
    """What a file was found to be: how many nodes, and where its last weights lie."""

    nodes: int
    last_weights: Span | None


def read_onnx(path: Path) -> OnnxGraph:
    """Looks through the whole file.

    Raises:
        BadHeaderError: it is damaged, names other files, has operators that are not built in or may
            not end, or is over the limits.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        if size > MOST_BYTES:
            problem = f"it has {size} bytes; the limit is {MOST_BYTES}"
            raise BadHeaderError(problem)
        if not size:
            problem = "it is empty"
            raise BadHeaderError(problem)
        with mmap(stream.fileno(), 0, access=ACCESS_READ) as data:
            return _Walk(data).model()


def last_weights(path: Path) -> tuple[tuple[int, ...], bytes] | None:
    """Shape and little-endian float32 of the last tensor of the graph, if it is of that type.

    Raises:
        BadHeaderError: as of `read_onnx`.
    """
    span = read_onnx(path).last_weights
    if span is None:
        return None
    with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as data:
        return _Walk(data).floats(span)


@dataclass(eq=False)
class _Walk:
    data: mmap
    nodes: int = 0
    read: int = 0

    def model(self) -> OnnxGraph:
        graphs = []
        for number, kind, value in self.fields(Span(0, len(self.data))):
            if number == MODEL_FUNCTIONS:
                problem = "it has functions of its own, which are not run"
                raise BadHeaderError(problem)
            if number == MODEL_GRAPH and kind == BLOCK:
                graphs.append(value)
        if len(graphs) != 1:
            problem = "it is no ONNX file: it has no graph"
            raise BadHeaderError(problem)
        last = self.graph(graphs[0], 0)
        if not self.nodes:
            problem = "its graph has no nodes"
            raise BadHeaderError(problem)
        return OnnxGraph(self.nodes, last)

    def graph(self, span: Span, depth: int) -> Span | None:
        """Checks a graph; its last weights."""
        if depth > DEEPEST:
            problem = f"its graphs lie more than {DEEPEST} deep in each other"
            raise BadHeaderError(problem)
        last = None
        for number, kind, value in self.fields(span):
            if kind != BLOCK:
                continue
            if number == GRAPH_NODE:
                self.node(value, depth)
            elif number == GRAPH_INITIALIZER:
                self.tensor(value)
                last = value
            elif number == GRAPH_SPARSE:
                raise BadHeaderError(SPARSE)
        return last

    def node(self, span: Span, depth: int) -> None:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            problem = f"its graph has more than {MOST_NODES} nodes"
            raise BadHeaderError(problem)
        for number, kind, value in self.fields(span):
            if kind != BLOCK:
                continue
            said = self.data[value.start : min(value.end, value.start + 64)]
            if number == NODE_DOMAIN and said not in DOMAINS:
                problem = f"it has operators of the library {said.decode(errors='replace')!r}"
                raise BadHeaderError(problem)
            if number == NODE_OPERATOR and said in UNBOUNDED:
                problem = f"it has the operator {said.decode()}, which is not run here"
                raise BadHeaderError(problem)
            if number == NODE_ATTRIBUTE:
                self.attribute(value, depth)

    def attribute(self, span: Span, depth: int) -> None:
        for number, kind, value in self.fields(span):
            if kind == BLOCK and number in {ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS}:
                self.tensor(value)
            elif kind == BLOCK and number in {ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS}:
                self.graph(value, depth + 1)
            elif number in ATTRIBUTE_SPARSE:
                raise BadHeaderError(SPARSE)

    def tensor(self, span: Span) -> None:
        for number, _, value in self.fields(span):
            if number == TENSOR_EXTERNAL or (number == TENSOR_LOCATION and value.start):
                problem = "its weights lie in another file, which is not read"
                raise BadHeaderError(problem)

    def floats(self, span: Span) -> tuple[tuple[int, ...], bytes] | None:
        dims, floats, kind_of = [], b"", 0
        for number, kind, value in self.fields(span):
            if number == TENSOR_DIMS:
                dims += [value.start] if kind == VARINT else list(self.numbers(value))
            elif number == TENSOR_TYPE:
                kind_of = value.start
            elif number in {TENSOR_RAW, TENSOR_FLOATS} and kind == BLOCK:
                if value.end - value.start > MOST_WEIGHTS_BYTES:
                    problem = f"its last weights have more than {MOST_WEIGHTS_BYTES} bytes"
                    raise BadHeaderError(problem)
                floats = self.data[value.start : value.end]
        return (tuple(dims), floats) if kind_of == FLOAT else None

    def numbers(self, span: Span) -> Iterator[int]:
        at = span.start
        while at < span.end:
            value, at = self.varint(at, span.end)
            yield value

    def fields(self, span: Span) -> Iterator[tuple[int, int, Span]]:
        """Number, wire type and content of each field; a number is a Span that starts with it."""
        at = span.start
        while at < span.end:
            key, at = self.varint(at, span.end)
            kind = key & 7
            if key >> TAG_BITS:
                problem = "it is no ONNX file, or damaged"
                raise BadHeaderError(problem)
            if kind == VARINT:
                value, at = self.varint(at, span.end)
                yield key >> 3, kind, Span(value, 0)
                continue
            if kind == BLOCK:
                length, at = self.varint(at, span.end)
            elif kind in {FIXED64, FIXED32}:
                length = 8 if kind == FIXED64 else 4
            else:
                problem = "it is no ONNX file, or damaged"
                raise BadHeaderError(problem)
            if length > span.end - at:
                problem = "it is no ONNX file, or cut short"
                raise BadHeaderError(problem)
            yield key >> 3, kind, Span(at, at + length)
            at += length

    def varint(self, at: int, end: int) -> tuple[int, int]:
        self.read += 1
        if self.read > MOST_NUMBERS:
            problem = f"it has more than {MOST_NUMBERS} parts"
            raise BadHeaderError(problem)
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                break
            byte = self.data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, at
        problem = "it is no ONNX file, or cut short"
        raise BadHeaderError(problem)
