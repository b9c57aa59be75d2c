"""A router's node types of packs: their hooks within a time, and none of them in anybody's way."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from deployments.pack_metrics import PackMetrics
from deployments.pack_types import FAILURES, Described, NodeTypes, PackHooks, PackTypes
from graph.nodes import load_node_types
from graph.stages import Stage
from packs.processes import PackProcesses


def described(name: str, **facts: Any) -> dict[str, Any]:
    entry = {"name": name, "input": {"required": {"value": ["INT", {}]}}, "output": ["INT"]}
    return {"entry": entry, "has_validate": True, "has_changed": True, **facts}


@dataclass
class Pack:
    """A pack whose hooks of the class Hangs never answer."""

    said: Described
    asked: list[str] = field(default_factory=list)

    async def describe(self, known: str) -> Described:
        return self.said if known != self.said.version else Described(known)

    async def hook(
        self, do: str, class_type: str, inputs: Mapping[str, Any], types: Mapping[str, str]
    ) -> Any:
        self.asked.append(class_type)
        if class_type == "Hangs":
            await asyncio.sleep(60)
        return True if do == "validate" else inputs["value"]


async def test_a_hook_that_hangs_is_waited_for_a_few_times_and_then_not_asked() -> None:
    pack = Pack(Described())
    hooks = PackHooks("toy", pack, within_s=0.01)
    hangs, works = hooks.of(described("Hangs"), {}), hooks.of(described("Works"), {})
    assert hangs.validate
    assert hangs.changed
    assert works.validate
    assert works.changed
    for _ in range(FAILURES + 2):
        assert "'toy' does not answer" in await hangs.validate({"value": 1}, {})
    assert pack.asked == ["Hangs"] * FAILURES
    assert math.isnan(await hangs.changed({"value": 1}))
    assert await works.validate({"value": 1}, {}) is True
    assert await works.changed({"value": 7}) == 7


async def test_node_types_are_those_that_packs_describe_and_ours_go_first() -> None:
    own = load_node_types()
    nodes = (described("KSampler"), described("Toy", patches="add_patches"))
    pack = Pack(Described("1", nodes))
    types = NodeTypes(own)
    known = PackTypes(types, {"toy": pack}, {"toy": 5})
    await known.look("toy")
    assert types["KSampler"] is own["KSampler"]
    assert types["Toy"].stage == "pack:toy"
    assert types["Toy"].hooks.validate
    refused = types["Toy"].hooks.validate({}, {})
    assert "inside of a model (add_patches)" in str(refused)
    await known.look("toy")  # which knows this version
    assert "Toy" in types
    pack.said = Described("2", (described("Other"),), (("GET", "/toy/words"),))
    await known.look("toy")
    assert "Other" in types
    assert "Toy" not in types
    assert known.known["toy"].routes == (("GET", "/toy/words"),)


def test_calls_of_a_pack_are_counted_by_kind_and_end() -> None:
    metrics = PackMetrics(Stage("pack:toy"), PackProcesses(None, None))  # type: ignore[arg-type]
    with metrics.call("run"):
        pass
    with pytest.raises(TimeoutError), metrics.call("validate"):
        raise TimeoutError
    snapshot = metrics.snapshot()
    assert snapshot.stage == "pack:toy"
    counted = {
        tuple(sample.labels.values()): sample.value
        for family in snapshot.families
        for sample in family.samples
        if sample.name == "comfyray_pack_calls_total"
    }
    assert counted == {("run", "done"): 1, ("validate", "failed"): 1}
