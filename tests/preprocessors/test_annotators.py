"""Finding, loading and refusing weights of preprocessors."""

import pickle
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from deployments.config import PreprocessorConfig
from deployments.preprocessor import Preprocessor
from deployments.site import Site
from deployments.transport import load, to_tensors
from graph.annotators import FOLDER, HED, LINEART, LINEART_COARSE, MissingAnnotatorError
from graph.errors import BadModelFile
from graph.events import Done
from graph.folding import fold
from graph.nodes import load_node_types
from graph.plan import make_plan
from graph.problems import WorkflowInvalidError
from graph.prompt import Node, Source, Workflow
from graph.validation import Uploads, validate
from graph.values import ModelFile
from preprocessors.hed import build_hed, hed_edges
from storage.models.annotators import AnnotatorFolder, HubError
from tests.graph.nodes_for_tests import TwoFiles
from tests.preprocessors.annotator_files import (
    MIB,
    as_image,
    detectors,
    library,
    lively,
    picture,
    put,
)

TYPES = load_node_types()
PLACES = [
    "lllyasviel/Annotators/sk_model.pth",
    "lllyasviel/Annotators/sk_model.safetensors",
    "Annotators/sk_model.pth",
    "models--lllyasviel--Annotators/snapshots/0123abcd/sk_model.pth",
    "sk_model.pth",
]


def hed_weights() -> dict[str, torch.Tensor]:
    network = lively(library("hed").ControlNetHED_Apache2())
    return dict(network.state_dict())


@pytest.mark.parametrize("place", PLACES)
def test_weights_are_found_where_packs_and_the_hub_put_them(tmp_path: Path, place: str) -> None:
    path = tmp_path / FOLDER / place
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    folder = AnnotatorFolder.of(tmp_path)
    found = folder.find(LINEART)
    assert (found.folder, found.name) == (FOLDER, place)
    assert folder.path(found) == path
    with pytest.raises(MissingAnnotatorError):
        folder.find(LINEART_COARSE)


def test_a_file_that_changes_is_another_file(tmp_path: Path) -> None:
    folder = AnnotatorFolder.of(tmp_path)
    path = tmp_path / FOLDER / "ControlNetHED.pth"
    path.parent.mkdir()
    path.write_bytes(b"one")
    before = folder.find(HED)
    path.write_bytes(b"another")
    assert folder.find(HED) != before


def test_what_the_hub_would_give_counts_as_there(tmp_path: Path) -> None:
    found = AnnotatorFolder.of(tmp_path, hub=True).find(HED)
    assert found == ModelFile(FOLDER, "lllyasviel/Annotators/ControlNetHED.pth")


