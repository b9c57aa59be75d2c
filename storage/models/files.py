"""Model files by name: the models folder in ComfyUI's layout, and extra_model_paths.yaml's.

Folder names, extensions and order are those of ComfyUI folder_paths.py, `folder_names_and_paths`
and `get_filename_list`: one list may come from several folders, sub-folders are part of a name.
"""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from graph.errors import MissingModelFile
from graph.values import ModelFile
from storage.models.extra_paths import ExtraFolders
from storage.paths import UnsafePathError, relative_name

EXTENSIONS = frozenset({".safetensors", ".ckpt", ".pt", ".pt2", ".bin", ".pth", ".pkl", ".sft"})
# Files in the same folders that nodes of ComfyUI-GGUF list, and no others.
GGUF = frozenset({".gguf"})
ONNX = frozenset({".onnx"})
READ = EXTENSIONS | GGUF | ONNX
LISTED: Mapping[str, frozenset[str]] = {
    "unet_gguf": GGUF,
    "clip_gguf": EXTENSIONS | GGUF,
    "face_swap": ONNX,
    "facerestore_models": EXTENSIONS | ONNX,
    "insightface": ONNX,
    "onnx": ONNX,
}
OTHER_NAMES: Mapping[str, str] = {
    "clip": "text_encoders",
    "unet": "diffusion_models",
    "clip_gguf": "text_encoders",
    "unet_gguf": "diffusion_models",
}
SEVERAL: Mapping[str, tuple[str, ...]] = {
    "text_encoders": ("text_encoders", "clip"),
    "diffusion_models": ("unet", "diffusion_models"),
    "controlnet": ("controlnet", "t2i_adapter"),
    "face_swap": ("insightface", "reswapper", "hyperswap"),
}
FLAT = frozenset({"face_swap"})  # lists without what lies in folders of their folders
# The folders that ComfyUI tells of, in its order (folder_paths.py).
FOLDERS = (
    "checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision",
    "style_models", "embeddings", "diffusers", "vae_approx", "controlnet", "gligen",
    "upscale_models", "hypernetworks", "photomaker", "classifiers", "model_patches",
    "audio_encoders", "ipadapter", "animatediff_models", "animatediff_motion_lora",
    "frame_interpolation",
)  # fmt: skip
# Models of two files, which ComfyUI offers in the list of another folder (nodes.py, VAELoader).
PAIRS: Mapping[str, tuple[str, ...]] = {"vae": ("taesd", "taesdxl", "taesd3", "taef1")}
PAIRS_LIE_IN = "vae_approx"
HALVES = ("encoder", "decoder")


SAME_TIME_NS = 2 * 10**9  # two changes so close may leave a directory the same time


@dataclass(frozen=True)
class _Listing:
    """What a folder held, and the times its directories had then."""

    names: tuple[str, ...]
    directories: Mapping[Path, int]  # mtime in ns, 0 for one that is not there
    read_ns: int

    def holds(self) -> bool:
        """Whether the folder is as it was, which its directories' times tell.

        A directory that had changed just before it was read may have changed again since.
        """
        return all(
            _mtime_ns(path) == time_ns and abs(self.read_ns - time_ns) > SAME_TIME_NS
            for path, time_ns in self.directories.items()
        )


