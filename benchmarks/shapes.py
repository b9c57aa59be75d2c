"""Workflows of any size, in the shapes that make careless programs slow."""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.workflows import node

Body = dict[str, Any]
Shape = Callable[[int], Body]
IMAGE = {"width": 8, "height": 8, "batch_size": 1, "color": 0}
LEVELS = 99


def _empty(**inputs: Any) -> dict[str, Any]:
    return node("EmptyImage", **{**IMAGE, **inputs})


def _body(nodes: Mapping[str, Any], **more: Any) -> Body:
    return {"workflow": dict(nodes), "dry_run": True, **more}


def _inverted(count: int) -> dict[str, Any]:
    """A chain of that many nodes."""
    chain = {str(k): node("ImageInvert", image=[str(k - 1), 0]) for k in range(1, count)}
    return {"0": _empty()} | chain


def chain(count: int) -> Body:
    nodes = _inverted(count - 1)
    return _body(nodes | {"out": node("PreviewImage", images=[str(count - 2), 0])})


def fan_out(count: int) -> Body:
    nodes = {str(k): node("PreviewImage", images=["0", 0]) for k in range(1, count)}
    return _body({"0": _empty()} | nodes)


def many_outputs(count: int) -> Body:
    """Half of it a chain, half of it outputs of the chain's end."""
    half = count // 2
    ends = {str(k): node("PreviewImage", images=[str(half - 1), 0]) for k in range(half, count)}
    return _body(_inverted(half) | ends)


def outputs_all_along(count: int) -> Body:
    """A chain with an output at every node."""
    half = count // 2
    ends = {str(k): node("PreviewImage", images=[str(k - half), 0]) for k in range(half, count)}
    return _body(_inverted(half) | ends)


