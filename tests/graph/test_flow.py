"""Workflows that decide while they run what runs: ComfyUI's rules (tests/execution), held here."""

import asyncio
from typing import Any

import pytest

from graph.cache import ResultCache
from graph.errors import NodeFailed
from graph.events import Blocked
from graph.folding import fold
from graph.hooks import ask
from graph.plan import make_plan
from graph.problems import WorkflowInvalidError
from graph.values import Items
from tests.graph.flow_runs import TYPES, Stages, checked, node, run

# Lazy inputs


@pytest.mark.parametrize("switch", ["Switch", "SwitchHere"])
async def test_what_a_switch_does_not_choose_does_not_run(switch: str) -> None:
    document = {
        "1": node("Make", value=1),
        "2": node("Make", value=2),
        "3": node(switch, condition=False, on_true=["1", 0], on_false=["2", 0]),
        "4": node("Save", value=["3", 0]),
    }
    stages, _ = await run(document)
    assert stages.saved == [2]
    assert stages.named("Make") == [[2]]


async def test_a_switch_over_constants_is_decided_in_the_plan() -> None:
    document = {
        "1": node("Make", value=1),
        "2": node("Make", value=2),
        "3": node("Switch", condition=True, on_true=["1", 0], on_false=["2", 0]),
        "4": node("Save", value=["3", 0]),
    }
    plan = make_plan(fold(checked(document), {}, TYPES), lambda _: False)
    assert [[step.node_id for step in s.steps] for s in plan.segments] == [["1", "3"], ["4"]]


@pytest.mark.parametrize("switch", ["Switch", "SwitchHere"])
@pytest.mark.parametrize(("value", "expected"), [(5, 2), (50, 1)])
async def test_a_switch_over_a_result_waits_for_it(switch: str, value: int, expected: int) -> None:
    document = {
        "1": node("Make", value=1),
        "2": node("Make", value=2),
        "5": node("Make", value=value),
        "6": node("IsLarge", value=["5", 0]),
        "3": node(switch, condition=["6", 0], on_true=["1", 0], on_false=["2", 0]),
        "7": node("Add", a=["3", 0], b=["5", 0]),
        "4": node("Save", value=["7", 0]),
    }
    stages, _ = await run(document)
    assert stages.saved == [expected + value]
    assert sorted(stages.named("Make")) == sorted([[value], [expected]])
    assert stages.named("IsLarge") == [[value]]


async def test_a_branch_that_cannot_be_computed_hurts_only_who_needs_it() -> None:
    document = {
        "1": node("Fail"),
        "2": node("Make", value=2),
        "3": node("Switch", condition=False, on_true=["1", 0], on_false=["2", 0]),
        "4": node("Save", value=["3", 0]),
    }
    assert (await run(document))[0].saved == [2]
    document["3"]["inputs"]["condition"] = True
    with pytest.raises((WorkflowInvalidError, NodeFailed)):
        await run(document)


async def test_lazy_inputs_are_asked_for_over_lists() -> None:
    document = {
        "1": node("Count", to=3),
        "2": node("IsLarge", value=["1", 0]),
        "5": node("Make", value=1),
        "6": node("Make", value=2),
        "3": node("Switch", condition=["2", 0], on_true=["5", 0], on_false=["6", 0]),
        "4": node("Sum", values=["3", 0]),
        "7": node("Save", value=["4", 0]),
    }
    stages, _ = await run(document)
    assert stages.saved == [6]
    assert stages.named("Make") == [[2]]


# Expansion


async def test_a_node_expands_again_and_again() -> None:
    document = {"1": node("CountDown", count=20), "2": node("Save", value=["1", 0])}
    stages, _ = await run(document)
    assert stages.saved == [210]
    assert len(stages.named("Add")) == 20


async def test_the_result_of_a_node_that_expanded_is_kept() -> None:
    document = {"1": node("CountDown", count=3), "2": node("Save", value=["1", 0])}
    cache, stages = ResultCache(10_000), Stages()
    await run(document, stages, cache)
    before = len(stages.calls)
    await run(document, stages, cache)
    assert [name for name, *_ in stages.calls[before:]] == ["Save"]


async def test_nodes_of_expansions_share_results_with_others() -> None:
    document = {
        "1": node("CountDown", count=3),
        "2": node("Save", value=["1", 0]),
        "3": node("CountDown", count=3),
        "4": node("Save", value=["3", 0]),
        "5": node("Add", a=0, b=3),
        "6": node("Save", value=["5", 0]),
    }
    stages, _ = await run(document)
    assert sorted(stages.saved) == [3, 6, 6]
    assert len(stages.named("Add")) == 3


async def test_a_link_is_handed_on_without_its_value() -> None:
    document = {
        "1": node("Make", value=4),
        "2": node("Twice", value=["1", 0]),
        "3": node("Save", value=["2", 0]),
    }
    assert (await run(document))[0].saved == [8]


async def test_an_expansion_gives_values_and_links() -> None:
    document = {
        "1": node("Make", value=4),
        "2": node("Mixed", value=["1", 0]),
        "3": node("Save", value=["2", 0]),
        "4": node("Save", value=["2", 1]),
    }
    assert sorted((await run(document))[0].saved) == [4, 5]


