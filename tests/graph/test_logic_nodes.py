"""What decides, computes and fills in texts: what is not chosen is not run, and all of it ends."""

from typing import Any

import pytest

from deployments.patterns import PatternError, extract, matches, replace
from graph.arithmetic import ExpressionError, evaluate
from graph.folding import fold
from graph.nodes import load_node_types
from graph.nodes.numbers import ARITHMETIC
from graph.plan import make_plan
from graph.problems import WorkflowInvalidError
from graph.stages.patterns import Pattern
from graph.text_format import FormatError, formatted
from graph.validation import Uploads, validate
from graph.workflow import read_workflow
from tests.graph.nodes_for_tests import TwoFiles

TYPES = load_node_types()
ENDLESS = Pattern(r"(a|aa|aaa)+$")


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def run(*, switch: Any) -> set[str]:
    """The nodes that a workflow runs that saves one of two pictures."""
    document = {
        "1": node("EmptyImage", width=8, height=8, batch_size=1, color=0),
        "2": node("EmptyImage", width=16, height=8, batch_size=1, color=0),
        "3": node("ComfySwitchNode", switch=switch, on_false=["1", 0], on_true=["2", 0]),
        "4": node("PreviewImage", images=["3", 0]),
        "5": node("ComfyMathExpression", expression="a > b", **{"values.a": 3, "values.b": 2.5}),
    }
    checked = validate(read_workflow(document, {}), TYPES, TwoFiles(), Uploads())
    plan = make_plan(fold(checked, node_types=TYPES), lambda _: False)
    return {step.node_id for segment in plan.segments for step in segment.steps}


def test_what_a_switch_does_not_choose_is_not_run() -> None:
    assert run(switch=True) & {"1", "2"} == {"2"}
    assert run(switch=False) & {"1", "2"} == {"1"}
    assert run(switch=["5", 2]) & {"1", "2"} == {"2"}


def test_an_input_of_several_types_takes_constants_of_those_alone() -> None:
    document = {
        "1": node("ComfyNumberConvert", value={"not": "a number"}),
        "2": node("EmptyImage", width=["1", 1], height=8, batch_size=1, color=0),
        "3": node("PreviewImage", images=["2", 0]),
    }
    with pytest.raises(WorkflowInvalidError) as refused:
        validate(read_workflow(document, {}), TYPES, TwoFiles(), Uploads())
    (problem,) = refused.value.problems
    assert (problem.node_id, problem.input) == ("1", "value")


@pytest.mark.parametrize(
    "expression",
    [
        "9 ** 9 ** 9",
        "2 ** 60000 * 2 ** 60000",
        "1 << 10 ** 9",
        "'a' * 10 ** 9",
        "'%999999999d' % 5",
        "round(5, -10 ** 9)",
        "-" * 3000 + "1",
        "(" * 500 + "1" + ")" * 500,
        "1 +" * 5000 + "1",
        "().__class__.__mro__",
        "[x for x in values]",
        "f'{1:999999999}'",
        "a := 3",
        "import os",
        "\0",
    ],
)
def test_no_expression_takes_long_or_reaches_further(expression: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(expression, {"a": 1}, ARITHMETIC, "expression")


@pytest.mark.parametrize("text", ["{a:999999999}", "{a.__class__}", "{a:{b:{a}}}", "{0}", "{a!z}"])
def test_no_format_takes_long_or_reaches_further(text: str) -> None:
    with pytest.raises(FormatError):
        formatted(text, {"a": 1, "b": 2}, "f_string")


def test_no_pattern_takes_for_ever() -> None:
    text = "a" * 5000 + "b"
    for search in (
        lambda: matches(text, ENDLESS),
        lambda: extract(text, ENDLESS, "All Matches", 0),
        lambda: replace(text, ENDLESS, "", 0),
    ):
        with pytest.raises(PatternError, match="longer than"):
            search()


def test_no_replacement_fills_the_memory() -> None:
    with pytest.raises(PatternError):
        replace("a", Pattern("a"), r"\g<0>" * 1000, 0)