def equal_pairs(count: int) -> Body:
    """Nodes of which always two say the same, and an output of each."""
    nodes = {}
    for k in range(count // 2):
        nodes[f"a{k}"] = _empty(color=k // 2)
        nodes[f"b{k}"] = node("PreviewImage", images=[f"a{k}", 0])
    return _body(nodes)


def wide_join(count: int) -> Body:
    """A tree of nodes of two inputs, from many leaves to one output."""
    leaves = (count + 1) // 2
    nodes = {str(k): _empty(color=k) for k in range(leaves)}
    waiting, named = list(nodes), leaves
    while len(waiting) > 1:
        one, other, *waiting = waiting
        nodes[str(named)] = node(
            "ImageBlend", image1=[one, 0], image2=[other, 0], blend_factor=0.5, blend_mode="normal"
        )
        waiting.append(str(named))
        named += 1
    return _body(nodes | {"out": node("PreviewImage", images=[waiting[0], 0])})


def many_problems(count: int) -> Body:
    """`outputs_all_along`, and every node of the chain has two problems."""
    body = outputs_all_along(count)
    for each in body["workflow"].values():
        if each["class_type"] == "ImageInvert":
            each["class_type"] = "ImageBlend"
            each["inputs"] |= {"blend_factor": 99.0, "blend_mode": "norm"}
    return body


def unknown_nodes(count: int) -> Body:
    """Every node is of another type that is not there."""
    body = outputs_all_along(count)
    for key, each in body["workflow"].items():
        if each["class_type"] == "ImageInvert":
            each["class_type"] = f"ImageInvert{key}"
    return body


def many_overrides(count: int) -> Body:
    nodes = _inverted(2) | {str(k): _empty() for k in range(2, count - 1)}
    nodes["out"] = node("PreviewImage", images=["1", 0])
    return _body(nodes, inputs={f"{k}.color": k for k in range(2, count - 1)})


def wrong_overrides(count: int) -> Body:
    body = chain(count)
    return body | {"inputs": {f"no.such.{k}.color": k for k in range(count)}}


def one_node_of_many_inputs(count: int) -> Body:
    inputs = {f"more {k}": k for k in range(count)}
    nodes = {"0": _empty(**inputs), "1": node("PreviewImage", images=["0", 0])}
    return _body(nodes, inputs={f"0.more {k}": k + 1 for k in range(count)})


def long_texts(count: int) -> Body:
    """One text, as long as there are nodes, that goes to every prompt."""
    text = "a fox, " * (count * 10)
    nodes = {"0": node("PrimitiveStringMultiline", value=text)}
    nodes |= {str(k): node("StringTrim", string=["0", 0], mode="Both") for k in range(1, count - 2)}
    return _body(nodes | {"in": _empty(), "out": node("PreviewImage", images=["in", 0])})


def prompts(count: int) -> Body:
    """Many prompts of one text through one long text, encoded by nodes of which each differs."""
    text = "a fox " * (count * 10)
    nodes = {"0": node("PrimitiveStringMultiline", value=text), "1": _empty()}
    for k in range(2, count):
        nodes[str(k)] = node("SaveImage", images=["1", 0], filename_prefix=["0", 0])
    return _body(nodes)


def subgraphs(count: int) -> Body:
    """A chain of that many nodes, spread over 99 subgraphs within each other."""
    each = max(1, count // (LEVELS + 1) - 1)
    inner = [f"level {k}" for k in range(1, LEVELS + 1)]
    graphs = [_ui_graph(each, name, root=k == 0) for k, name in enumerate([*inner, ""])]
    definitions = [
        graph | {"id": f"level {k}", "inputs": [_slot("in")], "outputs": [_slot("out")]}
        for k, graph in enumerate(graphs[1:], 1)
    ]
    return {"workflow": graphs[0] | {"definitions": {"subgraphs": definitions}}, "dry_run": True}


def _slot(name: str, link: int | None = None) -> dict[str, Any]:
    return {"name": name, "type": "IMAGE", "link": link}


def _ui_node(key: int, kind: str, inputs: list[Any], values: list[Any]) -> dict[str, Any]:
    outputs = [{"name": "IMAGE", "type": "IMAGE"}]
    return {
        "id": key,
        "type": kind,
        "inputs": inputs,
        "outputs": outputs,
        "widgets_values": values,
    }


def _ui_graph(count: int, inner: str, *, root: bool) -> dict[str, Any]:
    """A chain of nodes, and after it the next subgraph, where there is one."""
    first = _ui_node(1, "ImageInvert", [_slot("image", 1)], [])
    nodes = [_ui_node(1, "EmptyImage", [], [8, 8, 1, 0]) if root else first]
    links: list[Any] = [] if root else [[1, -10, 0, 1, 0, "IMAGE"]]
    kinds = ["ImageInvert"] * (count - 1) + ([inner] if inner else [])
    for key, kind in enumerate(kinds, 2):
        links.append([key, key - 1, 0, key, 0, "IMAGE"])
        nodes.append(_ui_node(key, kind, [_slot("in" if kind == inner else "image", key)], []))
    end = count + bool(inner)
    out = [end + 1, end, 0, end + 1, 0, "IMAGE"] if root else [end + 1, end, 0, -20, 0, "IMAGE"]
    if root:
        nodes.append(_ui_node(end + 1, "PreviewImage", [_slot("images", end + 1)], []))
    return {"nodes": nodes, "links": [*links, out], "last_node_id": end + 1}


def group_nodes(count: int) -> Body:
    """Group nodes of ten nodes each, one after the other."""
    inner = [
        _ui_node(k, "ImageInvert", [_slot("image", None)], []) | {"index": k} for k in range(10)
    ]
    definition = {
        "nodes": inner,
        "links": [[k, 0, k + 1, 0, k, "IMAGE"] for k in range(9)],
        "external": [],
    }
    nodes = [_ui_node(1, "EmptyImage", [], [8, 8, 1, 0])]
    links = []
    uses = max(1, count // 11)
    for key in range(2, uses + 2):
        links.append([key, key - 1, 0, key, 0, "IMAGE"])
        nodes.append(_ui_node(key, "workflow>ten", [_slot("image", key)], []))
    links.append([uses + 2, uses + 1, 0, uses + 2, 0, "IMAGE"])
    nodes.append(_ui_node(uses + 2, "PreviewImage", [_slot("images", uses + 2)], []))
    document = {
        "nodes": nodes,
        "links": links,
        "last_node_id": uses + 2,
        "extra": {"groupNodes": {"ten": definition}},
    }
    return {"workflow": document, "dry_run": True}


SHAPES: Mapping[str, Shape] = {
    shape.__name__: shape
    for shape in (
        chain,
        fan_out,
        many_outputs,
        outputs_all_along,
        equal_pairs,
        wide_join,
        many_problems,
        unknown_nodes,
        many_overrides,
        wrong_overrides,
        one_node_of_many_inputs,
        long_texts,
        prompts,
        subgraphs,
        group_nodes,
    )
}