async def test_a_node_may_expand_for_each_item_of_a_list() -> None:
    document = {
        "1": node("Count", to=3),
        "2": node("Mixed", value=["1", 0]),
        "3": node("Sum", values=["2", 1]),
        "4": node("Save", value=["3", 0]),
        "5": node("Sum", values=["2", 0]),
        "6": node("Save", value=["5", 0]),
    }
    assert sorted((await run(document))[0].saved) == [3, 6]


async def test_a_node_is_told_as_a_node_of_the_workflow_however_deep_it_is() -> None:
    document = {"1": node("Nested", depth=3), "2": node("Save", value=["1", 0])}
    _, told = await run(document)
    assert {event.node_id for event in told} == {"1", "2"}


async def test_output_nodes_of_expansions_run() -> None:
    document = {"1": node("Make", value=4), "2": node("Saving", value=["1", 0])}
    assert (await run(document))[0].saved == [4]


async def test_a_node_of_an_expansion_is_told_as_the_one_that_expanded() -> None:
    document = {"1": node("CountDown", count=3), "2": node("Save", value=["1", 0])}
    _, told = await run(document)
    assert {event.node_id for event in told} == {"1", "2"}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("unknown", "'NoSuch', which is not here"),
        ("circle", "need each other"),
        ("endless", "more than 50 others"),
        ("itself", "expands to itself"),
    ],
)
async def test_an_expansion_that_cannot_be_fails_its_node(how: str, said: str) -> None:
    document = {"1": node("Odd", how=how), "2": node("Save", value=["1", 0])}
    with pytest.raises(NodeFailed, match=said) as raised:
        await run(document, most_expanded=50)
    assert (raised.value.node_id, raised.value.class_type) == ("1", "Odd")


# Blockers


async def test_what_is_blocked_does_not_run_and_the_rest_does() -> None:
    document = {
        "1": node("Make", value=1),
        "2": node("Block", value=["1", 0], blocked=True),
        "3": node("Add", a=["2", 0]),
        "4": node("Save", value=["3", 0]),
        "5": node("Save", value=["1", 0]),
    }
    stages, told = await run(document)
    assert stages.saved == [1]
    assert stages.named("Add") == []
    assert not [event for event in told if isinstance(event, Blocked)]


async def test_a_blockers_message_is_told_once() -> None:
    document = {
        "1": node("Make", value=1),
        "2": node("Block", value=["1", 0], blocked=True, message="no fox"),
        "3": node("Add", a=["2", 0]),
        "4": node("Save", value=["3", 0]),
        "5": node("Save", value=["1", 0]),
    }
    stages, told = await run(document)
    assert stages.saved == [1]
    assert [event for event in told if isinstance(event, Blocked)] == [Blocked("3", "no fox")]


async def test_items_are_blocked_one_by_one() -> None:
    document = {
        "1": node("Count", to=4),
        "2": node("BlockOdd", value=["1", 0]),
        "3": node("Save", value=["2", 0]),
    }
    stages, told = await run(document)
    assert stages.saved == [0, 2]
    assert [event for event in told if isinstance(event, Blocked)] == [Blocked("3", "odd")] * 2


# Lists


async def test_an_empty_list_runs_nothing() -> None:
    document = {
        "1": node("Count", to=0),
        "2": node("Add", a=["1", 0]),
        "3": node("Sum", values=["2", 0]),
        "4": node("Save", value=["3", 0]),
    }
    stages, _ = await run(document)
    assert stages.named("Add") == []
    assert stages.saved == [0]


async def test_lists_reach_nodes_that_are_planned_before_anything_runs() -> None:
    document = {
        "1": node("Count", to=3),
        "2": node("Block", value=["1", 0]),
        "3": node("Save", value=["2", 0]),
    }
    assert (await run(document))[0].saved == [0, 1, 2]


# Hooks


async def test_a_node_runs_again_when_it_says_that_it_changed() -> None:
    cache, stages = ResultCache(10_000), Stages()
    for stamp in (1, 1, 2, 11):
        document = {"1": node("Now", stamp=stamp), "2": node("Save", value=["1", 0])}
        await run(document, stages, cache)
    assert stages.named("Now") == [[1], [2], [11]]
    for _ in range(2):
        document = {"1": node("Now", stamp=3, always=True), "2": node("Save", value=["1", 0])}
        await run(document, stages, cache)
    assert stages.named("Now")[3:] == [[3], [3]]


async def said_of(**inputs: Any) -> list[str]:
    document = {"0": node("Make"), "1": node("Constant", value=2), "2": node("Even", **inputs)}
    document["3"] = node("Save", value=["2", 0])
    workflow = checked(document)
    return [str(problem) for problem in (await ask(workflow)).problems]


async def test_a_node_checks_its_inputs_by_itself() -> None:
    assert await said_of(value=1000) == []
    assert await said_of(value=3) == ["Node 2: 3 is odd"]
    assert await said_of(other=["1", 0]) == []
    assert await said_of(other=["0", 0]) == ["Node 2: other must be an INT, not *"]


async def test_two_jobs_that_expand_at_once_both_end() -> None:
    document = {"1": node("CountDown", count=5), "2": node("Save", value=["1", 0])}
    cache = ResultCache(10_000)
    ran = await asyncio.gather(*(run(document, None, cache) for _ in range(4)))
    assert [stages.saved for stages, _ in ran] == [[15]] * 4


def test_items_are_a_value() -> None:
    assert Items((1, 2)).values == (1, 2)
