"""The node types of packs, refreshed in the background by the router."""

import asyncio
import logging
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Protocol

from graph.hooks import Hooks, Inputs
from graph.node import NodeType
from graph.remote_types import CodeElsewhereError, remote_type
from graph.stages import PACK, Stage

LOG = logging.getLogger(__name__)
FIRST_S, AGAIN_S = 1.0, 15.0  # between looks, until a pack is loaded and after that
FAILURES, CLOSED_S = 3, 60.0


@dataclass(frozen=True)
class Described:
    """The node types of a pack, as routers are told of them; `version` changes with them."""

    version: str = ""
    nodes: tuple[Mapping[str, Any], ...] = ()
    routes: tuple[tuple[str, str], ...] = ()
    scripts: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def pack_type(pack: str, one: Mapping[str, Any], hooks: Hooks | None = None) -> NodeType:
    """The node type of a pack's description."""
    return remote_type(
        one["entry"],
        Stage(PACK + pack),
        hooks or Hooks(),
        open_links=bool(one.get("open_links")),
        open_inputs=bool(one.get("open_inputs")),
        per_node=bool(one.get("per_node")),
    )


class PackCaller(Protocol):
    """One pack, called."""

    async def describe(self, known: str) -> Described: ...

    async def hook(
        self, do: str, class_type: str, inputs: Inputs, types: Mapping[str, str]
    ) -> Any: ...


class NodeTypes(Mapping[str, NodeType]):
    """The service's own node types, and those of packs that have other names.

    Packs come and go while others read: what a reader sees is whole, as it is put in one piece.
    """

    def __init__(self, own: Mapping[str, NodeType]) -> None:
        self._own = own
        self._packs: Mapping[str, Mapping[str, NodeType]] = {}
        self._all: Mapping[str, NodeType] = own

    def put(self, pack: str, types: Mapping[str, NodeType]) -> None:
        """The node types of a pack; in the place of those it had."""
        self._packs = {**self._packs, pack: types}
        found: dict[str, NodeType] = {}
        for known in (*self._packs.values(), self._own):
            found |= known
        self._all = MappingProxyType(found)

    def __getitem__(self, name: str) -> NodeType:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


@dataclass
class Breaker:
    """Keeps from asking a hook that failed several times in a row, for a while."""

    failures: int = 0
    closed_until: float = -math.inf

    @property
    def closed(self) -> bool:
        return time.monotonic() < self.closed_until

    def failed(self) -> None:
        self.failures += 1
        if self.failures >= FAILURES:
            self.failures, self.closed_until = 0, time.monotonic() + CLOSED_S

    def worked(self) -> None:
        self.failures = 0


@dataclass
class PackHooks:
    """VALIDATE_INPUTS and IS_CHANGED of a pack's classes: asked within a time, or not at all."""

    pack: str
    caller: PackCaller
    within_s: float
    breakers: dict[tuple[str, str], Breaker] = field(default_factory=dict)

    def of(self, one: Mapping[str, Any], names: Mapping[str, Any]) -> Hooks:
        """The hooks of a class, as its description says."""
        name = one["entry"]["name"]
        validate = self._validate(name) if one.get("has_validate") else None
        if patched := one.get("patches"):
            validate = refused(str(patched))
        every = names.keys() if one.get("validates_all") else one.get("validates") or ()
        return Hooks(
            lazy=lazy_elsewhere if one.get("has_lazy") else None,
            changed=self._changed(name) if one.get("has_changed") else None,
            validate=validate,
            validates=frozenset(every) if one.get("has_validate") else frozenset(),
        )

    def _validate(self, name: str) -> Any:
        async def validate(inputs: Inputs, types: Mapping[str, str]) -> Any:
            try:
                return await self._ask("validate", name, inputs, types)
            except TimeoutError:
                return f"VALIDATE_INPUTS of the node pack {self.pack!r} does not answer."

        return validate

    def _changed(self, name: str) -> Any:
        async def changed(inputs: Inputs) -> Any:
            try:
                return await self._ask("changed", name, inputs, {})
            except TimeoutError:
                return math.nan

        return changed

    async def _ask(self, do: str, name: str, inputs: Inputs, types: Mapping[str, str]) -> Any:
        breaker = self.breakers.setdefault((do, name), Breaker())
        if breaker.closed:
            raise TimeoutError
        try:
            async with asyncio.timeout(self.within_s):
                said = await self.caller.hook(do, name, inputs, types)
        except Exception as error:
            breaker.failed()
            LOG.warning("%s of %s (pack %s): %s", do, name, self.pack, error)
            raise
        breaker.worked()
        return said


def types_of(said: Described, hooks: PackHooks) -> dict[str, NodeType]:
    """The node types that a pack describes, by name."""
    found = {}
    for one in said.nodes:
        plain = pack_type(hooks.pack, one)
        found[plain.name] = pack_type(hooks.pack, one, hooks.of(one, plain.inputs))
    return found


async def lazy_elsewhere(inputs: Inputs) -> Any:
    """Stands for check_lazy_status, which the pack's own stage asks."""
    del inputs
    raise CodeElsewhereError


def refused(name: str) -> Any:
    """A VALIDATE_INPUTS of a node that changes the inside of a model."""

    def validate(inputs: Inputs, types: Mapping[str, str]) -> str:
        del inputs, types
        return (
            f"It reaches for the inside of a model ({name}), which is not in the process that "
            "runs node packs."
        )

    return validate


@dataclass
class PackTypes:
    """Keeps a router's node types as the packs describe theirs. Belongs to one event loop."""

    types: NodeTypes
    packs: Mapping[str, PackCaller]
    hook_s: Mapping[str, float]
    known: dict[str, Described] = field(default_factory=dict)
    _all_known: asyncio.Event = field(default_factory=asyncio.Event)
    _watching: list[asyncio.Task[None]] = field(default_factory=list)

    def watch(self) -> None:
        """Ask every pack now, and now and then from here on."""
        if not self.packs:
            self._all_known.set()
        self._watching = [asyncio.create_task(self._watch(name)) for name in self.packs]

    async def first(self) -> None:
        """Wait until every pack has answered once, with node types or without."""
        await self._all_known.wait()

    async def _watch(self, name: str) -> None:
        while True:
            try:
                await self.look(name)
            except Exception as error:  # noqa: BLE001 - the pack's replica may be starting
                LOG.info("node pack %s does not describe itself: %s", name, error)
            loaded = name in self.known and self.known[name].nodes
            await asyncio.sleep(AGAIN_S if loaded else FIRST_S)

    async def look(self, name: str) -> None:
        """Ask a pack for its node types."""
        before = self.known.get(name, Described())
        said = await self.packs[name].describe(before.version)
        is_known = said.version == before.version
        self.known[name] = replace(before, facts=said.facts) if is_known else said
        if self.known.keys() >= self.packs.keys():
            self._all_known.set()
        if is_known:
            return
        hooks = PackHooks(name, self.packs[name], self.hook_s[name])
        self.types.put(name, types_of(said, hooks))
