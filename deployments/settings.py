"""Where this installation runs."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where things are, from COMFYRAY_*. Read where the application is built, and passed down."""

    model_config = SettingsConfigDict(env_prefix="COMFYRAY_", frozen=True)

    models_dir: Path = Field(default=Path("models"), description="ComfyUI's own folder layout.")
    data_dir: Path = Field(default=Path("data"), description="Outputs, uploads, database.")
    auth: Literal["on", "off"] = Field(
        default="off", description="off: no keys, and everything belongs to the owner `local`."
    )
