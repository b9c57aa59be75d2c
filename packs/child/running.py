"""Runs node functions as ComfyUI's executor calls them, and says what they gave."""

import asyncio
import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

import torch

from packs.child.calls import CURRENT, PROCESS, Call
from packs.child.describing import own_hook
from packs.child.prompts import Prompts
from packs.child.ui_files import files_of
from packs.child.values import Values, plain
from packs.encoding import Encoder
from packs.surface.comfy_api.latest._io import ComfyNode
from packs.surface.comfy_execution.graph import ExecutionBlocker
from packs.surface.comfy_execution.graph_utils import GraphBuilder, is_link
from packs.surface.dynamic_prompt import DynamicPrompt

MOST_INSTANCES = 1000


@dataclass
class Instances:
    """Node objects, one for an owner's node: ComfyUI keeps what a node keeps in itself."""

    _kept: OrderedDict[tuple[str, str, str], Any] = field(default_factory=OrderedDict)

    def of(self, owner: str, node_id: str, name: str, node_class: Any) -> Any:
        key = (owner, node_id, name)
        if key not in self._kept:
            self._kept[key] = node_class()
            if len(self._kept) > MOST_INSTANCES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


@dataclass
class Lanes:
    """Where code of a pack runs: node functions one after another, hooks beside them."""

    nodes: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "nodes"))
    hooks: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "hooks"))

    async def run(self, lane: ThreadPoolExecutor, call: Call, function: Callable[[], Any]) -> Any:
        """Run a function that may block, or a coroutine function, in the context of a call."""
        CURRENT.set(call)
        if inspect.iscoroutinefunction(function):
            return await function()
        context = copy_context()

        def entered() -> Any:
            if lane is self.nodes:
                PROCESS.busy = call
            with torch.inference_mode():
                return context.run(function)

        given = await asyncio.get_running_loop().run_in_executor(lane, entered)
        return await given if inspect.isawaitable(given) else given


