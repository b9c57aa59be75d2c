"""Text encoders against ComfyUI 0.3.64.

tests/contract/text_encoder_shapes.json.gz has the names and shapes of four-layer CLIPs in the
layout of each family's checkpoints; text_encoder_outputs.npz has what comfy.sd1_clip.SD1ClipModel
(sd15), sd2_clip.SD2ClipModel, sdxl_clip.SDXLClipModel and SDXLRefinerClipModel answer, filled by
`drawn`, to `PROMPTS` and to clip skip; of the tokens [:, ::9, ::96], of the pooled state [:, ::32].
"""

import re
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from diffusion.families.registry import FAMILIES
from diffusion.text.encoder import Encoded, Prompt, TextEncoder, load_text_encoder
from diffusion.text.encodings import Tokenizers
from diffusion.text.tokenizer import ClipTokenizer
from diffusion.weights import Entry, Weights
from graph.errors import BadModelFile
from graph.values import ModelFile
from tests.diffusion.model_files import CPU, Shapes, recorded, recorded_shapes, seeded

PROMPTS = (
    "",
    "a photo of a red fox in the snow, golden hour",
    "(a cat:1.3) and ((dog)) [bird] (x:0.4)",
    "very detailed (landscape:1.2) with a river, " * 20,
    "a (b:0) <|endoftext|> c",
)
TWO_TEXTS = {"two0": Prompt(PROMPTS[1], PROMPTS[3]), "two1": Prompt(PROMPTS[3], PROMPTS[2])}
SHAPES = recorded_shapes("text_encoder_shapes")
OUTPUTS = recorded("text_encoder_outputs")
# (index of the prompt, clip skip): all prompts with two settings, one prompt with all
CASES = [(i, layer) for layer in (None, -3) for i in range(5)] + [(2, -1), (2, -2), (2, -20)]


