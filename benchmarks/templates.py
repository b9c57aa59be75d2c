"""Which of ComfyUI's official templates run here, and what the others lack.

Usage: python -m benchmarks.templates FOLDER [FOLDER ...] [--page] [--url BASE [--only PATTERN]]

A FOLDER has the templates of a release: `templates/` in the wheel of `comfyui-workflow-templates`
or `comfyui-workflow-templates-json`. Without `--url` nothing is computed: each open template is
converted, checked and planned as if all files that it names were there. With it those that run so
are posted to a server that has such files (`benchmarks.posted_templates`). `--page` writes
docs/templates.md, and the totals into docs/compatibility.md.
"""

import argparse
import json
from collections import ChainMap, Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.posted_templates import post_all
from benchmarks.template_files import families_missing
from graph.comfyui_nodes import load_comfyui_nodes
from graph.dependencies import needed_by, requested_outputs, sources
from graph.errors import ServiceError
from graph.folding import fold
from graph.node import NodeType
from graph.nodes import load_node_types
from graph.nodes.loaders_split import READ
from graph.object_info import ObjectInfo
from graph.problems import WorkflowInvalidError
from graph.prompt import Workflow
from graph.validation import Library, Uploads, validate
from graph.values import InputFile, ModelFile
from graph.workflow import read_workflow

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- templates: begin -->", "<!-- templates: end -->"
RUNS, FAMILY, NODE, FAILS = "runs", "missing family", "missing node", "fails"
TEXT_LOADERS = frozenset({"CLIPLoader", "DualCLIPLoader"})
CLOSED = ("openSource", "OpenSource")  # what the index says of templates that call other services
NOT_TEMPLATES = ("index", "api_", "fuse_options")


@dataclass(frozen=True)
class Verdict:
    """What keeps a template from running: nothing where it runs."""

    name: str
    status: str
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.status}: {', '.join(self.missing)}" if self.missing else self.status


@dataclass(frozen=True)
class NamedFiles(Library):
    """A library that has every file a workflow names."""

    folders: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    inputs: dict[tuple[str, str], InputFile] = field(default_factory=dict)

    def models(self, folder: str) -> list[str]:
        return list(self.folders[folder])

    def uploads(self, kind: str) -> list[str]:
        return list(self.folders[f"uploads {kind}"])

    def find(self, folder: str, name: str) -> ModelFile:
        return ModelFile(folder, name)

    def have(self, workflow: Workflow, node_types: Mapping[str, NodeType]) -> None:
        """Have what its nodes name."""
        for node_id, node in workflow.nodes.items():
            node_type = node_types.get(node.class_type)
            for name, declared in (node_type.inputs if node_type else {}).items():
                value = node.inputs.get(name)
                if not isinstance(value, str):
                    continue
                if declared.files and value not in declared.files.also:
                    self.folders[declared.files.folder][value.replace("\\", "/")] = None
                if declared.presets and value in declared.presets.names:
                    for wanted in declared.presets.wanted(value):
                        self.folders[wanted.folder][wanted.usual] = None
                if declared.upload:
                    file = declared.upload.file_name(value)
                    self.folders[f"uploads {declared.upload.kind}"][file] = None
                    self.inputs[node_id, name] = InputFile(file, b"", "")


