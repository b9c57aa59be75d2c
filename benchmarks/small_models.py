"""Small model files of random weights, in the published layouts, for families that
tests/parity/make_models.py makes none of: Flux.2 dev, OmniGen2 and Anima.

Usage: python -m benchmarks.small_models FOLDER TOKENIZER

FOLDER becomes a models folder. TOKENIZER is a tekken.json of Mistral's, which Flux.2 dev's text
encoder carries. All stand in for real files: `benchmarks.stand_ins` links them under their names.
"""

import argparse
import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from diffusion.text.tekken import Tekken

Shapes = Mapping[str, tuple[int, ...]]
WIDTH, HEAD = 256, 128
SHARP = 2.0  # random attention is nearly uniform; larger queries look at a few tokens
TOLD = ("double_stream_modulation_img.lin", "double_stream_modulation_txt.lin")


def drawn(shapes: Shapes) -> dict[str, Tensor]:
    """Weights drawn from a seed that is their name, which keep the size of what they are given."""
    return {key: _drawn(key, shape).to(torch.bfloat16) for key, shape in shapes.items()}


def _drawn(key: str, shape: tuple[int, ...]) -> Tensor:
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))
    if len(shape) > 1:
        sharp = SHARP if key.endswith(("q_proj.weight", "to_q.weight")) else 1.0
        return noise * (sharp / math.sqrt(math.prod(shape[1:])))
    return 1 + 0.1 * noise if key.endswith(("weight", "scale")) else 0.02 * noise


def language_model(
    rows: int, layers: int, *, width: int = WIDTH, biased: bool = False, normed: bool = False
) -> dict[str, tuple[int, ...]]:
    """A model of Llama's layout with two heads, and as many for keys."""
    inner, mlp = 2 * HEAD, 2 * WIDTH
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (rows, width),
        "model.norm.weight": (width,),
    }
    for i in range(layers):
        block = f"model.layers.{i}."
        for name in "qkv":
            shapes[f"{block}self_attn.{name}_proj.weight"] = (inner, width)
            if biased:
                shapes[f"{block}self_attn.{name}_proj.bias"] = (inner,)
        if normed:
            shapes |= {f"{block}self_attn.{name}_norm.weight": (HEAD,) for name in "qk"}
        shapes[f"{block}self_attn.o_proj.weight"] = (width, inner)
        shapes |= {f"{block}mlp.{name}_proj.weight": (mlp, width) for name in ("gate", "up")}
        shapes[f"{block}mlp.down_proj.weight"] = (width, mlp)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{block}{norm}.weight"] = (width,)
    return shapes


def flux2_dev() -> dict[str, tuple[int, ...]]:
    """A transformer of Flux.2 dev with two blocks of each kind."""
    mlp, text = 3 * WIDTH, 3 * WIDTH
    shapes: dict[str, tuple[int, ...]] = {
        "img_in.weight": (WIDTH, 128),
        "txt_in.weight": (WIDTH, text),
        **{f"{name}.weight": (6 * WIDTH, WIDTH) for name in TOLD},
        "single_stream_modulation.lin.weight": (3 * WIDTH, WIDTH),
        "final_layer.linear.weight": (128, WIDTH),
        "final_layer.adaLN_modulation.1.weight": (2 * WIDTH, WIDTH),
    }
    for told in ("time_in", "guidance_in"):
        shapes[f"{told}.in_layer.weight"] = (WIDTH, 256)
        shapes[f"{told}.out_layer.weight"] = (WIDTH, WIDTH)
    for i in range(2):
        for stream in ("img", "txt"):
            block = f"double_blocks.{i}.{stream}"
            shapes[f"{block}_attn.qkv.weight"] = (3 * WIDTH, WIDTH)
            shapes[f"{block}_attn.proj.weight"] = (WIDTH, WIDTH)
            shapes |= {f"{block}_attn.norm.{norm}_norm.scale": (HEAD,) for norm in ("query", "key")}
            shapes[f"{block}_mlp.0.weight"] = (2 * mlp, WIDTH)
            shapes[f"{block}_mlp.2.weight"] = (WIDTH, mlp)
        block = f"single_blocks.{i}"
        shapes[f"{block}.linear1.weight"] = (3 * WIDTH + 2 * mlp, WIDTH)
        shapes[f"{block}.linear2.weight"] = (WIDTH, WIDTH + mlp)
        shapes |= {f"{block}.norm.{norm}_norm.scale": (HEAD,) for norm in ("query", "key")}
    return shapes