class Hub(BaseHTTPRequestHandler):
    """A hub that has one file, of one repository."""

    content = b"weights"
    name = "/lllyasviel/Annotators/resolve/main/ControlNetHED.pth"

    def do_HEAD(self) -> None:
        self.answer(b"")

    def do_GET(self) -> None:
        self.answer(self.content)

    def answer(self, body: bytes) -> None:
        there = self.path == self.name
        self.send_response(200 if there else 404)
        if there:
            self.send_header("ETag", '"0123abcd"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("Content-Length", str(len(self.content)))
        else:
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
        self.end_headers()
        self.wfile.write(body if there else b"")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_missing_weights_are_fetched_from_the_hub_where_that_is_on(
    tmp_path: Path, hub: str
) -> None:
    folder = AnnotatorFolder(tmp_path, hub=True, endpoint=hub)
    found = folder.have(HED)
    assert found.name == "lllyasviel/Annotators/ControlNetHED.pth"
    assert folder.path(found).read_bytes() == Hub.content
    assert folder.find(HED) == found
    with pytest.raises(HubError, match=r"sk_model\.pth of lllyasviel/Annotators.*no such file"):
        folder.have(LINEART)


async def test_the_stage_draws_with_weights_of_the_models_folder(tmp_path: Path) -> None:
    put(tmp_path, hed_weights(), HED)
    checked = validate(
        workflow("HEDPreprocessor", {"resolution": 64}), TYPES, Annotated(tmp_path), Uploads()
    )
    first = make_plan(fold(checked), lambda _: False).segments[0]
    stage = Preprocessor(
        Site(tmp_path, tmp_path / "private", device="cpu", torch_threads=1), PreprocessorConfig()
    )
    events = [event async for batch in stage.run(first, {}) for event in batch]
    done = [event for event in events if isinstance(event, Done) and event.outputs]
    (drawn,) = done[-1].outputs or ()
    image = await load(drawn, to_tensors)
    black = torch.zeros(1, 64, 64, 3)
    assert torch.equal(image, hed_edges(detectors(tmp_path), black, 64, safe=True))


def test_weights_that_are_missing_are_named_when_a_hint_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(MissingAnnotatorError, match=r"ControlNetHED\.pth.*lllyasviel/Annotators"):
        hed_edges(detectors(tmp_path), as_image(picture()), 64, safe=True)


def workflow(class_type: str, inputs: dict[str, Any]) -> Workflow:
    """A grey picture, a preprocessor, and an output."""
    nodes = {
        "1": Node("EmptyImage", {"width": 64, "height": 64, "batch_size": 1, "color": 0}),
        "2": Node(class_type, {"image": Source("1", 0), **inputs}),
        "3": Node("PreviewImage", {"images": Source("2", 0)}),
    }
    return Workflow(nodes=nodes)


class Annotated(TwoFiles):
    """A models folder with annotators of its own."""

    def __init__(self, models_dir: Path) -> None:
        self.annotator = AnnotatorFolder.of(models_dir).find  # type: ignore[method-assign]


def test_a_workflow_whose_weights_are_missing_is_refused_with_their_names(tmp_path: Path) -> None:
    asked = workflow("HEDPreprocessor", {"safe": "enable"})
    with pytest.raises(WorkflowInvalidError) as refused:
        validate(asked, TYPES, Annotated(tmp_path), Uploads())
    (problem,) = refused.value.problems
    assert refused.value.status == 422
    assert (problem.code, problem.node_id, problem.class_type) == (
        "missing_model",
        "2",
        "HEDPreprocessor",
    )
    assert problem.model == {
        "folder": "annotators/lllyasviel/Annotators",
        "name": "ControlNetHED.pth",
        "repository": "lllyasviel/Annotators",
        "url": "https://huggingface.co/lllyasviel/Annotators/resolve/main/ControlNetHED.pth",
    }
    for fact in ("lllyasviel/Annotators", "ControlNetHED.pth", "models/annotators/"):
        assert fact in problem.message
    assert problem.dependent_outputs == ("3",)


def test_only_the_weights_that_the_inputs_ask_for_are_needed(tmp_path: Path) -> None:
    put(tmp_path, {"x": torch.zeros(1)}, LINEART)
    library_ = Annotated(tmp_path)
    checked = validate(workflow("LineArtPreprocessor", {}), TYPES, library_, Uploads())
    assert [file.name for file in checked.nodes["2"].weights] == [
        "lllyasviel/Annotators/sk_model.pth"
    ]
    with pytest.raises(WorkflowInvalidError, match=r"sk_model2\.pth"):
        validate(workflow("LineArtPreprocessor", {"coarse": "enable"}), TYPES, library_, Uploads())


def test_the_node_of_all_preprocessors_needs_what_the_chosen_one_needs(tmp_path: Path) -> None:
    library_ = Annotated(tmp_path)
    validate(workflow("AIO_Preprocessor", {}), TYPES, library_, Uploads())
    asked = workflow("AIO_Preprocessor", {"preprocessor": "LineArtPreprocessor"})
    with pytest.raises(WorkflowInvalidError, match=r"Node 2: .*sk_model\.pth"):
        validate(asked, TYPES, library_, Uploads())
    put(tmp_path, {"x": torch.zeros(1)}, LINEART)
    assert validate(asked, TYPES, library_, Uploads()).nodes["2"].weights


def test_other_weights_are_another_result(tmp_path: Path) -> None:
    asked = workflow("HEDPreprocessor", {})

    def key() -> str:
        return fold(validate(asked, TYPES, Annotated(tmp_path), Uploads())).steps["2"].key

    put(tmp_path, {"x": torch.zeros(1)}, HED)
    before = key()
    assert key() == before
    put(tmp_path, {"x": torch.zeros(9)}, HED)
    assert key() != before


class Evil:
    """What a pickle may hold: a call of anything."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.trace,))


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    put(tmp_path, {"norm": torch.zeros(1), "evil": Evil(trace)}, HED)
    with pytest.raises(BadModelFile, match=r"ControlNetHED\.pth"):
        hed_edges(detectors(tmp_path), as_image(picture()), 64, safe=True)
    path = tmp_path / FOLDER / "lllyasviel/Annotators/ControlNetHED.pth"
    path.write_bytes(pickle.dumps(Evil(trace)))
    with pytest.raises(BadModelFile, match=r"ControlNetHED\.pth"):
        hed_edges(detectors(tmp_path), as_image(picture()), 64, safe=True)
    assert not trace.exists()


def test_weights_of_another_network_are_refused_and_the_next_file_works(tmp_path: Path) -> None:
    loaded = detectors(tmp_path)
    weights = hed_weights()
    wrong = {**weights, "norm": torch.zeros(1, 4, 1, 1)}
    for broken, said in (({"x": torch.zeros(1)}, "no tensor"), (wrong, "'norm' is")):
        put(tmp_path, broken, HED)
        with pytest.raises(BadModelFile, match=said):
            hed_edges(loaded, as_image(picture()), 64, safe=True)
    put(tmp_path, weights, HED)
    assert hed_edges(loaded, as_image(picture()), 64, safe=True).shape == (1, 64, 128, 3)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    put(tmp_path, hed_weights(), HED)
    path = tmp_path / FOLDER / "lllyasviel/Annotators/ControlNetHED.pth"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(BadModelFile):
        hed_edges(detectors(tmp_path), as_image(picture()), 64, safe=True)


def test_safetensors_do_as_well(tmp_path: Path) -> None:
    weights = hed_weights()
    put(tmp_path / "one", weights, HED)
    flat = tmp_path / "other" / FOLDER
    flat.mkdir(parents=True)
    save_file(weights, flat / "ControlNetHED.safetensors")
    one, other = (
        hed_edges(detectors(tmp_path / name), as_image(picture()), 64, safe=True)
        for name in ("one", "other")
    )
    assert torch.equal(one, other)


def test_networks_stay_within_the_budget(tmp_path: Path) -> None:
    put(tmp_path, hed_weights(), HED)
    roomy, tight = detectors(tmp_path), detectors(tmp_path, budget_bytes=MIB)
    for loaded in (roomy, tight):
        with loaded.loaded(HED, build_hed) as first, loaded.loaded(HED, build_hed) as second:
            assert first is second
    assert [file.name for file in roomy.resident()] == ["lllyasviel/Annotators/ControlNetHED.pth"]
    assert tight.resident() == ()