def open_templates(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and document of each template that calls no other service."""
    index = json.loads((folder / "index.json").read_text("utf-8"))
    said = {one["name"]: one for group in index for one in group["templates"]}
    for path in sorted(folder.glob("*.json")):
        facts = said.get(path.stem, {})
        closed = any(facts.get(key) is False for key in CLOSED)
        if not closed and not path.stem.startswith(NOT_TEMPLATES):
            yield path.stem, json.loads(path.read_text("utf-8"))


@cache
def _known() -> tuple[Mapping[str, NodeType], Mapping[str, Any]]:
    return load_node_types(), load_comfyui_nodes()


def read(document: Mapping[str, Any]) -> Workflow:
    """A template as what runs."""
    node_types, comfyui = _known()
    ours = ObjectInfo(node_types, NamedFiles())
    known: Mapping[str, Any] = ChainMap(ours, comfyui)  # type: ignore[arg-type]
    return read_workflow(document, known)


def judged(name: str, document: Mapping[str, Any]) -> Verdict:
    """What a template lacks, without running anything."""
    node_types, comfyui = _known()
    files = NamedFiles()
    try:
        workflow = read(document)
    except ServiceError as error:
        return Verdict(name, FAILS, (str(error),))
    files.have(workflow, node_types)
    asked = needed(workflow)
    families = families_missing(asked.files) | asked.text_types
    nodes, other = set(), []
    try:
        checked = validate(
            workflow, node_types, files, Uploads(files.inputs), elsewhere=comfyui, strict=True
        )
        fold(checked, node_types=node_types)
    except WorkflowInvalidError as error:
        nodes = {str(one.class_type) for one in error.problems if one.code == "missing_node_type"}
        other = [one for one in error.problems if one.code != "missing_node_type"]
    # A problem with a node that reads one of a missing type, or a loader's type, is told by that.
    told = [str(one) for one in other if not nodes and one.class_type not in TEXT_LOADERS]
    found = ((FAMILY, families), (NODE, nodes), (FAILS, set(told)))
    status = next((status for status, missing in found if missing), RUNS)
    if other and status == RUNS:
        return Verdict(name, FAILS, tuple(sorted(map(str, other))))
    return Verdict(name, status, tuple(one for _, missing in found for one in sorted(missing)))


@dataclass(frozen=True)
class Needed:
    """What the outputs of a workflow need: model files by folder, and unread kinds of texts."""

    files: Mapping[str, str]
    text_types: frozenset[str]


def needed(workflow: Workflow) -> Needed:
    """Of all its nodes that an output needs."""
    node_types, comfyui = _known()
    links = sources(workflow, node_types)
    outputs = requested_outputs(workflow, node_types, comfyui)
    files, kinds = {}, set()
    for node_id in needed_by(outputs, links.__getitem__):
        node = workflow.nodes[node_id]
        node_type = node_types.get(node.class_type)
        for name, declared in (node_type.inputs if node_type else {}).items():
            if declared.files and isinstance(node.inputs.get(name), str):
                files[node.inputs[name]] = declared.files.folder
        if node.class_type in TEXT_LOADERS and node.inputs.get("type") not in READ:
            kinds.add(f"text encoder {node.inputs.get('type')}")
    return Needed(files, frozenset(kinds))


def title(folder: Path) -> str:
    """The release that a folder of templates is of."""
    package = folder.resolve().parent
    found = sorted(package.parent.glob(f"{package.name}-*.dist-info"))
    return found[0].stem.replace("_", "-") if found else folder.name


def table(releases: Mapping[str, Sequence[Verdict]]) -> str:
    """A row for each template, a column for each release."""
    lines = [f"| template | {' | '.join(releases)} |", "| --- |" + " --- |" * len(releases)]
    by_name = [{one.name: one for one in verdicts} for verdicts in releases.values()]
    for name in sorted({name for verdicts in by_name for name in verdicts}):
        cells = (str(verdicts.get(name, "")).replace("|", "\\|") for verdicts in by_name)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def totals(releases: Mapping[str, Sequence[Verdict]]) -> str:
    """How many of each release there are of each kind."""
    kinds = (RUNS, NODE, FAMILY, FAILS)
    lines = [f"| release | templates | {' | '.join(kinds)} |", "| --- |" + " --- |" * 5]
    for release, verdicts in releases.items():
        count = Counter(one.status for one in verdicts)
        cells = " | ".join(str(count[kind]) for kind in kinds)
        lines.append(f"| {release} | {len(verdicts)} | {cells} |")
    return "\n".join(lines)


def missing_most(verdicts: Sequence[Verdict]) -> str:
    """What is missing: in how many templates, and in how many of them nothing else is."""
    count = Counter(missing for one in verdicts for missing in one.missing)
    alone = Counter(one.missing[0] for one in verdicts if len(one.missing) == 1)
    ranked = sorted(count, key=lambda missing: (-alone[missing], -count[missing], missing))
    return "\n".join(f"{alone[one]:4} of {count[one]:4}  {one[:200]}" for one in ranked)


def write_page(releases: Mapping[str, Sequence[Verdict]]) -> None:
    """Write the tables into their page, and the totals into that of compatibility."""
    made = totals(releases)
    for name, text in (
        ("templates.md", f"{made}\n\n{table(releases)}"),
        ("compatibility.md", made),
    ):
        page = DOCS / name
        before, _, rest = page.read_text("utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--page", action="store_true", help="write docs/templates.md")
    parser.add_argument("--url", help="a server that has stand-in files")
    parser.add_argument("--only", default="*", help="names of those to post: a shell pattern")
    given = parser.parse_args()
    documents = {title(folder): dict(open_templates(folder)) for folder in given.folders}
    releases = {
        release: [judged(name, document) for name, document in named.items()]
        for release, named in documents.items()
    }
    print(table(releases), "", totals(releases), sep="\n")
    for release, verdicts in releases.items():
        print(f"\nmissing in {release}, alone and in all:\n{missing_most(verdicts)}")
    if given.page:
        write_page(releases)
    if given.url:
        running = {
            name: (documents[release][name], read(documents[release][name]))
            for release, verdicts in releases.items()
            for name in (one.name for one in verdicts if one.status == RUNS)
        }
        post_all(given.url, running, given.only)


if __name__ == "__main__":
    main()
