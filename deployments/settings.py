"""Where this installation runs."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where things are, from COMFYRAY_*. Read where the application is built, and passed down."""

    model_config = SettingsConfigDict(env_prefix="COMFYRAY_", frozen=True)

    models_dir: Path = Field(default=Path("models"), description="ComfyUI's own folder layout.")
    data_dir: Path = Field(default=Path("data"), description="Outputs, uploads, database.")
    auth: Literal["on", "off"] = Field(
        default="on", description="off: no keys, and everything belongs to the owner `local`."
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="redis://..., where several routers count requests; unset: each for itself.",
    )
    database_url: SecretStr | None = Field(
        default=None, description="postgresql://...; unset: a SQLite file in the data folder."
    )
    encryption_key: SecretStr | None = Field(
        default=None,
        description="32 bytes in base64, or several parted by commas of which the first encrypts; "
        "unset: a key that is made in the data folder.",
    )
    hub: Literal["on", "off"] = Field(
        default="off", description="on: preprocessors' weights that are missing are fetched."
    )
