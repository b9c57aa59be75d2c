"""App Mode: the inputs and outputs that a workflow's author published, by name."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graph.prompt import Handle, Node
from graph.ui.document import as_dict, as_list, id_text


@dataclass(frozen=True)
class AppMode:
    """What App Mode chose, and warnings on choices that name nothing."""

    inputs: Mapping[str, tuple[str, str]]  # name -> (id of a node or handle, input)
    output_ids: tuple[str, ...]
    warnings: tuple[str, ...]


def app_mode(
    extra: Mapping[str, Any], nodes: Mapping[str, Node], handles: Mapping[str, Handle]
) -> AppMode:
    """Read `extra.linearData`: inputs as [node id, widget, ...], outputs as node ids."""
    data = as_dict(extra.get("linearData"))
    known: Mapping[str, Node | Handle] = {**handles, **nodes}
    by_stored_id = {name: key for key, entry in known.items() for name in entry.names}
    by_stored_id |= {key: key for key in known}
    inputs, outputs, lost = [], [], []
    for item in as_list(data.get("inputs")):
        entry = as_list(item)
        key = by_stored_id.get(id_text(entry[0])) if len(entry) > 1 else None
        if key is None or not isinstance(entry[1], str) or entry[1] not in known[key].inputs:
            lost.append(f"App Mode shows input {item!r:.60}, which no running node has.")
        else:
            inputs.append((key, entry[1]))
    for item in as_list(data.get("outputs")):
        key = by_stored_id.get(id_text(item))
        if key is None or key not in nodes:
            lost.append(f"App Mode shows output {item!r:.60}, which no running node is.")
        else:
            outputs.append(key)
    return AppMode(_named(inputs, known), tuple(dict.fromkeys(outputs)), tuple(lost))


def _named(
    inputs: Sequence[tuple[str, str]], known: Mapping[str, Node | Handle]
) -> dict[str, tuple[str, str]]:
    """Inputs by name; of equal names by "<title>.<name>", and if that is not enough by id."""
    entries = list(dict.fromkeys(inputs))
    plain = Counter(name for _, name in entries)
    titled = Counter((known[key].title, name) for key, name in entries)
    named = {}
    for key, name in entries:
        title = known[key].title
        if plain[name] == 1:
            named[name] = (key, name)
        elif titled[title, name] == 1:
            named[f"{title}.{name}"] = (key, name)
        else:
            named[f"{key}.{name}"] = (key, name)
    return named
