"""folder_paths: where models, inputs and outputs lie.

Models are where the service has them, and cannot be written. Inputs, outputs and temporary files
are those of the call that asks; what is left in its output folder is saved as the job's.
"""

import mimetypes
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packs.child.calls import PROCESS, current

supported_pt_extensions: set[str] = {
    ".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft", ".gguf",
}  # fmt: skip
extension_mimetypes_cache: dict[str, str] = {"webp": "image", "fbx": "model"}
FOLDERS = (
    "checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision",
    "style_models", "embeddings", "diffusers", "vae_approx", "controlnet", "gligen",
    "upscale_models", "latent_upscale_models", "custom_nodes", "hypernetworks", "photomaker",
    "classifiers", "model_patches", "audio_encoders", "animatediff_models", "ipadapter",
)  # fmt: skip
LEGACY = {"unet": "diffusion_models", "clip": "text_encoders"}

_start = PROCESS.start
base_path: str = str(_start.get("scratch", "."))
models_dir: str = str(_start.get("models_dir", os.path.join(base_path, "models")))  # noqa: PTH118
output_directory: str = os.path.join(base_path, "output")  # noqa: PTH118
temp_directory: str = os.path.join(base_path, "temp")  # noqa: PTH118
input_directory: str = os.path.join(base_path, "input")  # noqa: PTH118
user_directory: str = os.path.join(base_path, "user")  # noqa: PTH118
filename_list_cache: dict[str, Any] = {}
folder_names_and_paths: dict[str, tuple[list[str], set[str]]] = {}


def _known_folders() -> None:
    given = _start.get("model_folders") or {}
    for name in (*FOLDERS, *given):
        paths = list(given.get(name) or [str(Path(models_dir, name))])
        extensions = {".yaml"} if name == "configs" else set(supported_pt_extensions)
        folder_names_and_paths[name] = (paths, extensions)
    folder_names_and_paths["custom_nodes"] = (
        [str(Path(str(_start.get("pack", "."))).parent)],
        set(),
    )


_known_folders()


class CacheHelper:
    """Lists of files are not cached here."""

    def __init__(self) -> None:
        self.cache: dict[str, Any] = {}
        self.active = False

    def get(self, key: str, default: Any = None) -> Any:
        return self.cache.get(key, default)

    def set(self, key: str, value: Any) -> None:
        del key, value

    def clear(self) -> None:
        self.cache.clear()

    def __enter__(self) -> "CacheHelper":
        return self

    def __exit__(self, *_: object) -> None:
        return None


cache_helper = CacheHelper()


def map_legacy(folder_name: str) -> str:
    """The name of today of a folder."""
    return LEGACY.get(folder_name, folder_name)


def get_output_directory() -> str:
    return str(current().folders.output)


def get_temp_directory() -> str:
    return str(current().folders.temp)


def get_input_directory() -> str:
    return str(current().folders.input)


def get_user_directory() -> str:
    return str(current().folders.user)


def get_system_user_directory(name: str = "system") -> str:
    return str(current().folders.user / f"__{name}")


def get_public_user_directory(user_id: str) -> str:
    return str(current().folders.user / user_id)


def _refuse(*_: Any) -> None:
    """Folders are the service's to choose."""


set_output_directory = set_temp_directory = set_input_directory = set_user_directory = _refuse


def get_directory_by_type(type_name: str) -> str | None:
    """The folder of `output`, `temp` or `input`; None for others."""
    folders = current().folders
    known = {"output": folders.output, "temp": folders.temp, "input": folders.input}
    return str(known[type_name]) if type_name in known else None


def filter_files_content_types(files: list[str], content_types: Sequence[str]) -> list[str]:
    """The files of kinds such as `image` or `video`, as their names say."""

    def kind(name: str) -> str:
        extension = name.rpartition(".")[2]
        if extension not in extension_mimetypes_cache:
            guessed, _ = mimetypes.guess_type(name, strict=False)
            if not guessed:
                return ""
            extension_mimetypes_cache[extension] = guessed.partition("/")[0]
        return extension_mimetypes_cache[extension]

    return [name for name in files if kind(name) in content_types]


def annotated_filepath(name: str) -> tuple[str, str | None]:
    """A name without `[output]`, `[input]` or `[temp]`, and the folder that it says."""
    for kind in ("output", "input", "temp"):
        if name.endswith(f"[{kind}]"):
            return name[: -len(kind) - 3].rstrip(), get_directory_by_type(kind)
    return name, None


def get_annotated_filepath(name: str, default_dir: str | None = None) -> str:
    """The path of a file whose name may say its folder; inputs where it does not."""
    found, folder = annotated_filepath(name)
    return _inside(folder or default_dir or get_input_directory(), found)


def exists_annotated_filepath(name: str) -> bool:
    found, folder = annotated_filepath(name)
    return Path(folder or get_input_directory(), found).exists()