def omnigen2() -> dict[str, tuple[int, ...]]:
    """A transformer of OmniGen2 with two blocks of each kind and heads of the real size."""
    width, head, kept = 240, 120, 4 * 16
    caption, times = "time_caption_embed.caption_embedder", "time_caption_embed.timestep_embedder"
    shapes: dict[str, tuple[int, ...]] = {
        "image_index_embedding": (5, width),
        f"{caption}.0.weight": (WIDTH,),
        **_layer(f"{caption}.1", width, WIDTH),
        **_layer(f"{times}.linear_1", width, 256),
        **_layer(f"{times}.linear_2", width, width),
        **_layer("x_embedder", width, kept),
        **_layer("ref_image_patch_embedder", width, kept),
        **_layer("norm_out.linear_1", width, width),
        **_layer("norm_out.linear_2", kept, width),
    }
    for name in ("noise_refiner", "ref_image_refiner", "context_refiner", "layers"):
        for i in range(2):
            block, told = f"{name}.{i}.", name != "context_refiner"
            shapes |= _omnigen2_block(block, width, head, told=told)
    return shapes


def _omnigen2_block(block: str, width: int, head: int, *, told: bool) -> Shapes:
    mlp = -(-4 * width // 256) * 256
    shapes: dict[str, tuple[int, ...]] = {
        f"{block}attn.to_q.weight": (width, width),
        f"{block}attn.to_k.weight": (head, width),
        f"{block}attn.to_v.weight": (head, width),
        f"{block}attn.to_out.0.weight": (width, width),
        **{f"{block}attn.norm_{name}.weight": (head,) for name in "qk"},
        **{f"{block}feed_forward.linear_{n}.weight": (mlp, width) for n in (1, 3)},
        f"{block}feed_forward.linear_2.weight": (width, mlp),
        **{f"{block}{norm}.weight": (width,) for norm in ("norm2", "ffn_norm1", "ffn_norm2")},
    }
    if not told:
        return {**shapes, f"{block}norm1.weight": (width,)}
    return {
        **shapes,
        f"{block}norm1.norm.weight": (width,),
        **_layer(f"{block}norm1.linear", 4 * width, width),
    }


def anima() -> dict[str, tuple[int, ...]]:
    """A transformer of Anima with two blocks, and two in its adapter."""
    width, low, source = WIDTH, 256, 1024
    shapes: dict[str, tuple[int, ...]] = {
        "x_embedder.proj.1.weight": (width, 17 * 4),
        "t_embedder.1.linear_1.weight": (width, width),
        "t_embedder.1.linear_2.weight": (3 * width, width),
        "t_embedding_norm.weight": (width,),
        "final_layer.linear.weight": (16 * 4, width),
        **_told("final_layer.adaln_modulation", width, low, 2),
        "llm_adapter.embed.weight": (32_128, source),
        **_layer("llm_adapter.out_proj", source, source),
        "llm_adapter.norm.weight": (source,),
    }
    for i in range(2):
        block, own = f"blocks.{i}", f"llm_adapter.blocks.{i}"
        shapes |= _seeing(f"{block}.self_attn", width, width, HEAD, "output_proj")
        shapes |= _seeing(f"{block}.cross_attn", width, source, HEAD, "output_proj")
        shapes[f"{block}.mlp.layer1.weight"] = (4 * width, width)
        shapes[f"{block}.mlp.layer2.weight"] = (width, 4 * width)
        for part in ("self_attn", "cross_attn", "mlp"):
            shapes |= _told(f"{block}.adaln_modulation_{part}", width, low, 3)
            shapes[f"{own}.norm_{part}.weight"] = (source,)
        shapes |= _seeing(f"{own}.self_attn", source, source, 64, "o_proj")
        shapes |= _seeing(f"{own}.cross_attn", source, source, 64, "o_proj")
        shapes |= _layer(f"{own}.mlp.0", 4 * source, source) | _layer(
            f"{own}.mlp.2", source, 4 * source
        )
    return shapes


def _seeing(name: str, width: int, of: int, head: int, out: str) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}.q_proj.weight": (width, width),
        f"{name}.k_proj.weight": (width, of),
        f"{name}.v_proj.weight": (width, of),
        f"{name}.{out}.weight": (width, width),
        **{f"{name}.{norm}_norm.weight": (head,) for norm in "qk"},
    }


def _told(name: str, width: int, low: int, parts: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.1.weight": (low, width), f"{name}.2.weight": (parts * width, low)}


def _layer(name: str, out: int, of: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, of), f"{name}.bias": (out,)}


def files(tokenizer: bytes) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Each file's name in the models folder, and its tensors."""
    mistral = drawn(language_model(Tekken(tokenizer).words, 30))
    mistral["tekken_model"] = torch.frombuffer(bytearray(tokenizer), dtype=torch.uint8)
    yield "text_encoders/small_mistral_3", mistral
    yield "diffusion_models/small_flux2_dev", drawn(flux2_dev())
    qwen = language_model(151_936, 2, biased=True)
    yield "text_encoders/small_qwen_2.5_vl_3b", drawn(qwen)
    yield "diffusion_models/small_omnigen2", drawn(omnigen2())
    smallest = language_model(151_936, 2, width=1024, normed=True)
    yield "text_encoders/small_qwen_3_06b", drawn(smallest)
    yield "diffusion_models/small_anima", drawn(anima())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("tokenizer", type=Path)
    given = parser.parse_args()
    for name, tensors in files(given.tokenizer.read_bytes()):
        path = given.folder / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path)


if __name__ == "__main__":
    main()
