"""Settings of the installation, from COMFYRAY_* variables."""

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from graph.logs import LogFormat


class Settings(BaseSettings):
    """Where things are, from COMFYRAY_*. Read where the application is built, and passed down."""

    model_config = SettingsConfigDict(env_prefix="COMFYRAY_", frozen=True)

    models_dir: Path = Field(default=Path("models"), description="ComfyUI's own folder layout.")
    extra_model_paths: str = Field(
        default="",
        description="extra_model_paths.yaml files of ComfyUI, separated by commas: more folders "
        "with models, searched after the models folder, or before it where `is_default` is set.",
    )
    packs_dir: Path | None = Field(
        default=None,
        description="Custom node packs, each in a folder; those that serve_config.yaml allows run.",
    )
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
        description="32 bytes in base64, or several separated by commas, the first for encrypting; "
        "unset: a key that is made in the data folder, and files stay plain.",
    )
    keep_prompts: Literal["on", "off"] = Field(
        default="on",
        description="off: prompts of ComfyUI's API are erased when their jobs end, as those of "
        "/api/v7 are; on: they are kept, encrypted, as long as the job.",
    )
    hub: Literal["on", "off"] = Field(
        default="off", description="on: preprocessors' weights that are missing are fetched."
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        description="whsec_ and base64: what webhooks are signed with, the owners' own secrets "
        "being derived from it; unset: one that is made in the data folder.",
    )
    allowed_hosts: str = Field(
        default="",
        description="host or host:port, separated by commas: URLs of inputs and webhooks may lead "
        "there although the address is not public.",
    )
    public_url: str = Field(
        default="",
        pattern=r"^(https?://[A-Za-z0-9.\[\]:_-]+(/[A-Za-z0-9._~/-]*)?)?$",
        description="What URLs in answers and webhooks begin with, https://pictures.example; "
        "unset: what the caller's Host header says.",
    )
    cors_origins: str = Field(
        default="",
        pattern=r"^(https?://[A-Za-z0-9.\[\]:_-]+(, *https?://[A-Za-z0-9.\[\]:_-]+)*)?$",
        description="Origins, separated by commas, whose pages may call from a browser: "
        "https://app.example; empty: none.",
    )
    trusted_proxies: str = Field(
        default="127.0.0.1",
        description="Addresses or networks, separated by commas, of proxies whose X-Forwarded-For "
        "and X-Forwarded-Proto are believed; empty: nobody's.",
    )
    s3_bucket: str | None = Field(
        default=None, description="Outputs and uploads go here; unset: into the data folder."
    )
    s3_endpoint: str | None = Field(default=None, description="Unset: Amazon's.")
    s3_region: str | None = None
    s3_prefix: str = Field(default="", description="What the names of all objects begin with.")
    s3_encryption: Literal["AES256", "aws:kms"] | None = Field(
        default=None, description="SSE-S3 or SSE-KMS; unset: as the bucket is set up."
    )
    s3_kms_key: str | None = Field(default=None, description="For aws:kms; unset: the account's.")
    s3_link_s: PositiveInt = Field(default=3600, description="How long presigned URLs are good.")
    log: LogFormat = Field(default="text", description="json: one object a line, on stderr.")
    job_log: Path | None = Field(
        default=None,
        description="A file that gets a line for each job that ended; `make run` sets it, and "
        "shows the lines in the terminal.",
    )
    otlp_endpoint: str | None = Field(
        default=None, description="http://collector:4318, where traces go; unset: there are none."
    )

    @property
    def private_models_dir(self) -> Path:
        """What owners uploaded. Every replica that loads models reads it."""
        return self.data_dir.resolve() / "models"
