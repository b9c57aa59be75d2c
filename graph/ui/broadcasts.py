"""Use Everywhere: nodes that feed every open input that fits.

As the pack does when it queues (cg-use-everywhere 7, `use_everywhere_classes.js`): for each graph,
links are made from what a live sender is linked to, to inputs of live nodes that have none. Rules
on titles, input names, groups and colours say which; of several the highest priority sends, and
where two have the same, none.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graph.prompt import WorkflowTooLarge
from graph.ui.document import (
    BYPASSED,
    INPUT_NODE,
    MUTED,
    OUTPUT_NODE,
    Box,
    Link,
    Slot,
    UiDocument,
    UiGraph,
    UiNode,
    as_dict,
    number,
)

SENDERS = frozenset(
    {
        "Anything Everywhere",
        "Anything Everywhere?",
        "Anything Everywhere3",
        "Prompts Everywhere",
    }
)
SEEDS = "Seed Everywhere"  # the pack itself makes it this node, with any input named "seed" in mind
SEED_NODE = "PrimitiveInt"
PROMPTS = {0: r"(_|\b)pos(itive|_|\b)|positive", 1: r"(_|\b)neg(ative|_|\b)|negative"}
TITLE_HEIGHT = 30  # of a node, above its box
MAX_WORK = 10_000_000
MAX_PATTERN, MAX_REPEATS, MAX_TEXT = 100, 3, 100  # what bounds the time a pattern takes
REPEATED_GROUP = re.compile(r"\)[*+?{]|\(\?|\\[1-9]")
REPEAT = re.compile(r"[*+{]")


@dataclass(frozen=True)
class Rule:
    """A pattern that a text must have in it, or must not."""

    pattern: str
    inverted: bool = False

    def allows(self, text: str) -> bool:
        return _found(self.pattern, text[:MAX_TEXT]) is not self.inverted


@dataclass(frozen=True)
class Broadcast:
    """What one input of a sender passes on. `same_name`: the name rule for values of equal type."""

    sender: UiNode
    origin: str
    slot: int
    type: str
    priority: int
    title: Rule | None
    input: Rule | None
    only_to: frozenset[str] | None
    same_name: tuple[int, str] | None = None

    def fits(self, node: UiNode, slot: Slot, title: str) -> bool:
        """Whether it is for this input; that the types are the same is known."""
        name = _name(slot)
        return (
            node.id != self.origin
            and (self.only_to is None or node.id in self.only_to)
            and (self.title is None or self.title.allows(title))
            and (self.input is None or self.input.allows(name))
            and (self.same_name is None or _same(*self.same_name, name, title))
        )


def with_broadcasts(
    document: UiDocument, node_types: Mapping[str, Any]
) -> tuple[UiDocument, list[str]]:
    """`document` with a link wherever something is sent, and warnings.

    Raises:
        WorkflowTooLarge: too many broadcasts for too many inputs.
    """
    warnings: list[str] = []

    def linked(graph: UiGraph) -> UiGraph:
        senders = [node for node in graph.nodes.values() if _sends(node)]
        work = len(graph.nodes) * (sum(len(n.inputs or ()) + 1 for n in senders) + 1)
        if senders and work * (len(graph.groups) + 1) > MAX_WORK:
            problem = "The workflow has too many nodes that send to all others."
            raise WorkflowTooLarge(problem, senders[0].stored_id, "")
        broadcasts = [each for node in senders for each in _sent(graph, node)]
        return _linked(graph, broadcasts, node_types, warnings) if broadcasts else graph

    subgraphs = {key: linked(graph) for key, graph in document.subgraphs.items()}
    return replace(document, root=linked(document.root), subgraphs=subgraphs), warnings


def _sends(node: UiNode) -> bool:
    named = node.type in SENDERS or node.type == SEEDS
    return _is_live(node) and (named or bool(node.properties.get("ue_convert")))


def _sent(graph: UiGraph, node: UiNode) -> Iterator[Broadcast]:
    """What a node sends."""
    properties = _properties(node)
    if node.type == SEEDS:
        yield _broadcast(
            graph, node, (node.id, 0, "INT"), _rule(properties, "input") or Rule("seed")
        )
    elif node.properties.get("ue_convert"):
        mute = as_dict(properties.get("output_not_broadcasting"))
        sent = [(s, node.id, k, s.type) for k, s in enumerate(node.outputs) if not mute.get(s.name)]
        yield from _named(graph, node, sent)
    else:
        inputs = enumerate(node.inputs or ())
        sources = [(k, slot, _source(graph, slot)) for k, slot in inputs if not slot.widget]
        if node.type == "Prompts Everywhere":
            for k, _, source in sources:
                if source is not None and k in PROMPTS:
                    yield _broadcast(graph, node, source, Rule(PROMPTS[k]))
        else:
            yield from _named(graph, node, [(s, *found) for _, s, found in sources if found])


def _named(
    graph: UiGraph, node: UiNode, sent: Sequence[tuple[Slot, str, int, str]]
) -> Iterator[Broadcast]:
    """Broadcasts of several values; those of one type go by name as well."""
    properties = _properties(node)
    kinds = Counter(kind for _, _, _, kind in sent)
    for slot, origin, output, kind in sent:
        repeated = kinds[kind] > 1
        made = _broadcast(
            graph, node, (origin, output, kind), _rule(properties, "input"), repeated=repeated
        )
        if repeated or properties.get("apply_to_unrepeated"):
            made = replace(
                made, same_name=(number(properties.get("repeated_type_rule")), _name(slot))
            )
        yield made


def _broadcast(
    graph: UiGraph,
    node: UiNode,
    source: tuple[str, int, str],
    input_rule: Rule | None,
    *,
    repeated: bool = False,
) -> Broadcast:
    properties = _properties(node)
    rules = [_rule(properties, name) for name in ("title", "group")]
    grouped = number(properties.get("group_restricted"))
    coloured = number(properties.get("color_restricted"))
    priority = number(properties.get("priority")) or (
        10
        + 10 * (node.type == "Prompts Everywhere")
        + 20 * (any(rules) or input_rule is not None or repeated)
        + 3 * (grouped > 0)
        + 6 * (coloured > 0)
    )
    only_to = _restricted(graph, node, rules[1], grouped, coloured)
    return Broadcast(node, *source, priority, rules[0], input_rule, only_to)


def _properties(node: UiNode) -> Mapping[str, Any]:
    """What was set of a sender; before version 7 of the pack in widgets and loose properties."""
    properties = as_dict(node.properties.get("ue_properties"))
    if properties.get("version") or node.type not in SENDERS | {SEEDS}:
        return properties
    values = node.values if isinstance(node.values, list) and node.type != SEEDS else []
    rules = dict(zip(("title_regex", "input_regex", "group_regex"), values, strict=False))
    return {**rules, **node.properties, **properties}


def _rule(properties: Mapping[str, Any], name: str) -> Rule | None:
    pattern = properties.get(f"{name}_regex")
    if not isinstance(pattern, str) or pattern in ("", ".*"):
        return None
    return Rule(pattern, bool(properties.get(f"{name}_regex_invert")))


def _restricted(
    graph: UiGraph, node: UiNode, group_rule: Rule | None, grouped: int, coloured: int
) -> frozenset[str] | None:
    """The nodes that a sender may send to, if groups or colours say so."""
    allowed = set(graph.nodes)
    if grouped in (1, 2):
        together = {
            other
            for group in graph.groups
            if node.id in (inside := _inside(graph, group.box))
            for other in inside
        }
        allowed = together if grouped == 1 else allowed - together
    if coloured in (1, 2):
        alike = {key for key, other in graph.nodes.items() if other.color == node.color}
        allowed = allowed & alike if coloured == 1 else allowed - alike
    if group_rule is not None:
        groups = [group for group in graph.groups if group_rule.allows(group.title)]
        allowed &= {key for group in groups for key in _inside(graph, group.box)}
    return frozenset(allowed) if grouped or coloured or group_rule is not None else None


def _inside(graph: UiGraph, box: Box) -> frozenset[str]:
    """The nodes whose middle, their title included, lies in a box."""
    return frozenset(
        node.id
        for node in graph.nodes.values()
        if box.holds(
            node.box.x + node.box.width / 2, node.box.y + (node.box.height - TITLE_HEIGHT) / 2
        )
    )


def _source(graph: UiGraph, slot: Slot) -> tuple[str, int, str] | None:
    """The node id, output and type that feed an input of a sender, past bypassed nodes."""
    seen: set[str] = set()
    while slot.link and slot.link not in seen:
        seen.add(slot.link)
        link = graph.links.get(slot.link)
        if link is None:
            return None
        if link.origin == INPUT_NODE:
            known = 0 <= link.origin_slot < len(graph.inputs)
            kind = graph.inputs[link.origin_slot].type if known else "*"
            return link.origin, link.origin_slot, kind if kind != "*" else slot.type
        origin = graph.nodes.get(link.origin)
        if origin is None or origin.mode == MUTED:
            return None
        known = 0 <= link.origin_slot < len(origin.outputs)
        kind = origin.outputs[link.origin_slot].type if known else "*"
        kind = kind if kind != "*" else slot.type
        if origin.mode != BYPASSED:
            return link.origin, link.origin_slot, kind
        slots = origin.inputs or ()
        same = slots[link.origin_slot : link.origin_slot + 1]
        alike = [other for other in (*same, *slots) if other.type == kind]
        if not alike:
            return None
        slot = alike[0]
    return None


def _linked(
    graph: UiGraph,
    broadcasts: Sequence[Broadcast],
    node_types: Mapping[str, Any],
    warnings: list[str],
) -> UiGraph:
    by_type: dict[str, list[Broadcast]] = defaultdict(list)
    for each in broadcasts:
        by_type[each.type].append(each)
        if _properties(each.sender).get("string_to_combo") and each.type == "STRING":
            by_type["COMBO"].append(each)
        if _properties(each.sender).get("send_to_any"):
            by_type["*"].append(each)
    links, nodes = dict(graph.links), {}

    def made(each: Broadcast, target: str, index: int) -> str:
        key = f"broadcast {len(links)}"
        links[key] = Link(each.origin, each.slot, target, index, is_made=True)
        return key

    for node in graph.nodes.values():
        slots, title = list(node.inputs or ()), _title(node, node_types)
        for index, slot in enumerate(slots if _takes(node) else ()):
            if slot.type in by_type and _is_open(graph, node, slot):
                fitting = [each for each in by_type[slot.type] if each.fits(node, slot, title)]
                if best := _best(fitting, f"Node {node.stored_id} ({title})", slot, warnings):
                    slots[index] = replace(slot, link=made(best, node.id, index))
        nodes[node.id] = replace(_as_known(node, node_types), inputs=tuple(slots))
    fed = graph.links_into.get(OUTPUT_NODE, {})
    outside = UiNode(OUTPUT_NODE, "subgraph output node", stored_id=OUTPUT_NODE)
    for index, slot in enumerate(graph.outputs):
        if index not in fed and slot.type in by_type:
            fitting = [each for each in by_type[slot.type] if each.fits(outside, slot, "")]
            if best := _best(fitting, "The subgraph", slot, warnings):
                made(best, OUTPUT_NODE, index)
    return replace(graph, nodes=nodes, links=links)


def _best(
    fitting: Sequence[Broadcast], where: str, slot: Slot, warnings: list[str]
) -> Broadcast | None:
    """The broadcast of the highest priority; of several such none, with a warning."""
    highest = max((each.priority for each in fitting), default=0)
    best = [each for each in fitting if each.priority == highest]
    if len(best) > 1:
        senders = ", ".join(each.sender.stored_id for each in best[:5])
        warnings.append(f"{where}, input {slot.name!r}: nodes {senders} all send to it; none does.")
    return best[0] if len(best) == 1 else None


def _takes(node: UiNode) -> bool:
    return (
        _is_live(node)
        and node.type not in SENDERS | {SEEDS}
        and not node.properties.get("rejects_ue_links")
    )


def _is_open(graph: UiGraph, node: UiNode, slot: Slot) -> bool:
    """Whether an input takes broadcasts: it is fed by nothing, and its owner lets it.

    A widget takes them if its node says so; where nothing is said at all, that is in files of
    before widgets were slots, if it is listed as a slot.
    """
    if slot.link and (link := graph.links.get(slot.link)) is not None:
        origin = graph.nodes.get(link.origin)
        if origin is None or origin.mode != BYPASSED or _source(graph, slot) is not None:
            return False
    properties = as_dict(node.properties.get("ue_properties"))
    if not slot.widget:
        return not as_dict(properties.get("input_ue_unconnectable")).get(slot.name)
    said = properties.get("widget_ue_connectable", node.properties.get("widget_ue_connectable"))
    return True if said is None else bool(as_dict(said).get(slot.name))


def _is_live(node: UiNode) -> bool:
    return node.mode not in (MUTED, BYPASSED)


def _title(node: UiNode, node_types: Mapping[str, Any]) -> str:
    shown = as_dict(node_types.get(node.type)).get("display_name")
    return node.title or (shown if isinstance(shown, str) else "") or node.type


def _as_known(node: UiNode, node_types: Mapping[str, Any]) -> UiNode:
    """A Seed Everywhere as what the pack replaces it by, where its own type is not known."""
    if node.type == SEEDS and SEEDS not in node_types:
        return replace(node, type=SEED_NODE)
    return node


def _name(slot: Slot) -> str:
    return slot.label or slot.name


def _same(rule: int, sent: str, name: str, title: str) -> bool:
    """Whether an input is the one that a value is for, of several of a type: the sender's rule."""
    length = min(len(sent), len(name))
    match rule:
        case 1:
            return name[:length] == sent[:length]
        case 2:
            return name[len(name) - length :] == sent[len(sent) - length :]
        case 3:
            return title == sent
        case 4:
            return _found(sent, name[:MAX_TEXT])
    return name == sent


def _found(pattern: str, text: str) -> bool:
    """Whether a text has the pattern in it; one that could take long is taken for plain text."""
    slow = len(pattern) > MAX_PATTERN or len(REPEAT.findall(pattern)) > MAX_REPEATS
    if slow or REPEATED_GROUP.search(pattern):
        return pattern in text
    try:
        return re.search(pattern, text) is not None
    except (re.error, OverflowError, RecursionError):
        return True  # the pack takes a pattern that it cannot read for none
