"""Learned words in prompts, from the files that tools write."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from diffusion.text.embeddings import EmbeddingFiles, Lookup
from diffusion.text.prompt import chunks
from diffusion.text.tokenizer import ClipTokenizer
from diffusion.weights import Weights, open_weights
from graph.embeddings import MOST_NAMED
from graph.errors import BadModelFile
from graph.values import ModelFile
from storage.models.files import ModelFolders
from tests.diffusion.model_files import seeded

WIDE = 768
VECTORS = seeded("vectors", (3, WIDE))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "embeddings"
    made.mkdir()
    return made


@pytest.fixture
def opened() -> list[ModelFile]:
    return []


@pytest.fixture
def files(tmp_path: Path, folder: Path, opened: list[ModelFile]) -> EmbeddingFiles:
    folders = ModelFolders(tmp_path)

    def open_one(file: ModelFile) -> Weights:
        opened.append(file)
        return open_weights(folders.path(file), file)

    return EmbeddingFiles(folders.find, open_one)


def a1111(vectors: Tensor) -> dict[str, object]:
    """What A1111's textual inversion writes."""
    return {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": vectors},
        "name": "style",
        "step": 500,
        "sd_checkpoint": "abc",
        "sd_checkpoint_name": None,
    }


def first_inversion(vectors: Tensor) -> dict[str, object]:
    """What the paper's own code writes."""
    parameters = nn.ParameterDict({"*": nn.Parameter(vectors)})
    return {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": parameters}


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: torch.save(a1111(VECTORS), folder / "style.pt"),
        lambda folder: torch.save(first_inversion(VECTORS), folder / "style.pt"),
        lambda folder: torch.save({"<style>": VECTORS}, folder / "style.bin"),
        lambda folder: save_file({"emb_params": VECTORS}, folder / "style.safetensors"),
        lambda folder: save_file({"clip_l": VECTORS}, folder / "style.safetensors"),
        lambda folder: save_file(
            {"bundle_emb.style.string_to_param.*": VECTORS}, folder / "style.safetensors"
        ),
    ],
    ids=["a1111", "inversion", "diffusers", "safetensors", "comfyui", "bundle"],
)
def test_every_kind_of_file_is_read(
    write: Callable[[Path], None], folder: Path, files: EmbeddingFiles
) -> None:
    write(folder)
    vectors = files("l", WIDE)("style")
    assert vectors is not None
    assert torch.equal(vectors, VECTORS)


def test_sdxl_reads_each_encoders_own_vectors(folder: Path, files: EmbeddingFiles) -> None:
    large = seeded("large", (2, 1280))
    save_file({"clip_g": large, "clip_l": VECTORS}, folder / "style.safetensors")
    both = files("l", WIDE)("style"), files("g", 1280)("style")
    assert both[0] is not None
    assert both[1] is not None
    assert torch.equal(both[0], VECTORS)
    assert torch.equal(both[1], large)


def test_vectors_of_another_width_are_left_out(folder: Path, files: EmbeddingFiles) -> None:
    save_file({"emb_params": VECTORS}, folder / "style.safetensors")
    assert files("g", 1280)("style") is None


def test_a_name_may_have_its_extension_and_a_folder(folder: Path, files: EmbeddingFiles) -> None:
    (folder / "art").mkdir()
    save_file({"emb_params": VECTORS}, folder / "art" / "style.safetensors")
    assert files("l", WIDE)("art/style") is not None
    assert files("l", WIDE)("art/style.safetensors") is not None


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "", "no\0thing"])
def test_a_name_outside_the_folder_is_no_embedding(
    name: str, folder: Path, files: EmbeddingFiles, opened: list[ModelFile]
) -> None:
    save_file({"emb_params": VECTORS}, folder.parent / "secret.safetensors")
    assert files("l", WIDE)(name) is None
    assert opened == []


def test_a_new_file_is_seen_at_once(folder: Path, files: EmbeddingFiles) -> None:
    lookup = files("l", WIDE)
    assert lookup("style") is None
    save_file({"emb_params": VECTORS}, folder / "style.safetensors")
    assert lookup("style") is not None


def test_a_word_counts_as_much_as_its_parentheses_say(folder: Path, files: EmbeddingFiles) -> None:
    save_file({"emb_params": VECTORS}, folder / "style.safetensors")
    lookup = Lookup(files("l", WIDE), "l")
    (chunk,) = chunks("a (embedding:style:1.3), fox", ClipTokenizer(), pad=0, embeddings=lookup)
    vectors = [
        (t, w) for t, w in zip(chunk.tokens, chunk.weights, strict=True) if isinstance(t, Tensor)
    ]
    assert [weight for _, weight in vectors] == [1.3, 1.3, 1.3]
    assert torch.equal(torch.stack([vector for vector, _ in vectors]), VECTORS)
    assert lookup.warnings == ()


def test_an_unknown_word_is_left_out_and_told(files: EmbeddingFiles) -> None:
    lookup = Lookup(files("l", WIDE), "l")
    (chunk,) = chunks("a embedding:style, fox", ClipTokenizer(), pad=0, embeddings=lookup)
    assert all(isinstance(token, int) for token in chunk.tokens)
    assert lookup.warnings == ("Embedding 'style' is not there or not made for CLIP-L: ignored",)


def test_a_comma_after_a_word_is_no_part_of_it(folder: Path, files: EmbeddingFiles) -> None:
    save_file({"emb_params": VECTORS}, folder / "style.safetensors")
    lookup = Lookup(files("l", WIDE), "l")
    (chunk,) = chunks("embedding:style, fox", ClipTokenizer(), pad=0, embeddings=lookup)
    assert sum(isinstance(token, Tensor) for token in chunk.tokens) == 3
    assert lookup.warnings == ()


def test_a_file_with_code_in_it_is_refused(folder: Path, files: EmbeddingFiles) -> None:
    (folder / "style.pt").write_bytes(pickle.dumps({"string_to_param": print}))
    lookup = Lookup(files("l", WIDE), "l")
    with pytest.raises(BadModelFile, match=r"embeddings/style\.pt: not a readable checkpoint"):
        chunks("embedding:style", ClipTokenizer(), pad=0, embeddings=lookup)


def test_an_owners_own_word_counts_before_a_shared_one(
    tmp_path: Path, folder: Path, files: EmbeddingFiles, opened: list[ModelFile]
) -> None:
    save_file({"emb_params": VECTORS}, folder / "style.safetensors")
    save_file({"emb_params": -VECTORS}, folder / "mine.safetensors")
    own = ModelFile("embeddings", "mine.safetensors")
    lookup = Lookup(files("l", WIDE), "l", {"style": own})
    found = lookup("style")
    assert found is not None
    assert torch.equal(found, -VECTORS)
    assert opened == [own]


def test_an_own_word_that_is_gone_is_left_out_and_told(files: EmbeddingFiles) -> None:
    lookup = Lookup(files("l", WIDE), "l", {"style": ModelFile("embeddings", "gone.safetensors")})
    assert lookup("style") is None
    assert lookup.warnings == ("Embedding 'style' is not there or not made for CLIP-L: ignored",)


def test_of_very_many_embeddings_the_first_are_looked_for() -> None:
    looked: list[str] = []

    def find(name: str | ModelFile) -> None:
        looked.append(str(name))

    lookup = Lookup(find, "l")
    for k in range(3 * MOST_NAMED):
        lookup(f"e{k}")
    assert len(looked) == MOST_NAMED
    assert lookup.warnings[-1].startswith(f"More than {MOST_NAMED} embeddings")
