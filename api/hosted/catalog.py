"""Finds models by the names that hosted-API clients use: file name, stem, or alias."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

from api.hosted.options import HostedOptions
from api.hosted.problems import ModelNotFoundError
from graph.families import BY_NAME
from graph.family_marks import Family

# Which input lists the files of a folder.
LISTED_BY: Mapping[str, tuple[str, str]] = {
    "checkpoints": ("CheckpointLoaderSimple", "ckpt_name"),
    "loras": ("LoraLoader", "lora_name"),
    "vae": ("VAELoader", "vae_name"),
    "controlnet": ("ControlNetLoader", "control_net_name"),
    "animatediff_models": ("ADE_AnimateDiffLoaderGen1", "model_name"),
    "upscale_models": ("UpscaleModelLoader", "model_name"),
    "ipadapter": ("IPAdapterModelLoader", "ipadapter_file"),
    "clip_vision": ("CLIPVisionLoader", "clip_name"),
    "face_swap": ("FaceSwapByReference", "swap_model"),
}
LOADED_FROM: Mapping[str, str] = {name: folder for folder, (_, name) in LISTED_BY.items()}
FamilyOf = Callable[[str, str], Awaitable[str]]  # of folder and file, "" where it does not say
UNKNOWN = Family("", "")


class Catalog:
    """The node types and files that one owner may use, and other names for the files."""

    def __init__(
        self, node_types: Mapping[str, Any], options: HostedOptions, family_of: FamilyOf
    ) -> None:
        self.node_types = node_types
        self._options = options
        self._family_of = family_of

    async def family(self, folder: str, file: str) -> Family:
        """The family of models that a file is, or is for; one without a name if it says none."""
        return BY_NAME.get(await self._family_of(folder, file), UNKNOWN)

    async def native_px(self, checkpoint: str) -> int:
        """The side of the pictures that a checkpoint draws best."""
        known = self._options.native_px.get(checkpoint)
        return known or (await self.family("checkpoints", checkpoint)).native_px

    def files(self, folder: str) -> list[str]:
        class_type, name = LISTED_BY[folder]
        if class_type not in self.node_types:
            return []
        return list(self.inputs(class_type)[name][0])

    def inputs(self, class_type: str) -> dict[str, Any]:
        """The inputs of a node type, as /object_info has them."""
        sections = self.node_types[class_type]["input"]
        return {**sections.get("required", {}), **sections.get("optional", {})}

    def aliases(self, folder: str) -> Mapping[str, str]:
        return self._options.aliases.get(folder, {})

    def find(self, folder: str, name: str) -> str:
        """The file of a name. One that is not listed stays: an upload may be known by its id."""
        name = self.aliases(folder).get(name, name)
        files = self.files(folder)
        for same in (str, stem, _bare, _bare_lower):
            found = [file for file in files if same(file) == same(name)]
            if found:
                return found[0]
        return name

    def default(self, folder: str, *roles: str) -> str:
        """The alias of the first role that has one, else the first file.

        Raises:
            ModelNotFoundError: there is no file.
        """
        for role in (*roles, "default"):
            if role in self.aliases(folder):
                return self.find(folder, role)
        files = self.files(folder)
        if not files:
            raise ModelNotFoundError(roles[0] if roles else "default", folder)
        return files[0]

    async def best(self, folder: str, words: Collection[str], like: str = "") -> str | None:
        """The first file with one of the words in its name.

        Of several one for the family of `like`, a checkpoint, if there is one.
        """
        files = self.files(folder)
        found = [file for file in files if any(word in file.lower() for word in words)]
        if like and len(found) > 1:
            family = await self.family("checkpoints", like)
            for file in found:
                if await self.family(folder, file) is family:
                    return file
        return found[0] if found else None


def stem(file: str) -> str:
    """A file's name without its ending."""
    suffix = PurePosixPath(file).suffix
    return file.removesuffix(suffix) if suffix.lower() in ENDINGS else file


def _bare(file: str) -> str:
    return PurePosixPath(stem(file)).name


def _bare_lower(file: str) -> str:
    return _bare(file).lower()


ENDINGS = frozenset(
    {".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".sft", ".pt2", ".pkl", ".gguf"}
)