@dataclass
class Nodes:
    """The node classes of a pack, as calls run them."""

    classes: Mapping[str, Any]
    values: Values
    lanes: Lanes = field(default_factory=Lanes)
    instances: Instances = field(default_factory=Instances)
    prompts: Prompts = field(default_factory=Prompts)

    async def run(self, call: Call, said: Mapping[str, Any], inputs: dict[str, Any]) -> Any:
        """What a node's function returned, as JSON, and its buffers."""
        node_class = self.classes[said["class"]]
        prompt = self._prompt(said)
        kind, hidden = self._bound(node_class, call, said, prompt)
        given = self._with_hidden(node_class, inputs, hidden)
        node = kind if kind is not node_class else self._instance(call, said, node_class)
        function = getattr(node, str(node_class.FUNCTION))

        def called() -> Any:
            call.check()
            GraphBuilder.set_default_prefix(call.node_id, int(said.get("index") or 0))
            return function(**given)

        async def awaited() -> Any:
            GraphBuilder.set_default_prefix(call.node_id, int(said.get("index") or 0))
            return await function(**given)

        run = awaited if inspect.iscoroutinefunction(function) else called
        returned = await self.lanes.run(self.lanes.nodes, call, run)
        return self._answer(call, node_class, returned, _job(said))

    async def lazy(self, call: Call, said: Mapping[str, Any], inputs: dict[str, Any]) -> Any:
        """The names of the lazy inputs that a node needs."""
        node_class = self.classes[said["class"]]
        kind, hidden = self._bound(node_class, call, said, self._prompt(said))
        given = self._with_hidden(node_class, inputs, hidden)
        node = kind if kind is not node_class else self._instance(call, said, node_class)
        named = await self.lanes.run(self.lanes.hooks, call, _bind(node.check_lazy_status, given))
        return {"needs": [str(one) for one in named or ()]}

    async def validate(self, call: Call, said: Mapping[str, Any], inputs: dict[str, Any]) -> Any:
        """True, or what a node finds wrong with its inputs."""
        node_class = self.classes[said["class"]]
        hook = own_hook(node_class, "VALIDATE_INPUTS", "validate_inputs")
        spec = inspect.getfullargspec(hook)
        names = {*spec.args, *spec.kwonlyargs}
        given = {k: v for k, v in inputs.items() if k in names or spec.varkw is not None}
        if "input_types" in names:
            given["input_types"] = dict(said["types"])
        found = await self.lanes.run(self.lanes.hooks, call, _bind(hook, given))
        return {"verdict": found if isinstance(found, bool | str) else bool(found)}

    async def changed(self, call: Call, said: Mapping[str, Any], inputs: dict[str, Any]) -> Any:
        """What changes when a node has to run again."""
        node_class = self.classes[said["class"]]
        hook = own_hook(node_class, "IS_CHANGED", "fingerprint_inputs")
        hidden = self._hidden(node_class, call, said, self._prompt(said))
        spec = inspect.getfullargspec(hook)
        named = {k: v for k, v in hidden.items() if k in spec.args or spec.varkw is not None}
        found = await self.lanes.run(self.lanes.hooks, call, _bind(hook, {**inputs, **named}))
        return {"changed": found if isinstance(found, float) else plain(found)}

    def _instance(self, call: Call, said: Mapping[str, Any], node_class: Any) -> Any:
        return self.instances.of(said["owner"], call.node_id, said["class"], node_class)

    def _bound(
        self, node_class: Any, call: Call, said: Mapping[str, Any], prompt: DynamicPrompt
    ) -> tuple[Any, dict[str, Any]]:
        """The class of a node, and its hidden inputs: one of the new kind holds them itself."""
        hidden = self._hidden(node_class, call, said, prompt)
        if not (isinstance(node_class, type) and issubclass(node_class, ComfyNode)):
            return node_class, hidden
        return node_class.prepared(hidden), {}

    def _hidden(
        self, node_class: Any, call: Call, said: Mapping[str, Any], prompt: DynamicPrompt
    ) -> dict[str, Any]:
        declared = node_class.INPUT_TYPES().get("hidden") or {}
        known = {
            "UNIQUE_ID": call.node_id,
            "PROMPT": call.prompt,
            "EXTRA_PNGINFO": said.get("extra") or {},
            "DYNPROMPT": prompt,
            "AUTH_TOKEN_COMFY_ORG": None,
            "API_KEY_COMFY_ORG": None,
        }
        marks = {
            name: mark[0] if isinstance(mark, tuple | list) and mark else mark
            for name, mark in dict(declared).items()
        }
        return {
            name: known[str(getattr(mark, "value", mark))]
            for name, mark in marks.items()
            if str(getattr(mark, "value", mark)) in known
        }

    def _with_hidden(
        self, node_class: Any, inputs: dict[str, Any], hidden: dict[str, Any]
    ) -> dict[str, Any]:
        if getattr(node_class, "INPUT_IS_LIST", False):
            return {**inputs, **{name: [value] for name, value in hidden.items()}}
        return {**inputs, **hidden}

    def _prompt(self, said: Mapping[str, Any]) -> DynamicPrompt:
        """The workflow of a job, with the nodes that this pack's nodes expanded to."""
        return self.prompts.of(_job(said), said.get("prompt") or {})

    def _answer(
        self, call: Call, node_class: Any, returned: Any, job: str
    ) -> tuple[dict[str, Any], Encoder]:
        encoder = self.values.encoder()
        result, ui, expand = _parts(returned)
        kinds = list(getattr(node_class, "RETURN_TYPES", ()) or ())
        lists = list(getattr(node_class, "OUTPUT_IS_LIST", None) or ())
        answer: dict[str, Any] = {"files": [], "ui": {}}
        if ui or isinstance(returned, dict) or getattr(node_class, "OUTPUT_NODE", False):
            answer["ui"] = plain(ui)
            answer["files"] = [encoder.encode(one) for one in files_of(call.folders, ui)]
        if isinstance(result, ExecutionBlocker):
            result = (result,) * len(kinds)
        found: list[Any] = []
        for slot, kind in enumerate(kinds):
            value = _slot(result, slot)
            is_list = slot < len(lists) and bool(lists[slot])
            if is_list and not isinstance(value, ExecutionBlocker):
                items = list(value) if value is not None else []
                found.append([self.values.encode(encoder, one, _name(kind)) for one in items])
            elif expand is not None and is_link(value):
                found.append({"$": "link", "to": [value[0], int(value[1])]})
            else:
                one = self.values.encode(encoder, value, _name(kind))
                found.append([one] if is_list else one)
        answer["outputs"] = found
        if expand is not None:
            self.prompts.expanded(job, call.node_id, expand)
            answer["expand"] = {
                str(node_id): self._node(encoder, node) for node_id, node in expand.items()
            }
        return answer, encoder

    def _node(self, encoder: Encoder, node: Mapping[str, Any]) -> dict[str, Any]:
        def said(value: Any) -> Any:
            if is_link(value):
                return {"$": "link", "to": [value[0], int(value[1])]}
            return self.values.encode(encoder, value)

        return {
            "class_type": str(node["class_type"]),
            "inputs": {str(name): said(value) for name, value in node.get("inputs", {}).items()},
            "shown_as": node.get("override_display_id"),
        }


def _job(said: Mapping[str, Any]) -> str:
    return f"{said.get('owner')} {said.get('job')}"


def _bind(function: Callable[..., Any], given: Mapping[str, Any]) -> Callable[[], Any]:
    if inspect.iscoroutinefunction(function):

        async def awaited() -> Any:
            return await function(**given)

        return awaited
    return lambda: function(**given)


def _parts(returned: Any) -> tuple[Any, dict[str, Any], Mapping[str, Any] | None]:
    """Results, what is shown, and the graph, of what a node returned."""
    if isinstance(returned, dict):
        expand = returned.get("expand")
        return returned.get("result", ()), dict(returned.get("ui") or {}), expand
    return returned, {}, None


def _slot(result: Any, slot: int) -> Any:
    if result is None:
        return None
    try:
        return result[slot]
    except (IndexError, KeyError):
        return None


def _name(kind: Any) -> str:
    return str.__str__(kind) if isinstance(kind, str) else "COMBO"
