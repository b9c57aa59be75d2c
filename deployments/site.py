"""Facts about the machine that a replica runs on."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deployments.watches import SegmentWatch, no_segment_watch
from graph.errors import MissingModelFile
from graph.logs import LogFormat, set_up_logs
from graph.model_files.header import DEFAULT
from graph.model_files.limits import HeaderLimits
from graph.values import ModelFile
from storage.models.annotators import AnnotatorFolder
from storage.models.extra_paths import ExtraFolders
from storage.models.library import ModelLibrary

if TYPE_CHECKING:
    from diffusion.device import Placement
    from diffusion.families.registry import Families
    from diffusion.weights import Weights


@dataclass(frozen=True)
class Site:
    """Where models lie and what computes, the same for every replica."""

    models_dir: Path
    private_models_dir: Path
    device: str = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    torch_threads: int = 0
    hub: bool = False
    log: LogFormat = "text"
    otlp_endpoint: str | None = None
    header_limits: HeaderLimits = DEFAULT
    more_families: tuple[str, ...] = ()  # packages of them
    extra_folders: ExtraFolders = field(default_factory=ExtraFolders)

    def placement(self) -> "Placement":
        """The device and dtypes of this replica; also sets its number of threads, and its logs.

        Ray tells a replica of `num_cpus` 0 to use one thread; on a CPU that is not meant.
        """
        import torch  # noqa: PLC0415 - replicas import torch, the process that binds them does not

        from diffusion.device import choose  # noqa: PLC0415

        set_up_logs(self.log)
        torch.set_num_threads(self.torch_threads or os.cpu_count() or 1)
        return choose(self.device, self.dtype)

    def families(self) -> "Families":
        """The families of models that are served."""
        from deployments.more_families import families_with  # noqa: PLC0415

        return families_with(self.more_families)

    def library(self) -> ModelLibrary:
        """The shared model files and the owners' own."""
        return ModelLibrary(self.models_dir, self.private_models_dir, self.extra_folders)

    def opener(self) -> "Callable[[ModelFile], Weights]":
        """Opens the file of a description."""
        from diffusion.autoencoder.taesd import joined  # noqa: PLC0415
        from diffusion.weights import open_weights  # noqa: PLC0415

        folders, limits = self.library(), self.header_limits

        def opened(file: ModelFile) -> "Weights":
            parts = {p: open_weights(path, file, limits) for p, path in folders.parts(file).items()}
            return parts[""] if "" in parts else joined(file, parts)

        return opened

    def finder(self) -> Callable[[str, str], ModelFile]:
        """The description of a file by its folder and name. Raises MissingModelFile."""
        return self.library().find

    def annotators(self) -> AnnotatorFolder:
        """Where the weights of preprocessors are."""
        return AnnotatorFolder.of(self.models_dir, hub=self.hub)

    def watch(self) -> SegmentWatch:
        """What follows the segments that a replica runs."""
        if self.otlp_endpoint is None:
            return no_segment_watch
        from deployments.traces import open_traces  # noqa: PLC0415

        return open_traces(self.otlp_endpoint).on_stage

    def find(self, base: str) -> ModelFile:
        """The description of a base model by its name: of a checkpoint, or of a file without more.

        Raises:
            MissingModelFile: there is neither.
        """
        find = self.finder()
        try:
            return find("checkpoints", base)
        except MissingModelFile:
            with suppress(MissingModelFile):
                return find("diffusion_models", base)
            raise
