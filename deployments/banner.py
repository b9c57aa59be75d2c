"""What `make run` prints once it serves: where, on what, with which models, and what to try."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deployments.settings import Settings
from storage.models.extra_paths import read_extra_paths
from storage.models.files import ModelFolders

KINDS = (
    "checkpoints", "diffusion_models", "text_encoders", "vae", "loras", "controlnet", "ipadapter",
    "clip_vision", "upscale_models", "embeddings",
)  # fmt: skip


@dataclass(frozen=True)
class Started:
    """What was learned while Ray started."""

    device: str = "CPU"
    ray_logs: str = "/tmp/ray/session_latest/logs"


def banner(url: str, settings: Settings, started: Started, job_log: Path, command: str) -> str:
    """The text; its last line is the command to try."""
    counts = model_counts(settings)
    keys = "on (make key ARGS=...)" if settings.auth == "on" else "off"
    models = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "none yet"
    rows = {
        "page": f"{url}/",
        "API": f"{url}/docs",
        "device": started.device,
        "models": f"{settings.models_dir.resolve()}: {models}",
        "keys": keys,
        "logs": f"{job_log} (jobs), {started.ray_logs} (all)",
    }
    table = "\n".join(f"  {name:<8}{value}" for name, value in rows.items())
    return f"\n{table}\n\nTry it:\n{command}"


def model_counts(settings: Settings) -> Mapping[str, int]:
    """How many files there are of each kind of model that has any."""
    extra = read_extra_paths(settings.extra_model_paths)
    folders = ModelFolders(settings.models_dir, extra=extra)
    counts = {kind: len(folders.list(kind)) for kind in KINDS}
    return {kind: count for kind, count in counts.items() if count}
