"""A pack's process as tests start it, with values as NumPy arrays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deployments.pack_arrays import array_of, parts_of
from deployments.pack_types import pack_type
from graph.nodes import load_node_types
from graph.object_info import describe
from packs.confinement.confine import Confinement
from packs.process import OURS, ROOT, Ask, PackProcess, Starting, Tell
from packs.results import ResultReader
from packs.travel import Traveller
from packs.wire import Message

FOLDER = Path(__file__).parent / "folder"
CORE = ("KSampler", "KSamplerAdvanced", "CLIPTextEncode", "VAEDecode")


class NoFiles:
    """No model files and no uploads."""

    def models(self, folder: str) -> list[str]:
        return []

    def uploads(self, kind: str) -> list[str]:
        return []


def starting(name: str, scratch: Path, *, memory_bytes: int = 4 * 2**30, **how: Any) -> Starting:
    """How a pack of tests/packs/folder, or of another place, is started."""
    folder = FOLDER / name
    readable = (*(str(ROOT / one) for one in OURS), str(folder))
    limits = Confinement(readable, (), memory_bytes, 2**30)
    types = load_node_types()
    core = {one: describe(types[one], NoFiles()) for one in CORE}
    return Starting(name, folder, scratch, {"core": core}, limits, load_s=240, **how)


class Toy:
    """One process of the toy pack."""

    def __init__(self, process: PackProcess) -> None:
        self.process = process
        self.traveller = Traveller("toy_pack", "p1", parts_of, array_of)
        self.described: Mapping[str, Any] = {}
        self.routes: Any = None

    @classmethod
    async def start(cls, scratch: Path, **how: Any) -> "Toy":
        toy = cls(PackProcess(starting("toy_pack", scratch, **how)))
        await toy.process.start()
        said = (await toy.process.call("describe", {}, deadline_s=120)).said
        toy.routes = said["routes"]
        toy.described = {one["entry"]["name"]: one for one in said["nodes"]}
        return toy

    async def ask(
        self, do: str, class_type: str, inputs: Mapping[str, Any], *, deadline_s: float = 120,
        tell: Tell = lambda _: None, ask: Ask | None = None, **said: Any,
    ) -> Message:  # fmt: skip
        """The answer to a call of a class."""
        encoder = self.traveller.encoder()
        given = {name: self.traveller.encode(encoder, value) for name, value in inputs.items()}
        facts = {"class": class_type, "owner": "me", "node": "1", "inputs": given, "types": {}}
        return await self.process.call(
            do, {**facts, **said}, encoder.buffers, deadline_s=deadline_s, tell=tell, ask=ask
        )

    async def run(self, class_type: str, **inputs: Any) -> Any:
        """What a node gives, as the graph has it."""
        return self.read(class_type, await self.ask("run", class_type, inputs))

    def read(self, class_type: str, message: Message) -> Any:
        known = pack_type("toy_pack", self.described[class_type])
        return ResultReader("toy_pack", known, self.traveller).read(message)
