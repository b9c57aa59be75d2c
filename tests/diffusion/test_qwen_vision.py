"""Qwen2.5-VL's vision tower against transformers' own, and pictures in prompts."""

from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.families.qwen_image.text import SEEN
from diffusion.families.registry import FAMILIES
from diffusion.text.encoder import Prompt, TextEncoder, load_text_encoder
from diffusion.text.encodings import Tokenizers
from diffusion.text.llm_network import rotary
from diffusion.text.llm_part import NoVisionTowerError, VocabularyError, positions_of
from diffusion.text.pictures import shown
from diffusion.text.prompt import Picture
from diffusion.text.qwen_vision import MEAN, STD, grid, load_tower, patches, windows
from diffusion.text.tokenizer import ClipTokenizer
from graph.errors import BadModelFile
from tests.diffusion.llm_files import QWEN25, letters, llm_tensors
from tests.diffusion.model_files import CPU, seeded
from tests.diffusion.narrow_stage import drawn
from tests.diffusion.test_text_encoder import in_memory

WIDTH, HIDDEN, BLOCKS = 160, 48, 9  # two heads; the eighth block sees all
SIZES = {"wide": (140, 252), "small": (20, 30)}


def tower_tensors(prefix: str = "") -> dict[str, Tensor]:
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (WIDTH, 3, 2, 14, 14),
        "merger.ln_q.weight": (WIDTH,),
        "merger.mlp.0.weight": (4 * WIDTH, 4 * WIDTH),
        "merger.mlp.0.bias": (4 * WIDTH,),
        "merger.mlp.2.weight": (QWEN25.width, 4 * WIDTH),
        "merger.mlp.2.bias": (QWEN25.width,),
    }
    for i in range(BLOCKS):
        block = f"blocks.{i}."
        shapes |= {f"{block}norm{n}.weight": (WIDTH,) for n in (1, 2)}
        layers = {
            "attn.qkv": (3 * WIDTH, WIDTH),
            "attn.proj": (WIDTH, WIDTH),
            "mlp.gate_proj": (HIDDEN, WIDTH),
            "mlp.up_proj": (HIDDEN, WIDTH),
            "mlp.down_proj": (WIDTH, HIDDEN),
        }
        for name, shape in layers.items():
            shapes |= {f"{block}{name}.weight": shape, f"{block}{name}.bias": shape[:1]}
    return {prefix + key: seeded(key, shape) for key, shape in shapes.items()}


def transformers_vectors(numbers: Tensor, rows: int, columns: int) -> Tensor:
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen  # noqa: PLC0415
    from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import (  # noqa: PLC0415
        Qwen2_5_VLVisionConfig,
    )

    kinds: Any = Qwen2_5_VLVisionConfig, qwen.Qwen2_5_VisionTransformerPretrainedModel
    config = kinds[0](
        depth=BLOCKS,
        hidden_size=WIDTH,
        intermediate_size=HIDDEN,
        num_heads=2,
        out_hidden_size=QWEN25.width,
        fullatt_block_indexes=[7],
        attn_implementation="sdpa",
    )
    tower = kinds[1](config).eval()
    tower.load_state_dict(tower_tensors())
    with torch.no_grad():
        answer = tower(numbers, grid_thw=torch.tensor([[1, 2 * rows, 2 * columns]]))
    found: Tensor = getattr(answer, "pooler_output", answer)
    return found


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_it_answers_as_transformers_does(size: tuple[int, int]) -> None:
    picture = torch.rand(*size, 3, generator=torch.Generator().manual_seed(1))
    rows, columns = grid(*size)
    tower = load_tower(in_memory(tower_tensors()), torch.float32, CPU)
    with torch.no_grad():
        own = tower(picture)
    expected = transformers_vectors(patches(picture, rows, columns), rows, columns)
    order, _ = windows(rows, columns)
    assert torch.allclose(own, expected[order], atol=1e-4)


