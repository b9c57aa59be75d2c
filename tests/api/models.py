"""A models folder of tests, with room for what owners upload."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save

from api.models.intake import ModelIntake, Source
from storage.database import Database
from storage.disk_room import DiskRoom
from storage.fetch import Fetcher
from storage.models.checks import ModelChecks
from storage.models.library import ModelLibrary
from storage.models.owned import OwnedModels, Quota
from storage.models.store import ModelStore
from storage.models.uploads import ModelUploads, UploadTerms
from storage.owner_disk import OwnerDisk

MOST_BYTES = 100_000
MOST_MODELS = 3


def lora(rank: int = 2, seed: int = 0) -> bytes:
    """A LoRA for Stable Diffusion 1.x, with one layer."""
    stem = "lora_unet_input_blocks_1_1_transformer_blocks_0_attn2_to_k"
    down = np.full((rank, 768), seed, np.float32)
    up = np.zeros((8, rank), np.float32)
    tensors = {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
    return save(tensors, metadata={"title": "a test"})


def model_intake(
    folder: Path, database: Database, fetcher: Fetcher, disk: OwnerDisk | None = None
) -> ModelIntake:
    private = folder / "private"
    library = ModelLibrary(folder / "models", private)
    return ModelIntake(
        library,
        ModelChecks(library),
        ModelStore(private, OwnedModels(database, Quota(MOST_MODELS, 3 * MOST_BYTES))),
        ModelUploads(
            private / ".uploads", database, UploadTerms(MOST_BYTES, 4), DiskRoom(private, 0)
        ),
        Source(fetcher, ("models.example",)),
        disk=disk or OwnerDisk(database),
    )
