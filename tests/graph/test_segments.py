"""Random steps in groups: every call can run after those it needs, and runs in one place."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from graph.plan import Step
from graph.prompt import Source
from graph.sampling import Rows
from graph.segments import grouped
from graph.stages import Stage
from graph.values import Model, ModelFile

STAGES = (Stage.ENCODE, Stage.IMAGE, Stage.SAMPLE)
MODELS = (None, *(Model(ModelFile("checkpoints", name)) for name in ("a", "b")))
ROWS = (None, Rows(0, 1, 2), Rows(1, 2, 2))


@st.composite
def steps(draw: st.DrawFn) -> tuple[list[Step], dict[str, Stage]]:
    made: list[Step] = []
    stages: dict[str, Stage] = {}
    for k in range(draw(st.integers(1, 12))):
        name = str(k)
        sources = draw(st.sets(st.integers(0, k - 1), max_size=3)) if k else set()
        links = {f"input{source}": Source(str(source), 0) for source in sorted(sources)}
        model = draw(st.sampled_from(MODELS))
        step = Step(name, "Some", {"model": model} if model else {}, links, name)
        made.append(replace(step, rows=draw(st.sampled_from(ROWS))))
        stages[name] = draw(st.sampled_from(STAGES))
    return made, stages


@given(steps())
def test_groups_come_after_what_they_read(drawn: tuple[list[Step], dict[str, Stage]]) -> None:
    made, stages = drawn
    done: set[str] = set()
    for group in grouped(made, stages):
        own = {step.node_id for step in group.steps}
        read = {link.node_id for step in group.steps for link in step.links.values()}
        assert read <= done | own
        done |= own
    assert done == {step.node_id for step in made}


@given(steps())
def test_a_group_is_of_one_stage_one_base_and_the_same_rows(
    drawn: tuple[list[Step], dict[str, Stage]],
) -> None:
    for group in grouped(*drawn):
        found = {(drawn[1][step.node_id], step.rows) for step in group.steps}
        assert found == {(group.host, group.steps[0].rows)}
        named = {model.file.name for step in group.steps if (model := step.constants.get("model"))}
        assert named <= {group.base}


@given(steps())
def test_stages_of_one_deployment_share_calls(
    drawn: tuple[list[Step], dict[str, Stage]],
) -> None:
    made, stages = drawn
    hosts = dict.fromkeys(STAGES[1:], Stage("both"))
    groups = grouped(made, stages, hosts)
    assert len(groups) <= len(grouped(made, stages))
    done: set[str] = set()
    for group in groups:
        assert {hosts.get(stages[step.node_id], STAGES[0]) for step in group.steps} == {group.host}
        done |= {step.node_id for step in group.steps}
        assert {it.node_id for step in group.steps for it in step.links.values()} <= done
    assert done == {step.node_id for step in made}
