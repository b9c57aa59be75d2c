"""Inputs of any name, and those that depend on what is given."""

import pytest

from graph.problems import WorkflowInvalidError
from tests.graph.flow_runs import TYPES, node, run


async def test_links_to_inputs_that_are_not_declared_are_handed_on() -> None:
    document = {
        "1": node("Make", value=1),
        "2": node("Make", value=2),
        "3": node("Any", first=["1", 0], second=["2", 0], third="a constant"),
        "4": node("Save", value=["3", 0]),
    }
    stages, _ = await run(document)
    assert stages.named("Any") == [[1, ("second", 2)]]


async def test_shared_inputs_have_their_defaults() -> None:
    assert list(TYPES["Sized"].inputs) == ["value", "width", "height", "depth"]
    assert TYPES["Sized"].inputs["width"].widget.min == 1
    document = {
        "1": node("Make", value=1),
        "2": node("Sized", value=["1", 0], height=9),
        "3": node("Save", value=["2", 0]),
    }
    assert (await run(document))[0].named("Sized") == [[1, 7, 9, None]]


async def test_inputs_grow_and_come_with_options() -> None:
    document = {
        "1": node("Make", value=1),
        "2": node("Make", value=2),
        "3": node(
            "Grown",
            **{"numbers.number0": ["1", 0], "numbers.number1": ["2", 0]},
            **{"mode": "deep", "mode.inner": "x"},
        ),
        "4": node("Save", value=["3", 0]),
    }
    stages, _ = await run(document)
    assert stages.saved == [3]
    deep = {"mode": "deep", "depth": 3, "inner": "x"}
    assert stages.named("Grown") == [[{"number0": 1, "number1": 2}, deep]]


async def test_inputs_that_others_bring_are_checked() -> None:
    document = {"3": node("Grown", **{"mode": "deep"}), "4": node("Save", value=["3", 0])}
    with pytest.raises(WorkflowInvalidError) as raised:
        await run(document)
    missing = {problem.input for problem in raised.value.problems}
    assert missing == {"numbers.number0", "mode.inner"}
