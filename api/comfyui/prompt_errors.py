"""Validation errors of prompts in ComfyUI's format (execution.py, validate_prompt)."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from graph.errors import ServiceError
from graph.problems import Problem, WorkflowInvalidError
from graph.prompt import WorkflowUnreadable
from graph.shown import fitting, shown_text, shown_value

MOST_CHARS = 256_000  # of JSON that the problems of a prompt are told in
LONGEST_LIST = 20  # choices that an error repeats
NO_OUTPUTS = "Prompt has no outputs"
FAILED = "Prompt outputs failed validation"
MESSAGES: Mapping[str, str] = {
    "required_input_missing": "Required input is missing",
    "bad_linked_input": "Bad linked input, must be a length-2 list of [node_id, slot_index]",
    "return_type_mismatch": "Return type mismatch between linked nodes",
    "value_not_in_list": "Value not in list",
    "custom_validation_failed": "Custom validation failed for node",
    "dependency_cycle": "Dependency cycle detected",
}
Prompt = Mapping[str, Any]
ObjectInfo = Mapping[str, Any]


def refusal(type_: str, message: str, details: str = "", **extra: Any) -> dict[str, Any]:
    """The whole body of a 400."""
    error = {"type": type_, "message": message, "details": details, "extra_info": extra}
    return {"error": error, "node_errors": {}}


def refused(error: ServiceError, prompt: Prompt, known: ObjectInfo) -> dict[str, Any]:
    """The body for a prompt that cannot run, or that was not accepted."""
    if not isinstance(error, WorkflowInvalidError):
        code = "invalid_prompt" if isinstance(error, WorkflowUnreadable) else error.code
        return refusal(code, shown_text(str(error), 500))
    problems = error.problems
    for problem in problems:
        if problem.code in {"missing_node_type", "invalid_prompt"} and problem.node_id is not None:
            return _without_node(problem.node_id, prompt)
    if any(problem.code == "prompt_no_outputs" for problem in problems):
        return refusal("prompt_no_outputs", NO_OUTPUTS)
    own = node_errors((problem.body() for problem in problems), prompt, known)
    said = [
        f"{one['message']}: {one['details']}"
        for node_id, found in own.items()
        if node_id in found["dependent_outputs"]
        for one in found["errors"]
    ]
    body = refusal("prompt_outputs_failed_validation", FAILED, "\n".join(said))
    return body | {"node_errors": own}


def refused_status(error: ServiceError) -> int:
    """ComfyUI's own for what is wrong with a prompt."""
    return 400 if error.status in {409, 415, 422} else error.status


def without_class(prompt: Prompt) -> dict[str, Any] | None:
    """The refusal of a prompt of which a node has no class, None where all have one."""
    for node_id, node in prompt.items():
        if not isinstance(node, Mapping) or not isinstance(node.get("class_type"), str):
            return _without_node(node_id, prompt)
    return None


def _without_node(node_id: str, prompt: Prompt) -> dict[str, Any]:
    node = prompt.get(node_id)
    facts = node if isinstance(node, Mapping) else {}
    class_type, meta = facts.get("class_type"), facts.get("_meta")
    title = meta.get("title") if isinstance(meta, Mapping) else None
    shown = shown_text(class_type) if isinstance(class_type, str) else None
    said = "Cannot execute because a node is missing the class_type property."
    if shown:
        said = f"Cannot execute because node {shown} does not exist."
    named = shown_text(title) if isinstance(title, str) else shown
    facts = {"node_id": shown_text(node_id), "class_type": shown, "node_title": named}
    return refusal("missing_node_type", said, f"Node ID '#{shown_text(node_id)}'", **facts)


def node_errors(
    problems: Iterable[Mapping[str, Any]], prompt: Prompt, known: ObjectInfo
) -> dict[str, Any]:
    """Problems (as Problem.body has them) by node."""
    found: dict[str, Any] = {}
    for problem in fitting(problems, MOST_CHARS)[0]:
        node_id = problem["node_id"] or ""
        node = prompt.get(node_id)
        node = node if isinstance(node, Mapping) else {}
        entry = found.setdefault(
            node_id,
            {
                "errors": [],
                "dependent_outputs": [],
                "class_type": problem["class_type"] or str(node.get("class_type", "")),
            },
        )
        outputs = dict.fromkeys((*entry["dependent_outputs"], *problem["dependent_outputs"]))
        entry["dependent_outputs"] = list(outputs)
        written = _input_error(problem, node, known.get(entry["class_type"]))
        if written not in entry["errors"]:
            entry["errors"].append(written)
    return found


