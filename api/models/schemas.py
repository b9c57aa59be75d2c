"""Schemas of models on the wire."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
)

from api.errors import read_strictly
from api.keys.schemas import iso
from api.models.intake import Announced, name_in
from storage.models.owned import OwnedModel
from storage.models.uploads import ModelUpload, UploadState

LONGEST_URL = 4096

Filename = Annotated[str, Field(min_length=1, max_length=1000)]
Folder = Annotated[str, Field(max_length=40)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]


def _null_is_unset(body: Any) -> Any:
    if not isinstance(body, Mapping):
        return body
    return {name: value for name, value in body.items() if value is not None}


class Wanted(BaseModel):
    """What is said of a file to come."""

    model_config = ConfigDict(extra="forbid")

    folder: Folder | None = Field(
        None, description="Of the models folder: loras, vae, ... Left out: told by its tensors."
    )
    sha256: Sha256 | None = Field(None, description="Of the whole file; checked at the end.")

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """What a JSON body says.

        Raises:
            InvalidFieldsError: 422 with every wrong field.
        """
        return read_strictly(cls, _null_is_unset(body))


class NewUpload(Wanted):
    """A file to upload in pieces."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"filename": "style.safetensors", "size": 151112345}}
    )

    filename: Filename
    size: int = Field(ge=1, description="Bytes of the whole file.")

    def announced(self) -> Announced:
        return Announced(self.filename, self.folder, self.size, self.sha256)


class FromUrl(Wanted):
    """A file to fetch from one of the allowed hosts."""

    url: str = Field(max_length=LONGEST_URL)
    filename: Filename | None = Field(None, description="Left out: as the URL ends.")
    wait: float = Field(30.0, ge=0, allow_inf_nan=False, description="Seconds, 60 at most.")

    def announced(self) -> Announced:
        return Announced(self.filename or name_in(self.url), self.folder, None, self.sha256)


class Model(BaseModel):
    """A model file that workflows may name by `id`."""

    id: str = Field(description="A shared file's name, or an own model's id.")
    name: str = Field(description="The file's name.")
    folder: str
    owned: bool = Field(description="Uploaded by you, and yours alone.")
    kind: str | None = Field(description="checkpoint, lora, vae, controlnet, upscaler ...")
    family: str | None = Field(description="sd15, sd20, sdxl ...; null where it does not say.")
    size: int
    sha256: str | None = None
    created_at: str | None = None

    @classmethod
    def of(cls, model: OwnedModel) -> Self:
        return cls(
            id=model.id,
            name=model.filename,
            folder=model.folder,
            owned=True,
            kind=model.kind,
            family=model.family or None,
            size=model.size,
            sha256=model.sha256,
            created_at=iso(model.created_s),
        )


class OneModel(BaseModel):
    status: Literal["success"]
    model: Model


class ModelList(BaseModel):
    """Own models first, then shared ones by folder and name."""

    status: Literal["success"]
    models: list[Model]


class Upload(BaseModel):
    """How far an upload is."""

    id: str
    state: UploadState
    filename: str
    folder: str | None
    offset: int = Field(description="Bytes that have come; go on from here.")
    size: int | None
    expires_at: str
    model: Model | None = Field(None, description="Once it is ready.")
    error: dict[str, Any] | None = Field(None, description="Why it failed.")


class OneUpload(BaseModel):
    status: Literal["success", "processing", "failed"]
    upload: Upload


def upload_json(
    upload: ModelUpload, offset: int, kept_s: float, model: OwnedModel | None = None
) -> dict[str, Any]:
    """The answer that shows an upload."""
    shown = Upload(
        id=upload.id,
        state=upload.state,
        filename=upload.filename,
        folder=upload.folder,
        offset=offset,
        size=upload.size,
        expires_at=iso(upload.created_s + kept_s) or "",
        model=Model.of(model) if model else None,
        error=dict(upload.error) if upload.error else None,
    )
    status = {"ready": "success", "failed": "failed"}.get(upload.state, "processing")
    return {"status": status, "upload": shown.model_dump()}


def model_json(model: OwnedModel) -> dict[str, Any]:
    """The answer that shows a model."""
    return {"status": "success", "model": Model.of(model).model_dump()}
