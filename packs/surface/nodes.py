"""nodes: ComfyUI's own node classes, the two mappings, and common_ksampler."""

from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from packs.child.calls import current
from packs.surface import folder_paths
from packs.surface.comfy import model_management
from packs.surface.core_nodes import core_class, core_names
from packs.surface.saving import save_pngs
from packs.surface.service_values import run

MAX_RESOLUTION = 16384
EXTENSION_WEB_DIRS: dict[str, str] = {}
LOADED_MODULE_DIRS: dict[str, str] = {}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {}


class SaveImage:
    """Saves pictures as PNG in the output folder."""

    RETURN_TYPES: tuple[str, ...] = ()
    FUNCTION = "save_images"
    OUTPUT_NODE = True
    CATEGORY = "image"

    def __init__(self) -> None:
        self.output_dir = folder_paths.get_output_directory()
        self.type = "output"
        self.prefix_append = ""
        self.compress_level = 4

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "images": ("IMAGE",),
                "filename_prefix": ("STRING", {"default": "ComfyUI"}),
            },
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    def save_images(
        self,
        images: Any,
        filename_prefix: str = "ComfyUI",
        prompt: Any = None,
        extra_pnginfo: Any = None,
    ) -> dict[str, Any]:
        """Save each picture; says where."""
        found = folder_paths.get_directory_by_type(self.type)
        self.output_dir = found or self.output_dir
        prefix = filename_prefix + self.prefix_append
        text = {"prompt": prompt, **(extra_pnginfo or {})}
        saved = save_pngs(images, prefix, self.output_dir, text, self.compress_level)
        return {"ui": {"images": [{**one, "type": self.type} for one in saved]}}


class PreviewImage(SaveImage):
    """Saves pictures as PNG in the folder for temporary files."""

    def __init__(self) -> None:
        super().__init__()
        self.output_dir = folder_paths.get_temp_directory()
        self.type = "temp"
        self.prefix_append = "_temp"
        self.compress_level = 1

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"images": ("IMAGE",)},
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }


class LoadImage:
    """Reads a picture of the input folder."""

    RETURN_TYPES = ("IMAGE", "MASK")
    FUNCTION = "load_image"
    CATEGORY = "image"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        folder = Path(folder_paths.get_input_directory())
        files = sorted(path.name for path in folder.iterdir() if path.is_file())
        return {"required": {"image": (files, {"image_upload": True})}}

    def load_image(self, image: str) -> tuple[Any, ...]:
        """The pictures of a file, and what is transparent in them."""
        from imaging.decode import decode_image  # noqa: PLC0415 - few packs read files by this

        content = Path(folder_paths.get_annotated_filepath(image)).read_bytes()
        return decode_image(content)

    @classmethod
    def IS_CHANGED(cls, image: str) -> float:
        return Path(folder_paths.get_annotated_filepath(image)).stat().st_mtime

    @classmethod
    def VALIDATE_INPUTS(cls, image: str) -> bool | str:
        there = folder_paths.exists_annotated_filepath(image)
        return True if there else f"Invalid image file: {image}"


class _NodeClasses(MutableMapping[str, Any]):
    """The service's node classes, each made when it is asked for, and those that packs add."""

    def __init__(self) -> None:
        self._own: dict[str, Any] = {
            "SaveImage": SaveImage,
            "PreviewImage": PreviewImage,
            "LoadImage": LoadImage,
        }

    def __getitem__(self, name: str) -> Any:
        found = self._own.get(name) or core_class(name)
        if found is None:
            raise KeyError(name)
        return found

    def __setitem__(self, name: str, node_class: Any) -> None:
        self._own[name] = node_class

    def __delitem__(self, name: str) -> None:
        del self._own[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._own, *core_names())))

    def __len__(self) -> int:
        return len({*self._own, *core_names()})


NODE_CLASS_MAPPINGS = _NodeClasses()


def common_ksampler(
    model: Any,
    seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    positive: Any,
    negative: Any,
    latent: Any,
    denoise: float = 1.0,
    disable_noise: bool = False,
    start_step: int | None = None,
    last_step: int | None = None,
    force_full_denoise: bool = False,
) -> tuple[Any, ...]:
    """Sample a latent: the service does it, in one batch with what others sample."""
    how = {
        "model": model, "steps": steps, "cfg": cfg, "sampler_name": sampler_name,
        "scheduler": scheduler, "positive": positive, "negative": negative, "latent_image": latent,
    }  # fmt: skip
    plain = not disable_noise and start_step is None and last_step is None
    if plain:
        return run("KSampler", seed=seed, denoise=denoise, **how)
    if denoise < 1.0:
        how["steps"] = max(1, int(steps / denoise))
        start_step = how["steps"] - steps + (start_step or 0)
        last_step = None if last_step is None else how["steps"] - steps + last_step
    return run(
        "KSamplerAdvanced",
        noise_seed=seed,
        add_noise="disable" if disable_noise else "enable",
        start_at_step=start_step or 0,
        end_at_step=10_000 if last_step is None else last_step,
        return_with_leftover_noise="disable" if force_full_denoise else "enable",
        **how,
    )


def interrupt_processing(value: bool = True) -> None:
    """Stop the job that is running, of which this call is."""
    if value:
        current().stopped.set()


def before_node_execution() -> None:
    """Raise if the job was cancelled."""
    model_management.throw_exception_if_processing_interrupted()


def __getattr__(name: str) -> Any:
    """A node class of the service; a placeholder for one that only ComfyUI has."""
    if (found := core_class(name)) is not None:
        return found
    from graph.comfyui_nodes import load_comfyui_nodes  # noqa: PLC0415 - few packs ask
    from packs.surface.placeholders import placeholder  # noqa: PLC0415

    if name not in load_comfyui_nodes():  # packs look whether names of their own are there
        raise AttributeError(name)
    return placeholder(f"nodes.{name}")
