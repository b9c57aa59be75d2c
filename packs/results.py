"""Checks and converts the results of a pack's node, which are untrusted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graph.node import NodeType
from graph.prompt import Node, Source
from graph.results import ExecutionBlocker, Expansion
from graph.values import Audio, Items, Latent
from packs.encoding import BadValueError
from packs.errors import PackResultError
from packs.travel import PackValue, Traveller
from packs.wire import Message

MOST_NODES = 10_000

Takes = Callable[[Any], bool]


def _is_image(value: Any) -> bool:
    return "float" in str(getattr(value, "dtype", "")) and value.data.ndim in {3, 4}


def _is_mask(value: Any) -> bool:
    return hasattr(value, "dtype") and 1 <= value.data.ndim <= 4


TENSORS = frozenset({"IMAGE", "MASK"})
SOCKETS: Mapping[str, tuple[str, Takes]] = {
    "IMAGE": ("floats [B, H, W, C]", _is_image),
    "MASK": ("a tensor [B, H, W]", _is_mask),
    "LATENT": ("a mapping with samples", lambda value: isinstance(value, Latent)),
    "AUDIO": ("a mapping with waveform and sample_rate", lambda value: isinstance(value, Audio)),
    "CONDITIONING": ("a list of prompts", lambda value: isinstance(value, tuple)),
}


@dataclass(frozen=True)
class ResultReader:
    """Reads the answers of one process for one node type."""

    pack: str
    node_type: NodeType
    traveller: Traveller

    def read(self, message: Message) -> Any:
        """What the node's function would have returned here. Raises PackResultError."""
        try:
            return self._read(message)
        except (BadValueError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise PackResultError(self.pack, f"a result that is none ({error})") from error

    def _read(self, message: Message) -> Any:
        said = message.said
        outputs = tuple(self._outputs(said["outputs"], message.buffers))
        if (expand := said.get("expand")) is not None:
            return self._expansion(expand, outputs, message.buffers)
        return outputs if len(outputs) > 1 else next(iter(outputs), None)

    def _outputs(self, said: Sequence[Any], buffers: Sequence[memoryview]) -> list[Any]:
        found = []
        for declared, one in zip(self.node_type.outputs, said, strict=True):
            if declared.is_list and isinstance(one, list):
                items = [self._value(item, buffers) for item in one]
                found.append(Items(tuple(self._checked(declared.type, item) for item in items)))
            else:
                found.append(self._checked(declared.type, self._value(one, buffers)))
        return found

    def _value(self, said: Any, buffers: Sequence[memoryview]) -> Any:
        if isinstance(said, dict) and said.get("$") == "link":
            node_id, slot = said["to"]
            return Source(str(node_id), int(slot))
        return self.traveller.decode(said, buffers)

    def _checked(self, kind: str, value: Any) -> Any:
        if value is None or isinstance(value, Source | ExecutionBlocker):
            return value
        wanted, takes = SOCKETS.get(kind, ("", lambda _: True))
        if kind in TENSORS and isinstance(value, list) and len(value) == 1:
            value = value[0]  # ComfyUI's own nodes go through such a list as through a batch
        if not takes(value):
            got = value.kind if isinstance(value, PackValue) else _shown(value)
            raise PackResultError(self.pack, f"{got} for its output {kind}, which is {wanted}")
        return value

    def _expansion(
        self, said: Mapping[str, Any], outputs: tuple[Any, ...], buffers: Sequence[memoryview]
    ) -> Expansion:
        if len(said) > MOST_NODES:
            raise BadValueError(f"a graph of {len(said)} nodes")
        nodes, shown_as = {}, {}
        for node_id, node in said.items():
            inputs = {str(name): self._value(one, buffers) for name, one in node["inputs"].items()}
            nodes[node_id] = Node(str(node["class_type"]), inputs)
            if isinstance(node.get("shown_as"), str):
                shown_as[node_id] = node["shown_as"]
        return Expansion(nodes, outputs, shown_as, global_ids=True)


def _shown(value: Any) -> str:
    if hasattr(value, "dtype"):
        return f"a tensor {list(value.data.shape)} of {value.dtype}"
    return f"a {type(value).__name__}"