class ModelFolders:
    """Names of model files and where they are: in the models folder, and in `extra` ones.

    Links are followed as ComfyUI does, unless `follow_links` is off: then a file must really lie
    in the models folder. Safe to use from several threads.
    """

    def __init__(
        self, root: Path, *, follow_links: bool = True, extra: ExtraFolders | None = None
    ) -> None:
        self._root = root
        self._extra = extra or ExtraFolders()
        self._follow_links = follow_links
        self._listings: dict[str, _Listing] = {}

    def list(self, folder: str) -> tuple[str, ...]:
        """The model files of `folder`, sorted, then pairs. It is walked only when it changed."""
        endings = LISTED.get(folder, EXTENSIONS)
        folder = OTHER_NAMES.get(folder, folder)
        files = (
            name
            for name in self._files(folder)
            if Path(name).suffix.lower() in endings and not (folder in FLAT and "/" in name)
        )
        pairs = (name for name in PAIRS.get(folder, ()) if len(self._halves(name)) == len(HALVES))
        return (*files, *pairs)

    def _files(self, folder: str) -> tuple[str, ...]:
        listing = self._listings.get(folder)
        if listing is None or not listing.holds():
            listing = self._read(folder)
            self._listings[folder] = listing
        return listing.names

    def find(self, folder: str, name: str) -> ModelFile:
        """The description of a file.

        Raises:
            MissingModelFile: there is no such model file.
        """
        folder = OTHER_NAMES.get(folder, folder)
        try:
            stats = [path.stat() for path in self.parts(ModelFile(folder, name)).values()]
        except OSError as error:  # deleted just now
            raise MissingModelFile(folder, name) from error
        stamp = "-".join(f"{stat.st_size}-{stat.st_mtime_ns}" for stat in stats)
        return ModelFile(folder, name, stamp)

    def parts(self, file: ModelFile) -> Mapping[str, Path]:
        """Where the file is, or the files of a pair are, each by the prefix its tensors get.

        Raises:
            MissingModelFile: it is not there any more, or never was.
        """
        if file.name not in PAIRS.get(file.folder, ()):
            return {"": self.path(file)}
        halves = self._halves(file.name)
        if len(halves) < len(HALVES):
            raise MissingModelFile(file.folder, file.name)
        return {f"taesd_{half}.": self._locate(PAIRS_LIE_IN, name) for half, name in halves.items()}

    def _halves(self, name: str) -> Mapping[str, str]:
        """The files of a pair that are there."""
        return {
            half: found
            for half in HALVES
            for found in reversed(self._files(PAIRS_LIE_IN))
            if found.startswith(f"{name}_{half}.")
        }

    def path(self, file: ModelFile) -> Path:
        """Where the file is.

        Raises:
            MissingModelFile: it is not there any more, or never was.
        """
        return self._locate(OTHER_NAMES.get(file.folder, file.folder), file.name)

    def _locate(self, folder: str, name: str) -> Path:
        try:
            relative = relative_name(name)
        except UnsafePathError as error:
            raise MissingModelFile(folder, name) from error
        for directory in self._directories(folder):
            path = directory / relative
            if path.suffix.lower() in READ and path.is_file() and self._allowed(path):
                return path
        raise MissingModelFile(folder, name)

    def _allowed(self, path: Path) -> bool:
        return self._follow_links or path.resolve().is_relative_to(self._root.resolve())

    def places(self, folder: str) -> tuple[Path, ...]:
        """The directories that the list of `folder` comes from."""
        return self._directories(OTHER_NAMES.get(folder, folder))

    def _directories(self, folder: str) -> tuple[Path, ...]:
        if "/" in folder or folder in {"", ".", ".."}:
            return ()
        own = (self._root / name for name in SEVERAL.get(folder, (folder,)))
        before, after = self._extra.before.get(folder, ()), self._extra.after.get(folder, ())
        return (*before, *own, *after)

    def _read(self, folder: str) -> _Listing:
        read_ns = time.time_ns()
        names: set[str] = set()
        times: dict[Path, int] = {}
        for directory in self._directories(folder):
            times[directory] = _mtime_ns(directory)
            for path, files in _walk(directory):
                times[path] = _mtime_ns(path)
                found = (path / file for file in files)
                names.update(
                    str(file.relative_to(directory))
                    for file in found
                    if file.suffix.lower() in READ and self._allowed(file)
                )
        return _Listing(tuple(sorted(names)), times, read_ns)


def _walk(directory: Path) -> Iterator[tuple[Path, list[str]]]:
    """Directories with their files; a link back to one already seen is not entered again."""
    seen = {directory.resolve()}
    for path, children, files in os.walk(directory, followlinks=True):
        here = Path(path)
        fresh = [c for c in children if c != ".git" and (here / c).resolve() not in seen]
        seen.update((here / child).resolve() for child in fresh)
        children[:] = fresh
        yield here, files


def _mtime_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
