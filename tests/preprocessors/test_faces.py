"""Faces found, known and swapped, against ComfyUI-ReActor's own classes.

tests/contract/reactor.npz has what those made of the same files and pictures: of swaps, the
difference to the picture that went in.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deployments.detectors import LoadedDetectors
from graph.annotators import MissingFixedFileError
from graph.errors import BadModelFile
from graph.faces import (
    BUFFALO,
    Choosing,
    Face,
    NoFaceError,
    Restoring,
    Swap,
    TooManyFacesError,
    in_order,
)
from graph.model_files.onnx_graph import TAG_BITS
from graph.values import ModelFile
from preprocessors.face_restore import restored
from preprocessors.face_swap import aligned, face_similarity, swap_faces, swap_like
from preprocessors.faces import (
    build_attributes,
    build_detector,
    build_embedder,
    embedding,
    is_female,
    spotted,
)
from preprocessors.onnx_networks import NetworkRunError, build_onnx
from storage.models.annotators import AnnotatorFolder
from storage.models.library import ModelLibrary
from tests.preprocessors.annotator_files import as_image
from tests.preprocessors.face_files import drawn, write_faces
from tests.preprocessors.onnx_files import block, number, operator, value_info, varint, write_graph

INSWAPPER = ModelFile("face_swap", "inswapper_128.onnx")
HYPERSWAP = ModelFile("face_swap", "hyperswap_1a_256.onnx")
CASES = (
    Swap(INSWAPPER, Choosing()),
    Swap(
        INSWAPPER,
        Choosing(
            input_faces_order="left-right",
            input_faces_index="0,1",
            source_faces_order="small-large",
            source_faces_index="0,1",
        ),
    ),
    Swap(
        INSWAPPER,
        Choosing(
            input_faces_order="top-bottom",
            input_faces_index="0,1,2,3,4,5,6,7,8,9",
            detect_gender_input="female",
            source_faces_order="right-left",
        ),
    ),
    Swap(HYPERSWAP, Choosing()),
    Swap(
        INSWAPPER,
        Choosing(
            input_faces_order="bottom-top",
            input_faces_index="1,7",
            source_faces_index="9,1",
            detect_gender_source="male",
        ),
    ),
)


@cache
def recorded() -> dict[str, Any]:
    with np.load(Path(__file__).parents[1] / "contract" / "reactor.npz") as found:
        return dict(found)


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_faces(folder)
    return folder


def loaded(models_dir: Path) -> LoadedDetectors:
    library = ModelLibrary(models_dir, models_dir / "private")
    return LoadedDetectors(
        AnnotatorFolder.of(models_dir),
        device=torch.device("cpu"),
        budget_bytes=2**30,
        models=library.path,
        find=library.find,
    )


@pytest.fixture(scope="module")
def detectors(models_dir: Path) -> LoadedDetectors:
    return loaded(models_dir)


@pytest.mark.parametrize(
    ("k", "seed", "count"), [(0, 1, 1), (1, 2, 2), (2, 3, 3), (3, 5, 4), (4, 6, 5)]
)
def test_faces_are_found_and_known_as_by_the_pack(
    detectors: LoadedDetectors, k: int, seed: int, count: int
) -> None:
    picture, said = drawn(seed, count), recorded()
    with (
        detectors.opened(BUFFALO.file("detection"), build_detector) as network,
        detectors.opened(BUFFALO.file("recognition"), build_embedder) as knows,
        detectors.opened(BUFFALO.file("attributes"), build_attributes) as tells,
    ):
        found = spotted(network, picture, 640)
        female = [is_female(tells, picture, face) for face in found]
        who = [embedding(knows, aligned(picture, face.points, 112)) for face in found]
    assert np.abs(np.array([face.box for face in found]) - said[f"boxes{k}"]).max() < 1e-3
    assert np.abs(np.array([face.points for face in found]) - said[f"points{k}"]).max() < 1e-3
    assert np.abs(np.array([face.score for face in found]) - said[f"scores{k}"]).max() < 1e-5
    assert female == list(said[f"female{k}"])
    assert np.abs(np.array(who) - said[f"who{k}"]).max() < 1e-3


@pytest.mark.parametrize("k", range(len(CASES)))
def test_swaps_are_the_packs(detectors: LoadedDetectors, k: int) -> None:
    source, target = drawn(7 + k, 3), drawn(12 + k, 3)
    image, face = swap_faces(detectors, as_image(target), as_image(source), None, CASES[k])
    ours = (image[0] * 255).round().numpy().astype(int)
    theirs = (target + recorded()[f"swap{k}"]).astype(int)
    assert (theirs != target).any()
    assert np.abs(ours - theirs).max() <= 1
    assert face is not None


def test_a_batch_is_swapped_as_by_the_pack(detectors: LoadedDetectors) -> None:
    targets = [drawn(30 + k, 3) for k in range(2)]
    how = Swap(INSWAPPER, Choosing(input_faces_index="0,1", source_faces_index="0,1"))
    batch = torch.cat([as_image(one) for one in targets])
    image, face = swap_faces(detectors, batch, as_image(drawn(29, 2)), None, how)
    ours = (image * 255).round().numpy().astype(int)
    assert np.abs(ours - (np.stack(targets) + recorded()["many"]).astype(int)).max() <= 1
    again, _ = swap_faces(detectors, batch, None, face, Swap(INSWAPPER, Choosing()))
    assert not torch.equal(again, batch)  # the face that was handed on is put in


def test_faces_are_drawn_anew_where_they_were_swapped_alone(
    detectors: LoadedDetectors, models_dir: Path
) -> None:
    grey = np.zeros((3, 3, 1, 1), dtype=np.float32)
    write_graph(
        models_dir / "facerestore_models" / "grey.onnx",
        [operator("Conv", ["input", "w"], "output")],
        {"w": grey},
        {"input": (1, 3, 512, 512)},
        {"output": (1, 3, 512, 512)},
    )
    target, grey_model = drawn(12, 3), ModelFile("facerestore_models", "grey.onnx")
    with detectors.opened(BUFFALO.file("detection"), build_detector) as network:
        faces = spotted(network, target, 640)
    largest = max(faces, key=lambda face: (face.box[2] - face.box[0]) * (face.box[3] - face.box[1]))
    image = restored(detectors, Restoring(grey_model), target, [largest.box])
    x, y = (int((largest.box[k] + largest.box[k + 2]) / 2) for k in (0, 1))
    assert abs(int(image[y, x, 1]) - 128) <= 1
    others = [
        face for face in faces if face.box[0] > largest.box[2] or face.box[2] < largest.box[0]
    ]
    for face in others:
        x, y = (int((face.box[k] + face.box[k + 2]) / 2) for k in (0, 1))
        assert image[y, x].tolist() == target[y, x].tolist()
    assert others


def test_the_face_that_is_like_a_reference_is_swapped(detectors: LoadedDetectors) -> None:
    target, source = drawn(12, 3), as_image(drawn(7, 1))
    with detectors.opened(BUFFALO.file("detection"), build_detector) as network:
        faces = in_order(spotted(network, target, 640), "large-small")
    x1, y1, x2, y2 = (int(side) for side in faces[1].box)
    reference = np.zeros_like(target)
    reference[y1:y2, x1:x2] = target[y1:y2, x1:x2]
    how = Swap(INSWAPPER, Choosing())
    image = swap_like(detectors, as_image(target), source, as_image(reference), how)
    second = Swap(INSWAPPER, Choosing(input_faces_index="1"))
    expected, _ = swap_faces(detectors, as_image(target), source, None, second)
    assert torch.equal(image, expected)
    with pytest.raises(NoFaceError, match="reference_image"):
        swap_like(detectors, as_image(target), source, as_image(drawn(4, 0)), how)


def test_a_face_is_like_itself(detectors: LoadedDetectors) -> None:
    one, none = as_image(drawn(1, 1)), as_image(drawn(4, 0))
    assert face_similarity(detectors, one, one) == pytest.approx(1.0)
    assert face_similarity(detectors, one, none) is None


def test_what_is_missing_is_told_with_its_licence(tmp_path: Path) -> None:
    with (
        pytest.raises(
            MissingFixedFileError, match=r"models/buffalo_l/det_10g.onnx.*non-commercial"
        ),
        loaded(tmp_path).opened(BUFFALO.file("detection"), build_detector),
    ):
        pass


X, Y = {"x": (1, 3, 8, 8)}, {"y": (1, 3, 8, 8)}
HOSTILE = {
    "operators of the library 'own'": [operator("Relu", ["x"], "y") + b"\x3a\x03own"],
    "the operator Loop": [operator("Loop", ["x"], "y")],
    "onnxruntime refuses it": [operator("NoSuchThing", ["x"], "y")],
    "has no nodes": [],
}


@pytest.mark.parametrize("problem", HOSTILE)
def test_graphs_that_are_not_run_are_refused(tmp_path: Path, problem: str) -> None:
    file = ModelFile("onnx", "bad.onnx")
    write_graph(tmp_path / "onnx" / file.name, HOSTILE[problem], {}, X, Y)
    with pytest.raises(BadModelFile, match=problem), loaded(tmp_path).opened(file, build_onnx):
        pass


def test_what_a_protobuf_reader_would_find_is_looked_for(tmp_path: Path) -> None:
    """A tag is 32 bits there, so that one of more names another field to it."""
    hidden = varint((4 << 3 | 2) + (1 << TAG_BITS)) + varint(4) + b"Loop"
    sparse = block(5, block(1, "sparse_value") + block(22, b""))
    inside = block(5, block(1, "then_branch") + block(6, block(1, operator("Loop", ["x"], "y"))))
    relu = operator("Relu", ["x"], "y")
    hostile = {"no ONNX file": hidden, "sparse weights": sparse, "the operator Loop": inside}
    for problem, part in hostile.items():
        file = ModelFile("onnx", "bad.onnx")
        write_graph(tmp_path / "onnx" / file.name, [relu + part], {}, X, Y)
        with pytest.raises(BadModelFile, match=problem), loaded(tmp_path).opened(file, build_onnx):
            pass


def test_a_run_that_takes_too_long_is_ended_and_whoever_waits_is_told(tmp_path: Path) -> None:
    chain = [operator("MatMul", [f"a{k}", f"a{k}"], f"a{k + 1}") for k in range(400)]
    side = {"a0": (1, 1500, 1500)}
    write_graph(tmp_path / "onnx" / "slow.onnx", chain, {}, side, {"a400": (1, 1500, 1500)})
    opened = loaded(tmp_path).opened(ModelFile("onnx", "slow.onnx"), build_onnx)
    with opened as network:
        hasty = replace(network, slowest_s=0.2)
        with pytest.raises(NetworkRunError, match=r"did not end within 0\.2 s"):
            hasty(np.zeros((1, 1500, 1500), dtype=np.float32))
        with hasty.turn, pytest.raises(NetworkRunError, match="others have used it"):
            hasty(np.zeros((1, 1500, 1500), dtype=np.float32))


def test_what_is_constant_is_computed_in_runs_within_their_memory(tmp_path: Path) -> None:
    huge = np.array([1, 2**10, 2**10, 2**14], dtype=np.int64)
    one = np.ones((1, 1, 1, 1), dtype=np.float32)
    graph = [operator("Expand", ["c", "s"], "e"), operator("Mul", ["e", "x"], "y")]
    weights: dict[str, Any] = {"c": one, "s": huge}
    write_graph(
        tmp_path / "onnx" / "folds.onnx", graph, weights, {"x": (1, 1, 1, 1)}, {"y": tuple(huge)}
    )
    opened = loaded(tmp_path).opened(ModelFile("onnx", "folds.onnx"), build_onnx)
    with opened as network, pytest.raises(NetworkRunError, match="too much memory"):
        network(one)


def test_more_swaps_than_a_node_may_do_are_refused(tmp_path: Path) -> None:
    how = Swap(INSWAPPER, Choosing(input_faces_index=",".join(["0"] * 100)))
    picture = torch.zeros(11, 8, 8, 3)
    known = Face((0, 0, 1, 1), torch.zeros(5, 2), 1.0, torch.zeros(512))
    with pytest.raises(TooManyFacesError, match="1100 faces are to be swapped"):
        swap_faces(loaded(tmp_path), picture, None, known, how)


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    file = ModelFile("onnx", "bad.onnx")
    path = tmp_path / "onnx" / file.name
    elsewhere = block(13, block(1, "location") + block(2, "/etc/passwd"))
    weights = block(5, block(8, "w") + elsewhere + number(14, 1))
    graph = block(1, operator("Relu", ["w"], "y")) + weights + block(12, value_info("y", (1,)))
    path.parent.mkdir()
    path.write_bytes(number(1, 8) + block(7, graph) + block(8, number(2, 13)))
    opened = loaded(tmp_path).opened(file, build_onnx)
    with pytest.raises(BadModelFile, match="in another file"), opened:
        pass


def test_memory_and_time_of_a_run_are_bounded(tmp_path: Path) -> None:
    huge = np.array([1, 2**10, 2**10, 2**14], dtype=np.int64)
    write_graph(
        tmp_path / "onnx" / "huge.onnx",
        [operator("Expand", ["x", "s"], "y")],
        {"s": huge},
        {"x": (1, 1, 1, 1)},
        {"y": tuple(huge)},
    )
    one = np.zeros((1, 1, 1, 1), dtype=np.float32)
    opened = loaded(tmp_path).opened(ModelFile("onnx", "huge.onnx"), build_onnx)
    with opened as network, pytest.raises(NetworkRunError, match="too much memory"):
        network(one)