def _inside(folder: str, name: str) -> str:
    path = os.path.abspath(os.path.join(folder, name))  # noqa: PTH100, PTH118
    if os.path.commonpath((os.path.abspath(folder), path)) != os.path.abspath(folder):  # noqa: PTH100
        raise ValueError(f"Invalid file path: {name}")
    return path


def add_model_folder_path(
    folder_name: str, full_folder_path: str, is_default: bool = False
) -> None:
    """Search another folder for models."""
    name = map_legacy(folder_name)
    paths, _ = folder_names_and_paths.setdefault(name, ([], set()))
    if full_folder_path in paths:
        if not is_default:
            return
        paths.remove(full_folder_path)
    paths.insert(0 if is_default else len(paths), full_folder_path)


def get_folder_paths(folder_name: str) -> list[str]:
    return list(folder_names_and_paths[map_legacy(folder_name)][0])


def recursive_search(
    directory: str, excluded_dir_names: list[str] | None = None
) -> tuple[list[str], dict[str, float]]:
    """The files below a folder, and when each of its folders was changed."""
    if not Path(directory).is_dir():
        return [], {}
    excluded = set(excluded_dir_names or ())
    files: list[str] = []
    folders = {directory: os.path.getmtime(directory)}  # noqa: PTH204
    for place, below, names in os.walk(directory, followlinks=True):
        below[:] = [name for name in below if name not in excluded]
        files += [os.path.relpath(os.path.join(place, name), directory) for name in names]  # noqa: PTH118
        for name in below:
            path = os.path.join(place, name)  # noqa: PTH118
            folders[path] = os.path.getmtime(path)  # noqa: PTH204
    return files, folders


def filter_files_extensions(
    files: Sequence[str], extensions: Sequence[str] | set[str]
) -> list[str]:
    """The files with one of these extensions, in order; all where there are none."""
    return sorted(
        {one for one in files if not extensions or Path(one).suffix.lower() in extensions}
    )


def get_full_path(folder_name: str, filename: str) -> str | None:
    """The path of a model file; None where it is not there."""
    name = map_legacy(folder_name)
    if name not in folder_names_and_paths:
        return None
    relative = os.path.relpath(os.path.join("/", filename), "/")  # noqa: PTH118
    for folder in folder_names_and_paths[name][0]:
        path = Path(folder, relative)
        if path.is_file():
            return str(path)
    return None


def get_full_path_or_raise(folder_name: str, filename: str) -> str:
    path = get_full_path(folder_name, filename)
    if path is None:
        raise FileNotFoundError(
            f"Model in folder '{folder_name}' with filename '{filename}' not found."
        )
    return path


def get_filename_list_(folder_name: str) -> tuple[list[str], dict[str, float], float]:
    """The model files of a folder, its folders, and the time."""
    paths, extensions = folder_names_and_paths[map_legacy(folder_name)]
    found: set[str] = set()
    folders: dict[str, float] = {}
    for path in paths:
        files, inside = recursive_search(path, excluded_dir_names=[".git"])
        found |= set(filter_files_extensions(files, extensions))
        folders |= inside
    return sorted(found), folders, time.perf_counter()


def get_filename_list(folder_name: str) -> list[str]:
    """The model files of a folder."""
    return get_filename_list_(folder_name)[0]


def cached_filename_list_(folder_name: str) -> None:
    """Nothing is cached."""
    del folder_name


def get_input_subfolders() -> list[str]:
    root = Path(get_input_directory())
    found = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_dir())
    return sorted(found)


def get_save_image_path(
    filename_prefix: str, output_dir: str, image_width: int = 0, image_height: int = 0
) -> tuple[str, str, int, str, str]:
    """Where to save the next file of a prefix: folder, name, number, subfolder, prefix."""
    now = time.localtime()
    words = {
        "%width%": str(image_width),
        "%height%": str(image_height),
        "%year%": str(now.tm_year),
        "%month%": f"{now.tm_mon:02}",
        "%day%": f"{now.tm_mday:02}",
        "%hour%": f"{now.tm_hour:02}",
        "%minute%": f"{now.tm_min:02}",
        "%second%": f"{now.tm_sec:02}",
    }
    for word, said in words.items():
        filename_prefix = filename_prefix.replace(word, said)
    normal = os.path.normpath(filename_prefix)
    subfolder, filename = os.path.dirname(normal), os.path.basename(normal)  # noqa: PTH119, PTH120
    folder = _inside(output_dir, subfolder)
    Path(folder).mkdir(parents=True, exist_ok=True)
    taken = re.compile(rf"{re.escape(filename)}_(\d+)_", re.IGNORECASE)
    numbers = [int(found[1]) for name in os.listdir(folder) if (found := taken.match(name))]  # noqa: PTH208
    return folder, filename, max(numbers, default=0) + 1, subfolder, filename_prefix