def test_a_picture_is_cut_into_patches_of_one_vector_each() -> None:
    picture = torch.zeros(56, 84, 3)
    picture[28:, 56:] = 1.0
    numbers = patches(picture, 2, 3).unflatten(0, (6, 4)).unflatten(-1, (3, 2, 14, 14))
    for channel in range(3):
        low, high = -MEAN[channel] / STD[channel], (1 - MEAN[channel]) / STD[channel]
        assert torch.allclose(numbers[:5, :, channel], torch.tensor(low))
        assert torch.allclose(numbers[5, :, channel], torch.tensor(high))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((384, 384), (14, 14)), ((10, 10), (2, 2)), ((8000, 8000), (128, 128)), ((1, 9000), (1, 190))],
)
def test_a_grid_has_vectors_of_28_pixels_within_bounds(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert grid(*size) == expected


def test_pictures_are_known_by_their_pixels() -> None:
    image = drawn(1, 2, 30, 40, 4).sigmoid()
    one, same, other = shown(image, 400), shown(image.clone(), 400), shown(image + 0.1, 400)
    assert one.pixels.shape == (17, 23, 3)
    assert one == same
    assert hash(one) == hash(same)
    assert one != other


def encoder(*, sees: bool = True) -> TextEncoder:
    tensors = llm_tensors(QWEN25) | (tower_tensors("visual.") if sees else {})
    tokenizers = Tokenizers(
        ClipTokenizer(), lambda: letters, qwen=lambda: by_marks, umt5=lambda: letters
    )
    return load_text_encoder(
        [in_memory(tensors)],
        tokenizers,
        FAMILIES.texts,
        dtype=torch.float32,
        device=CPU,
        kind="qwen_image",
    )


def by_marks(text: str) -> list[int]:
    """A tokenizer of one token a letter, whose pictures are written `#`."""
    return [
        SEEN if letter == "#" else token for letter, token in zip(text, letters(text), strict=True)
    ]


def test_the_text_goes_on_behind_a_picture() -> None:
    """Positions as transformers' get_rope_index counts them."""
    picture = Picture("p", torch.zeros(56, 84, 3))  # two rows, three columns
    expected = [
        [0, 1, 2, 2, 2, 2, 2, 2, 5, 6],
        [0, 1, 2, 2, 2, 3, 3, 3, 5, 6],
        [0, 1, 2, 3, 4, 2, 3, 4, 5, 6],
    ]
    assert positions_of([7, 7, picture, 7, 7]).tolist() == expected
    cosines, _ = rotary(positions_of([7, 7, picture, 7, 7]), QWEN25)
    assert cosines.shape == (10, QWEN25.head)


def test_a_picture_is_seen_where_the_prompt_has_a_place_for_it() -> None:
    picture = Picture("p", torch.rand(56, 84, 3, generator=torch.Generator().manual_seed(1)))
    blind, seen, twice = encoder().encode(
        [
            Prompt("<|im_start|>ab"),
            Prompt("<|im_start|>a#b", pictures=(picture,)),
            Prompt("<|im_start|>a#b", pictures=(picture, picture)),
        ]
    )
    assert seen.tokens.shape[1] == blind.tokens.shape[1] + 6
    assert torch.equal(seen.tokens, twice.tokens)
    before = len("<|im_start|>a")
    assert torch.allclose(seen.tokens[:, :before], blind.tokens[:, :before], atol=1e-5)
    assert not torch.allclose(seen.tokens[:, -1], blind.tokens[:, -1], atol=1e-3)


def test_a_token_that_the_file_has_no_row_for_is_told() -> None:
    with pytest.raises(VocabularyError, match=f"token {SEEN}.*of {QWEN25.vocabulary}"):
        encoder().encode([Prompt("a#b")])


def test_an_encoder_without_a_tower_says_that_it_cannot_see() -> None:
    picture = Picture("p", torch.zeros(56, 84, 3))
    with pytest.raises(NoVisionTowerError, match=r"Qwen2\.5-VL has no vision tower"):
        encoder(sees=False).encode([Prompt("a#b", pictures=(picture,))])


def test_an_incomplete_tower_is_said_to_be() -> None:
    tensors = tower_tensors()
    del tensors["blocks.3.attn.proj.bias"]
    with pytest.raises(BadModelFile, match=r"blocks\.3\.attn\.proj\.bias"):
        load_tower(in_memory(tensors), torch.float32, CPU)
    del tensors["merger.mlp.2.weight"]
    with pytest.raises(BadModelFile, match="vision tower is incomplete"):
        load_tower(in_memory(tensors), torch.float32, CPU)
