"""Schemas of API keys on the wire."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, LiteralString, Self, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveInt,
)
from pydantic_core import PydanticCustomError

from api.errors import read_strictly
from api.keys.access import Scope
from api.keys.rates import parse_rate
from storage.jobs.money import MICROS, MOST_MICROS, amount, micros
from storage.keys import KeyRecord, KeyTerms

OWNER = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)  # also a folder, on any file system
OWNER_PATTERN = f"^{OWNER.pattern}$"
RATE_PATTERN = "^ *[1-9][0-9]* *(/| per ) *([1-9][0-9]*)? *(second|minute|hour|day|month|year)s?$"
DEFAULT_SCOPES: tuple[Scope, ...] = ("execute", "read", "models")


def _owner(name: str) -> str:
    if not OWNER.fullmatch(name):
        problem: LiteralString = "expected up to 64 of a-z, 0-9, _ and -, but not _ or - first"
        raise PydanticCustomError("owner", problem)
    return name


def _printable(text: str) -> str:
    if not text.isprintable():
        problem: LiteralString = "expected one line of text"
        raise PydanticCustomError("name", problem)
    return text


def _rate(text: str) -> str:
    try:
        parse_rate(text)
    except ValueError as error:
        problem: LiteralString = "expected a number of requests in a time, like 60/minute"
        raise PydanticCustomError("rate", problem) from error
    return text


def _ahead(time_: datetime) -> datetime:
    if time_.timestamp() <= time.time():
        problem: LiteralString = "expected a time to come"
        raise PydanticCustomError("expiry", problem)
    return time_


Expiry = Annotated[AwareDatetime, AfterValidator(_ahead)]
Rate = Annotated[
    str,
    Field(max_length=40, json_schema_extra={"pattern": RATE_PATTERN}),
    AfterValidator(_rate),
]
Budget = Annotated[Decimal, Field(ge=0, le=MOST_MICROS // MICROS)]
Concurrency = Annotated[int, Field(ge=1, le=1_000_000)]
Name = Annotated[str, Field(max_length=100), AfterValidator(_printable)]
Scopes = Annotated[tuple[Scope, ...], Field(min_length=1, max_length=len(get_args(Scope)))]


class Terms(BaseModel):
    """What a key may do. A limit that is null is none."""

    model_config = ConfigDict(extra="forbid")

    name: Name = Field("", description="For people to tell keys apart.")
    scopes: Scopes = Field(DEFAULT_SCOPES, description="What it may be used for.")
    expires_at: Expiry | None = Field(None, description="From when it does not hold.")
    rate: Rate | None = Field(None, description="Requests in a time: 60/minute, 1000/day.")
    concurrency: Concurrency | None = Field(None, description="Jobs that wait or run at once.")
    budget: Budget | None = Field(None, description="What its jobs may cost in all.")

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """The terms in a JSON body.

        Raises:
            InvalidFieldsError: 422 with every wrong field.
        """
        return read_strictly(cls, body)

    def given(self) -> dict[str, Any]:
        """The terms that were named, as columns."""
        named = {name: getattr(self, name) for name in KeyChange.model_fields}
        values = {name: value for name, value in named.items() if name in self.model_fields_set}
        if "scopes" in values:
            values["scopes"] = sorted(set(self.scopes))
        if "expires_at" in values:
            expires = values.pop("expires_at")
            values["expires_s"] = expires.timestamp() if expires else None
        if values.get("budget") is not None:
            values["budget"] = micros(values["budget"])
        return values


class KeyChange(Terms):
    """Other terms for a key; what is left out stays."""


class NewKey(Terms):
    """A key to make."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"owner": "acme", "rate": "60/minute", "budget": 10.0}}
    )

    owner: Annotated[str, AfterValidator(_owner)] = Field(
        description="Who has what it makes.", json_schema_extra={"pattern": OWNER_PATTERN}
    )

    def terms(self) -> KeyTerms:
        values = {"scopes": DEFAULT_SCOPES} | self.given()
        return KeyTerms(**values | {"scopes": tuple(values["scopes"])})


class Key(BaseModel):
    """A key without its secret. Times are ISO 8601 in UTC, money is in the prices' currency."""

    id: str
    owner: str
    name: str
    scopes: list[Scope]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    rate: str | None
    concurrency: PositiveInt | None
    budget: NonNegativeFloat | None
    spent: NonNegativeFloat
    reserved: NonNegativeFloat = Field(description="For jobs that have not ended.")
    unfinished_jobs: int

    @classmethod
    def of(cls, record: KeyRecord) -> Self:
        return cls.model_validate(
            {
                **{name: getattr(record, name) for name in ("id", "owner", "name", "scopes")},
                "created_at": iso(record.created_s),
                "expires_at": iso(record.expires_s),
                "revoked_at": iso(record.revoked_s),
                "rate": record.rate,
                "concurrency": record.concurrency,
                "budget": None if record.budget is None else amount(record.budget),
                "spent": amount(record.spent),
                "reserved": amount(record.reserved),
                "unfinished_jobs": record.unfinished,
            }
        )


class OneKey(BaseModel):
    status: Literal["success"]
    api_key: Key


class MadeKey(OneKey):
    """The only answer that has the key itself."""

    key: str


class KeyList(BaseModel):
    """The oldest first; revoked and expired keys too."""

    status: Literal["success"]
    api_keys: list[Key]


def iso(time_s: float | None) -> str | None:
    if time_s is None:
        return None
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