def _input_error(
    problem: Mapping[str, Any], node: Mapping[str, Any], declared: Mapping[str, Any] | None
) -> dict[str, Any]:
    code, name = problem["code"], problem["input"] or ""
    config = _declared(declared, name)
    inputs = node.get("inputs")
    sent = shown_value(inputs.get(name)) if isinstance(inputs, Mapping) else None
    extra: dict[str, Any] = {"input_name": name} if name else {}
    if code not in {"required_input_missing", "custom_validation_failed"} and name:
        extra |= {"input_config": _short(config), "received_value": sent}
    details = DETAILS.get(code, _other)(problem, config, sent)
    if code == "return_type_mismatch":
        del extra["received_value"]
        extra |= {"received_type": problem["received"], "linked_node": sent}
    elif code == "invalid_input_type":
        extra["exception_message"] = problem["message"]
    elif code == "dependency_cycle":
        extra = {"node_id": problem["node_id"], "cycle_nodes": problem["received"]}
    return {
        "type": code,
        "message": _message(problem, config),
        "details": details,
        "extra_info": extra,
    }


def _message(problem: Mapping[str, Any], config: list[Any] | None) -> str:
    code, received = problem["code"], problem["received"]
    options = _options(config)
    if code == "invalid_input_type":
        kind = config[0] if config and isinstance(config[0], str) else problem["expected"]
        return f"Failed to convert an input value to a {kind} value"
    if code == "value_smaller_than_min":
        return f"Value {received} smaller than min of {options.get('min')}"
    if code == "value_bigger_than_max":
        return f"Value {received} bigger than max of {options.get('max')}"
    return MESSAGES.get(code, problem["message"])


Details = Callable[[Mapping[str, Any], "list[Any] | None", Any], str]


def _name(problem: Mapping[str, Any], _config: list[Any] | None, _sent: Any) -> str:
    return str(problem["input"] or "")


def _mismatch(problem: Mapping[str, Any], _config: list[Any] | None, _sent: Any) -> str:
    return (
        f"{problem['input']}, received_type({problem['received']}) "
        f"mismatch input_type({problem['expected']})"
    )


def _not_in_list(problem: Mapping[str, Any], config: list[Any] | None, sent: Any) -> str:
    choices = _choices(config)
    listed = f"(list of length {len(choices)})" if len(choices) > LONGEST_LIST else str(choices)
    return f"{problem['input']}: {sent!r} not in {listed}"


def _not_converted(problem: Mapping[str, Any], _config: list[Any] | None, sent: Any) -> str:
    shown = sent if isinstance(sent, str) else json.dumps(sent)
    return f"{problem['input']}, {shown}, {problem['message']}"


def _other(problem: Mapping[str, Any], _config: list[Any] | None, _sent: Any) -> str:
    return " - ".join(filter(None, (problem["input"], problem["message"])))


DETAILS: Mapping[str, Details] = {
    "required_input_missing": _name,
    "bad_linked_input": _name,
    "value_smaller_than_min": _name,
    "value_bigger_than_max": _name,
    "return_type_mismatch": _mismatch,
    "value_not_in_list": _not_in_list,
    "invalid_input_type": _not_converted,
}


def _short(config: list[Any] | None) -> list[Any] | None:
    """An input's declaration, without a long list of choices."""
    return None if len(_choices(config)) > LONGEST_LIST else config


def _choices(config: list[Any] | None) -> list[Any]:
    if not config:
        return []
    listed = config[0] if isinstance(config[0], list) else _options(config).get("options", [])
    return listed if isinstance(listed, list) else []


def _declared(node_type: Mapping[str, Any] | None, name: str) -> list[Any] | None:
    """An input as /object_info declares it."""
    for section in ("required", "optional"):
        found = (node_type or {}).get("input", {}).get(section, {}).get(name)
        if found is not None:
            return list(found)
    return None


def _options(config: list[Any] | None) -> Mapping[str, Any]:
    more = config[1] if config and len(config) > 1 else {}
    return more if isinstance(more, Mapping) else {}


def problem_bodies(skipped: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """The problems of outputs that were left out, as Problem.body has them."""
    facts = Problem("", "").body()
    for one in skipped:
        for problem in one["errors"]:
            yield {**facts, **problem}
