"""Header checks of model files, cached so that each file is read once."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

from graph.errors import BadModelFile, MissingModelFile, shortened
from graph.families import FAMILIES
from graph.family_marks import Family
from graph.model_files.header import Entry, Header
from graph.values import ModelFile
from storage.models.files import ModelFolders
from storage.models.header_reader import HeaderReader
from storage.models.kinds import UNKNOWN, misplaced, misshapen, nature_of
from storage.models.layer_names import changed_layers, unet_layers
from storage.models.layers import Layers, layers_of

REMEMBERED = 4096  # files


@dataclass(frozen=True)
class Facts:
    """What a file holds, which family of models it is for, and why it cannot be used, if so.

    `layers` are those of a U-Net's transformers that it has, or that it changes. `names` are all
    names of a U-Net's layers, or those that a LoRA gives to the layers it changes.
    """

    kind: str = UNKNOWN
    family: str = ""
    problem: str | None = None
    layers: Layers = field(default_factory=dict, compare=False)
    names: frozenset[str] = field(default=frozenset(), compare=False)


class ModelChecks:
    """Facts of the files of a models folder. Safe to use from several threads."""

    def __init__(
        self,
        folders: ModelFolders,
        reader: HeaderReader | None = None,
        families: Sequence[Family] = FAMILIES,
    ) -> None:
        self._folders = folders
        self._reader = reader or HeaderReader()
        self._families = families
        self._known: OrderedDict[ModelFile, Facts] = OrderedDict()  # a stamp is part of a file
        self._lock = Lock()

    def known(self, file: ModelFile) -> Facts | None:
        """The facts of a file, if its header has been read."""
        return self._known.get(file)

    async def learn(self, file: ModelFile) -> None:
        """Read the header of a file that is not known yet, beside the event loop."""
        if file not in self._known:
            await self._reader.beside(lambda: self.facts(file))

    async def metadata(self, file: ModelFile) -> Mapping[str, str]:
        """What a file's author wrote in its header, read beside the event loop.

        Raises:
            BadModelFile, MissingModelFile: it cannot be read.
        """

        def written() -> Mapping[str, str]:
            paths = self._folders.parts(file).values()
            found = [self._reader.read(path, file).metadata for path in paths]
            return {name: text for one in found for name, text in one.items()}

        return await self._reader.beside(written)

    def facts(self, file: ModelFile) -> Facts:
        """What the header of a file says."""
        with self._lock:
            known = self._known.get(file)
        if known is None:
            known = self._read(file)
            with self._lock:
                self._known[file] = known
                while len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
        return known

    def family(self, file: ModelFile) -> str:
        """The family of models that a file is, or is for; "" where it does not say."""
        return self.facts(file).family

    def layers(self, file: ModelFile) -> Layers:
        """The layers of a U-Net that a file has, or changes."""
        return self.facts(file).layers

    def names(self, file: ModelFile) -> frozenset[str]:
        """The names of a U-Net's layers, or those that a LoRA gives to what it changes."""
        return self.facts(file).names

    def _read(self, file: ModelFile) -> Facts:
        tensors: dict[str, Entry] = {}
        try:
            for prefix, path in self._folders.parts(file).items():
                header = self._reader.read(path, file)
                tensors |= {prefix + name: entry for name, entry in header.tensors.items()}
        except BadModelFile as error:
            return Facts(problem=error.problem)
        except MissingModelFile:
            return Facts(problem="it is not there any more")
        return facts_of(Header(tensors, {}), file.folder, self._families)


def facts_of(header: Header, folder: str, families: Sequence[Family] = FAMILIES) -> Facts:
    """What a file with this header is, in `folder` of the models folder."""
    nature = nature_of(header, families)
    kind = nature.kind
    problem = nature.problem or misplaced(header, folder, kind) or misshapen(header, kind)
    shown = problem and shortened(problem)
    of_lora = kind == "lora"
    names = changed_layers(header.tensors) if of_lora else unet_layers(header.tensors)
    return Facts(kind, nature.family, shown, layers_of(header.tensors, kind), names)
