"""Node types that come over the wire: what /object_info says is enough to know them again."""

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from graph.cache import Handle, ResultCache
from graph.events import StepEvent
from graph.execution import Execution
from graph.folding import fold
from graph.hooks import Hooks
from graph.node import NodeType
from graph.nodes import load_node_types
from graph.object_info import describe
from graph.plan import Segment
from graph.prompt import Source
from graph.remote_types import CodeElsewhereError, remote_type
from graph.stages import Stage
from graph.validation import Uploads, validate
from graph.workflow import read_workflow
from tests.graph.flow_nodes import chosen, flow_types
from tests.graph.flow_runs import Stages, node
from tests.graph.nodes_for_tests import TwoFiles
from tests.graph.run_here import run_here

PACK = Stage("pack:flow")
OWN = [one for one in (load_node_types() | flow_types()).values() if not one.internal]


def sent(node_type: NodeType, hooks: Hooks = Hooks()) -> NodeType:  # noqa: B008 - frozen
    entry = json.loads(json.dumps(describe(node_type, TwoFiles())))
    own = {"open_links": node_type.open_links, "expands": node_type.expands}
    return remote_type(entry, PACK, hooks, **own)


@pytest.mark.parametrize("node_type", OWN, ids=lambda one: one.name)
def test_a_type_says_the_same_when_it_was_sent(node_type: NodeType) -> None:
    came = sent(node_type)
    assert describe(came, TwoFiles()) == describe(node_type, TwoFiles())
    assert came.stage == PACK
    with pytest.raises(CodeElsewhereError):
        came.function()


class Host(Stages):
    """Runs the nodes of a pack with the code that is here alone."""

    def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        if segment.stage == PACK:
            code = {name: replace(one, stage=PACK) for name, one in flow_types().items()}
            self.segments.append(segment)
            return run_here(segment, inputs, code, self)
        return super().run(segment, inputs)


async def test_nodes_of_a_pack_run_on_its_stage_and_decide_there() -> None:
    async def asked(inputs: Mapping[str, Any]) -> list[str]:
        return chosen(inputs)

    here = flow_types()
    types = here | {name: sent(here[name]) for name in ("Make", "Add", "IsLarge", "CountDown")}
    types["Switch"] = sent(here["Switch"], Hooks(lazy=asked))
    document = {
        "1": node("CountDown", count=4),
        "2": node("IsLarge", value=["1", 0]),
        "3": node("Make", value=3),
        "4": node("Switch", condition=["2", 0], on_true=["1", 0], on_false=["3", 0]),
        "5": node("Save", value=["4", 0]),
    }
    checked = validate(read_workflow(document, {}), types, TwoFiles(), Uploads())
    host = Host()
    folded = fold(checked, {}, types)
    await Execution("local", folded, host, ResultCache(10_000), lambda _: None).run()
    assert host.saved == [3]
    assert {segment.stage for segment in host.segments} == {PACK, Stage.OUTPUT}


def test_a_hidden_input_of_a_packs_own_is_one_that_a_graph_may_set() -> None:
    sections = {"required": {}, "hidden": {"start": "*", "id": "UNIQUE_ID", "graph": "DYNPROMPT"}}
    came = remote_type({"name": "Loop", "input": sections}, PACK)
    assert {name: (one.type, one.required) for name, one in came.inputs.items()} == {
        "start": ("*", False),
        "graph": ("DYNPROMPT", False),
    }
    assert describe(came, TwoFiles())["input"] == sections
