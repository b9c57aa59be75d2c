"""Converts UI format to a workflow, by the rules of the editor."""

from collections.abc import Mapping
from datetime import datetime
from random import Random
from typing import Any

from graph.prompt import Node, Source, Workflow, WorkflowUnreadable, pack_name
from graph.ui.app_mode import app_mode
from graph.ui.broadcasts import SEED_NODE, SEEDS, with_broadcasts
from graph.ui.document import UiDocument, as_dict, as_list, id_text, read_document
from graph.ui.drafts import Draft, Notes, OwnValues, drafts_of
from graph.ui.frames import lay_out
from graph.ui.group_nodes import ungroup
from graph.ui.handles import handles_of
from graph.ui.inputs import complete_inputs
from graph.ui.links import Resolver
from graph.ui.models import required_models
from graph.ui.numbering import renumber
from graph.ui.promotion import PromotedValues, ShownWidgets
from graph.ui.replacements import choose, fill_in
from graph.ui.size import TextCount

REPLACED_INPUT = "filename_prefix"


def convert_ui(
    document: Mapping[str, Any],
    node_types: Mapping[str, Any],
    *,
    seed: int = 0,
    now: datetime | None = None,
    max_nodes: int = 5_000,
    max_depth: int = 100,
    max_text: int = 64 * 2**20,
) -> Workflow:
    """The workflow that ComfyUI's editor (1.58.1) would queue for `document`.

    `node_types` is in /object_info's format; a node of another type keeps its class, links and
    values; links that lead nowhere are told as `broken_links`. `seed` draws the choices of dynamic
    prompts, `now` fills in `%date%`.

    Raises:
        WorkflowUnreadable: a node or a link of the file is not what it must be.
        WorkflowTooLarge: it comes to more nodes, nesting or characters of text than may be.
    """
    file = renumber(read_document(document))
    node_types = _used(file, node_types)
    file = ungroup(file, node_types, max_nodes=max_nodes)
    file, warnings = with_broadcasts(complete_inputs(file, node_types), node_types)
    shown = ShownWidgets(file.subgraphs, max_depth=max_depth)
    text = TextCount(max_text)
    frames = list(lay_out(file, shown, text, max_nodes=max_nodes, max_depth=max_depth))
    notes = Notes(warnings)
    own = OwnValues(node_types, notes)
    resolver = Resolver(PromotedValues(shown, lambda node: own.of(node).values))
    drafts = [draft for frame in frames for draft in drafts_of(frame, node_types, own, resolver)]
    for draft in drafts:
        text.add(draft.title, draft.node.id, draft.node.type, *draft.inputs, *draft.inputs.values())
    _change_texts(drafts, text, seed, now or datetime.now().astimezone())
    nodes = _nodes(drafts)
    handles = handles_of(frames, drafts)
    app = app_mode(file.extra, nodes, handles)
    return Workflow(
        nodes=nodes,
        named_inputs=app.inputs,
        output_ids=app.output_ids,
        models=required_models(file, [draft.node for draft in drafts]),
        warnings=(*notes.warnings, *app.warnings),
        repairs=tuple(notes.repairs),
        handles=handles,
        broken_links=tuple(broken for draft in drafts for broken in draft.broken_links),
    )


def _used(file: UiDocument, node_types: Mapping[str, Any]) -> dict[str, Any]:
    """The facts about the types in `file`, each asked for once: they may be made when asked for."""
    graphs = (file.root, *file.subgraphs.values())
    kinds = {node.type for graph in graphs for node in graph.nodes.values()}
    for group in as_dict(file.extra.get("groupNodes")).values():
        kinds |= {
            id_text(as_dict(item).get("type")) for item in as_list(as_dict(group).get("nodes"))
        }
    if SEEDS in kinds:
        kinds.add(SEED_NODE)
    return {kind: node_types[kind] for kind in kinds if kind in node_types}


def _change_texts(drafts: list[Draft], count: TextCount, seed: int, now: datetime) -> None:
    """Draw dynamic prompts and fill in replacements, in the texts that widgets hold."""
    by_name = {draft.title: draft for draft in reversed(drafts)}
    by_name |= {draft.node.search_name: draft for draft in reversed(drafts)}

    def widget_value(node: str, widget: str) -> Any:
        value = by_name[node].inputs.get(widget) if node in by_name else None
        return None if isinstance(value, Source) else value

    for draft in drafts:
        options = {widget.name: widget.options for widget in draft.slots}
        for name in draft.typed:
            text = draft.inputs.get(name)
            if not isinstance(text, str):
                continue
            if name == REPLACED_INPUT or name in draft.replaced:
                text = fill_in(text, now, widget_value)
                count.add(text)
            if options.get(name, {}).get("dynamicPrompts"):
                text = choose(text, Random(f"{seed} {draft.id} {name}"))
            draft.inputs[name] = text


def _nodes(drafts: list[Draft]) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    for draft in drafts:
        if draft.id in nodes:  # "4:3" of the root, say, and 3 in subgraph 4
            problem = f"Two nodes come to have the id {draft.id!r}."
            raise WorkflowUnreadable(problem, draft.id, "")
        nodes[draft.id] = _node(draft)
    return nodes


def _node(draft: Draft) -> Node:
    frame, node = draft.frame, draft.node
    stored = ":".join((*frame.stored_path, node.stored_id))
    titles = "/".join((*frame.titles, draft.title)) if frame.titles else ""
    names = dict.fromkeys((stored, node.search_name, titles))
    return Node(
        class_type=node.type,
        inputs=draft.inputs,
        title=draft.title,
        pack=pack_name(node.properties),
        names=tuple(name for name in names if name and name != draft.id),
    )