def drawn(key: str, shape: tuple[int, ...]) -> Tensor:
    if "token_embedding" in key:  # a whole table of 49408 rows is long to draw
        return seeded(key, (shape[0], 32)).repeat(1, shape[1] // 32)
    sharp = "attn.in_proj_weight" in key or "_proj.weight" in key
    return seeded(key, tuple(shape)) * (3 if sharp else 1)


def in_memory(tensors: Mapping[str, Tensor]) -> Weights:
    entries = {key: Entry(tuple(value.shape), value.dtype) for key, value in tensors.items()}
    return Weights(ModelFile("clip", "m.safetensors"), entries, tensors.__getitem__)


def made(shapes: Shapes) -> TextEncoder:
    weights = in_memory({key: drawn(key, shape) for key, shape in shapes.items()})
    return load_text_encoder([weights], TOKENIZERS, FAMILIES.texts, dtype=torch.float32, device=CPU)


TOKENIZERS = Tokenizers(ClipTokenizer(), t5=ClipTokenizer, qwen=ClipTokenizer, umt5=ClipTokenizer)


ROUNDING = 5e-4  # of up to 32 layers; recorded on another machine


@pytest.fixture(scope="module")
def encoder(request: pytest.FixtureRequest) -> TextEncoder:
    """One family's encoder; they are large, so no two are kept."""
    return made(SHAPES[request.param])


def assert_recorded(encoded: Encoded, case: str) -> None:
    assert encoded.pooled is not None
    tokens, pooled = encoded.tokens[:, ::9, ::96], encoded.pooled[:, ::32]
    torch.testing.assert_close(tokens, OUTPUTS[case + ".tokens"], rtol=ROUNDING, atol=ROUNDING)
    torch.testing.assert_close(pooled, OUTPUTS[case + ".pooled"], rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("encoder", SHAPES, indirect=True)
@pytest.mark.parametrize(("prompt", "stop_at_layer"), CASES)
def test_an_encoding_is_as_in_comfyui(
    prompt: int, stop_at_layer: int | None, encoder: TextEncoder, request: pytest.FixtureRequest
) -> None:
    family = request.node.callspec.params["encoder"]
    (encoded,) = encoder.encode([Prompt(PROMPTS[prompt])], stop_at_layer=stop_at_layer)
    assert_recorded(encoded, f"{family}.prompt{prompt}.{stop_at_layer}")


@pytest.mark.parametrize("encoder", ["sdxl"], indirect=True)
@pytest.mark.parametrize("name", TWO_TEXTS)
def test_two_texts_are_encoded_as_in_comfyui(name: str, encoder: TextEncoder) -> None:
    (encoded,) = encoder.encode([TWO_TEXTS[name]])
    assert_recorded(encoded, f"sdxl.{name}.None")


@pytest.mark.parametrize("encoder", ["sdxl"], indirect=True)
def test_a_prompt_is_encoded_the_same_in_any_company(encoder: TextEncoder) -> None:
    prompts = [Prompt(text) for text in PROMPTS]
    together = encoder.encode(prompts)
    for prompt, encoded in zip(prompts, together, strict=True):
        (alone,) = encoder.encode([prompt])
        torch.testing.assert_close(encoded.tokens, alone.tokens, rtol=ROUNDING, atol=ROUNDING)
        torch.testing.assert_close(encoded.pooled, alone.pooled, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("encoder", ["sd15"], indirect=True)
def test_learned_vectors_take_the_place_of_tokens(encoder: TextEncoder) -> None:
    (fox,) = TOKENIZERS.clip("fox")
    table: Tensor = encoder.parts[0].module.text_model.embeddings.token_embedding.weight
    known: dict[str | ModelFile, Tensor] = {"pet": table[fox]}
    knowing = TextEncoder(encoder.parts, TOKENIZERS, encoder.size, {"l": known.get})
    (named,) = knowing.encode([Prompt("a red embedding:pet in snow")])
    (written,) = encoder.encode([Prompt("a red fox in snow")])
    torch.testing.assert_close(named.tokens, written.tokens)


@pytest.mark.parametrize("encoder", ["sdxl"], indirect=True)
def test_two_files_that_hold_one_clip_each_make_one_encoder(encoder: TextEncoder) -> None:
    parts: dict[str, dict[str, Tensor]] = {"embedders.0": {}, "embedders.1": {}}
    for key, shape in SHAPES["sdxl"].items():
        _, kind, index, rest = re.split(r"^conditioner\.(embedders)\.(\d)\.", key)
        bare = rest.removeprefix("transformer.") if index == "0" else rest.removeprefix("model.")
        parts[f"{kind}.{index}"][bare] = drawn(key, shape)
    files = [in_memory(tensors) for tensors in parts.values()]
    joined = load_text_encoder(files, TOKENIZERS, FAMILIES.texts, dtype=torch.float32, device=CPU)
    (found,), (wanted,) = (each.encode([Prompt("a fox")]) for each in (joined, encoder))
    assert torch.equal(found.tokens, wanted.tokens)


def test_a_file_without_a_text_encoder_is_refused() -> None:
    with pytest.raises(BadModelFile, match="no text encoder found in it"):
        made({"model.diffusion_model.out.0.bias": (3,)})


def test_a_text_encoder_of_a_width_that_no_clip_has_is_refused() -> None:
    with pytest.raises(BadModelFile, match="width 96"):
        made({"text_model.embeddings.token_embedding.weight": (10, 96)})


def test_a_slim_text_encoder_is_read_as_clip_l_is() -> None:
    layer = "text_model.encoder.layers.0."
    square = {f"{layer}self_attn.{c}_proj": (128, 128) for c in ("q", "k", "v", "out")}
    matrices = {**square, f"{layer}mlp.fc1": (256, 128), f"{layer}mlp.fc2": (128, 256)}
    norms = [f"{layer}layer_norm1", f"{layer}layer_norm2", "text_model.final_layer_norm"]
    shapes = {
        "text_model.embeddings.token_embedding.weight": (49408, 128),
        "text_model.embeddings.position_embedding.weight": (77, 128),
        **{f"{name}.weight": shape for name, shape in matrices.items()},
        **{f"{name}.bias": shape[:1] for name, shape in matrices.items()},
        **{f"{name}.{kind}": (128,) for name in norms for kind in ("weight", "bias")},
    }
    slim = made({f"cond_stage_model.transformer.{key}": shape for key, shape in shapes.items()})
    (encoded,) = slim.encode([Prompt("a fox")])
    assert [part.name for part in slim.parts] == ["l"]
    assert encoded.tokens.shape == (1, 77, 128)
