"""Kinds of fields, as leniently read as the hosted API's clients need, and how they are checked.

Numbers and flags may be text, lists may be separated by commas; null and "" are absent, unknown
fields are ignored.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from api.field_errors import in_words
from api.hosted.problems import HostedFieldsError
from graph.shown import json_kind

LARGEST_SEED = 2**64 - 1


def _text(value: object) -> object:
    return str(value) if isinstance(value, int | float) else value


def _first(value: object) -> object:
    """v7 sends a list where v6 sends its one element."""
    return value[0] if isinstance(value, list) and value else value


def _items(value: object) -> object:
    """The elements of "a, b" or ["a", "b"], without empty ones."""
    items = value if isinstance(value, list) else str(value).split(",")
    return [one for one in (str(item).strip() for item in items) if one]


def _between(low: float, high: float) -> AfterValidator:
    def check(value: float) -> float:
        if not low <= value <= high:
            facts = {"low": low, "high": high}
            raise PydanticCustomError("range", "must be between {low} and {high}", facts)
        return value

    return AfterValidator(check)


def _eighths(value: int) -> int:
    if value % 8:
        raise PydanticCustomError("multiple", "must be divisible by 8")
    return value


def _factor(value: object) -> object:
    """ "yes" is twice as large, "no" as it is; a number says how much."""
    words = {"yes": 2, "true": 2, "no": 1, "false": 1, "0": 1}
    word = str(value).strip().lower()
    return words.get(word, value)


def _random_below_zero(value: int) -> int | None:
    return None if value < 0 else value


def _whole(low: int, high: int) -> WithJsonSchema:
    text = {"type": "string", "pattern": "^[0-9]+$"}
    return WithJsonSchema({"anyOf": [{"type": "integer", "minimum": low, "maximum": high}, text]})


def _decimal(low: float, high: float) -> WithJsonSchema:
    text = {"type": "string", "pattern": "^[0-9]*[.]?[0-9]+$"}
    return WithJsonSchema({"anyOf": [{"type": "number", "minimum": low, "maximum": high}, text]})


Overlap = Annotated[int, _between(0, 512), _whole(0, 512)]
Scale = Annotated[int, _between(1, 8), _whole(1, 8)]
LIST = WithJsonSchema(
    {
        "anyOf": [{"type": ["string", "number"]}, {"type": "array", "items": {"type": "string"}}],
        "description": "One, several separated by commas, or a list.",
    }
)

Text = Annotated[str, BeforeValidator(_text), WithJsonSchema({"type": ["string", "number"]})]
Id = Annotated[
    str, BeforeValidator(_text), WithJsonSchema({"type": ["string", "number"], "minLength": 1})
]
Flag = Annotated[bool, WithJsonSchema({"enum": [True, False, "yes", "no", "true", "false"]})]
Items = Annotated[list[str], BeforeValidator(_items), LIST]
Numbers = Annotated[list[float], BeforeValidator(_items), LIST]
Side = Annotated[int, _between(64, 2048), AfterValidator(_eighths), _whole(64, 2048)]
Samples = Annotated[int, _between(1, 4), _whole(1, 4)]
Steps = Annotated[int, _between(1, 150), _whole(1, 150)]
Guidance = Annotated[float, _between(0, 30), _decimal(0, 30)]
Frames = Annotated[int, _between(1, 128), _whole(1, 128)]
Fps = Annotated[int, _between(1, 60), _whole(1, 60)]
Bucket = Annotated[int, _between(1, 1023), _whole(1, 1023)]
Strength = Annotated[float, _between(0, 1), _decimal(0, 1)]
ClipSkip = Annotated[int, _between(1, 12), _whole(1, 12)]
Seed = Annotated[
    int,
    _between(-(2**63), LARGEST_SEED),
    AfterValidator(_random_below_zero),
    _whole(0, LARGEST_SEED),
]
Upscale = Annotated[
    int,
    BeforeValidator(_factor),
    _between(1, 4),
    WithJsonSchema({"enum": [True, False, "yes", "no", 1, 2, 3, 4]}),
]
VideoType = Literal["mp4", "gif"]
PictureText = Annotated[
    str,
    BeforeValidator(_first),
    WithJsonSchema(
        {
            "type": ["string", "array"],
            "minLength": 1,
            "minItems": 1,
            "items": {"type": "string", "minLength": 1},
            "description": "A URL, a data: URI, base64, or the name of an upload.",
        }
    ),
]

Anything = Annotated[Any, WithJsonSchema({"description": "Of any type."})]


class HostedRequest(BaseModel):
    """What any request for pictures may have."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    key: Text | None = Field(None, description="API key; also as a header or in the query.")
    webhook: Text | None = Field(None, description="Gets the answer when the job ends.")
    track_id: Text | None = Field(None, description="Comes back in the webhook.")
    base64: Flag = Field(False, description="Pictures as base64 in the answer.")
    temp: Flag = Field(False, description="Accepted; every link is temporary.")
    instant_response: Flag = Field(False, description="Answer at once.")

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """The request in a body.

        Raises:
            HostedFieldsError: 400 with every wrong field.
        """
        given = {name: value for name, value in body.items() if value is not None and value != ""}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            facts = tuple(_fact(one) for one in error.errors())
            said = f"{facts[0]['input']} {facts[0]['expected']}"
            raise HostedFieldsError(said, facts) from error


def _fact(error: Mapping[str, Any]) -> dict[str, Any]:
    name, received = str(error["loc"][0]), error.get("input")
    missing = error["type"] == "missing"
    shown = received if isinstance(received, str | int | float) else json_kind(received)
    return {
        "code": "missing_field" if missing else "invalid_field",
        "input": name,
        "expected": in_words(error),
        "received": None if missing else shown[:80] if isinstance(shown, str) else shown,
    }
