"""LoRAs on text encoders, and what the encode stage says of them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diffusion.families.registry import FAMILIES
from diffusion.lora.applying import LORA, Loras
from diffusion.lora.merging import WeightChanges
from diffusion.memory.budget import MemoryBudget
from diffusion.text.embeddings import EmbeddingFiles
from diffusion.text.encoder import TextEncoder, load_text_encoder
from diffusion.text.encodings import Tokenizers
from diffusion.text.stage import EncodeStage
from diffusion.text.tokenizer import END, ClipTokenizer
from diffusion.weights import Entry, Weights, open_weights
from graph.errors import BadModelFile, MissingModelFile
from graph.nodes.attention_multiply import multiply_text_attention
from graph.nodes.hooks import set_clip_hooks
from graph.values import Change, Clip, ModelFile, WeightHook
from tests.diffusion.lora_files import TEXT, factors, write_lora
from tests.diffusion.model_files import CPU, seeded

CLIP = Clip((ModelFile("checkpoints", "one.safetensors"),))
Q = "text_model.encoder.layers.0.self_attn.q_proj.weight"
SECOND = TEXT.replace("lora_te_", "lora_te2_")


def clip_tensors(width: int, words: int) -> dict[str, Tensor]:
    """A CLIP text encoder of one layer."""
    layer = "encoder.layers.0"
    shapes: dict[str, tuple[int, ...]] = {"embeddings.position_embedding.weight": (77, width)}
    for norm in ("final_layer_norm", f"{layer}.layer_norm1", f"{layer}.layer_norm2"):
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    for name in ("q", "k", "v", "out"):
        projection = f"{layer}.self_attn.{name}_proj"
        shapes |= {f"{projection}.weight": (width, width), f"{projection}.bias": (width,)}
    shapes |= {f"{layer}.mlp.fc1.weight": (8, width), f"{layer}.mlp.fc1.bias": (8,)}
    shapes |= {f"{layer}.mlp.fc2.weight": (width, 8), f"{layer}.mlp.fc2.bias": (width,)}
    tensors = {f"text_model.{key}": seeded(key, shape) for key, shape in shapes.items()}
    table = seeded("words", (words, 8)).repeat(1, width // 8)
    return {**tensors, "text_model.embeddings.token_embedding.weight": table}


def in_memory(tensors: dict[str, Tensor]) -> Weights:
    entries = {key: Entry(tuple(t.shape), t.dtype) for key, t in tensors.items()}
    return Weights(CLIP.files[0], entries, tensors.__getitem__)


def encoder(*widths: int) -> TextEncoder:
    files = [in_memory(clip_tensors(width, 16)) for width in widths]
    return load_text_encoder(
        files,
        Tokenizers(ClipTokenizer(), t5=ClipTokenizer, qwen=ClipTokenizer, umt5=ClipTokenizer),
        FAMILIES.texts,
        dtype=torch.float32,
        device=CPU,
    )


def lora(name: str, strength: float = 1.0) -> Change:
    return Change(LORA, (("file", ModelFile("loras", name)), ("strength", strength)))


def loras(folder: Path) -> Loras:
    return Loras(lambda file: open_weights(folder / file.name, file), budget_bytes=2**24)


def product(tensors: dict[str, Tensor], stem: str) -> Tensor:
    return tensors[f"{stem}.lora_up.weight"] @ tensors[f"{stem}.lora_down.weight"]


def test_both_encoders_of_sdxl_get_their_own(tmp_path: Path) -> None:
    first = TEXT.replace("lora_te_", "lora_te1_")
    tensors = {**factors(first, "l", 768, 768), **factors(SECOND, "g", 1280, 1280)}
    write_lora(tmp_path, "both", tensors)
    base = encoder(768, 1280)
    before = [part.module.get_parameter(Q).clone() for part in base.parts]
    patched = loras(tmp_path).on_text_encoder(base, [lora("both", -0.5)])
    for part, stem, plain in zip(patched.parts, (first, SECOND), before, strict=True):
        wanted = plain - 0.5 * product(tensors, stem)
        torch.testing.assert_close(part.module.get_parameter(Q), wanted)
    for part, plain in zip(base.parts, before, strict=True):
        assert torch.equal(part.module.get_parameter(Q), plain)
    assert patched.warnings == ()


def test_what_comes_of_changes_has_the_precision_of_comfyuis_text_encoders(tmp_path: Path) -> None:
    write_lora(tmp_path, "a", factors(TEXT, "l", 768, 768))
    base = encoder(768)
    scaled = multiply_text_attention(clip=CLIP, q=0.7, k=3.0).changes
    changes = [lora("a", 0.3), *scaled, lora("a", -0.2)]
    made = WeightChanges(lambda file: open_weights(tmp_path / file.name, file), loras(tmp_path))
    (part,) = made.on_text_encoder(base, changes).parts
    (own,) = base.parts
    (whole,) = loras(tmp_path).on_text_encoder(base, changes[:1]).parts
    q = whole.module.get_parameter(Q) * 0.7
    q = q - 0.2 / 0.3 * (whole.module.get_parameter(Q) - own.module.get_parameter(Q))
    torch.testing.assert_close(part.module.get_parameter(Q), q, rtol=1e-3, atol=1e-5)
    for name, parameter in part.module.named_parameters():
        changed = ("q_proj", "k_proj")
        if any(layer in name for layer in changed):
            assert torch.equal(parameter, parameter.half().float())
        else:
            assert parameter is own.module.get_parameter(name)


def test_a_lora_for_another_width_is_refused_by_name(tmp_path: Path) -> None:
    write_lora(tmp_path, "wide", factors(TEXT, "w", 1280, 1280))
    with pytest.raises(BadModelFile, match="loras/wide"):
        loras(tmp_path).on_text_encoder(encoder(768), [lora("wide")])


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[EncodeStage]:
    """One encoder, a LoRA for it that has keys for a second one, and no embeddings."""
    tensors = {**factors(TEXT, "l", 768, 768), **factors(SECOND, "g", 1280, 1280)}
    write_lora(tmp_path, "a", tensors)
    whole = clip_tensors(768, END + 1)

    def opened(file: ModelFile) -> Weights:
        in_folder = file.folder == "loras"
        return open_weights(tmp_path / file.name, file) if in_folder else in_memory(whole)

    def find(folder: str, name: str) -> ModelFile:
        raise MissingModelFile(folder, name)

    made = EncodeStage(
        opened,
        dtype=torch.float32,
        device=CPU,
        memory=MemoryBudget(2**30),
        encodings=FAMILIES.texts,
        cache_bytes=2**20,
        weight_changes=(LORA,),
        apply_changes=Loras(opened, budget_bytes=2**24).on_text_encoder,
        embeddings=EmbeddingFiles(find, opened),
    )
    yield made
    made.close()


async def test_a_prompt_is_encoded_under_its_lora_and_the_next_without(stage: EncodeStage) -> None:
    (plain,) = await stage.encode_text(CLIP, "a fox")
    changed = CLIP.changed(LORA, file=ModelFile("loras", "a"), strength=1.0)
    (under,) = await stage.encode_text(changed, "a fox")
    (after,) = await stage.encode_text(CLIP, "a fox ")
    assert not torch.allclose(under.tokens, plain.tokens, atol=1e-3)
    assert torch.equal(after.tokens, plain.tokens)


async def test_a_prompt_encoded_under_hooks_brings_them_along(stage: EncodeStage) -> None:
    hooks = (WeightHook(LORA, ModelFile("loras", "a"), 0.5, 1.0),)
    hooked = set_clip_hooks(clip=CLIP, hooks=hooks)
    (under,) = await stage.encode_text(hooked, "a fox")
    changed = CLIP.changed(LORA, file=ModelFile("loras", "a"), strength=1.0)
    (same,) = await stage.encode_text(changed, "a fox")
    assert torch.equal(under.tokens, same.tokens)
    assert (under.hooks, same.hooks) == (hooks, ())


async def test_what_is_left_out_is_told_each_time(stage: EncodeStage) -> None:
    changed = CLIP.changed(LORA, file=ModelFile("loras", "a"), strength=1.0)
    for _ in range(2):
        told: list[str] = []
        await stage.encode_text(changed, "a embedding:style fox", warn=told.append)
        assert told == [
            "LoRA loras/a: 3 of its keys fit nothing in the model: "
            f"{SECOND}.alpha, {SECOND}.lora_down.weight, {SECOND}.lora_up.weight",
            "Embedding 'style' is not there or not made for CLIP-L: ignored",
        ]
