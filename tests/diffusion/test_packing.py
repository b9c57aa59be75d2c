"""Packed matrices, against those who pack them.

tests/contract/packed_layers.safetensors has a layer of every form that comfy-kitchen 0.2.31 packs,
and as `dense.*` what it unpacks it to. GGML's blocks are held to the package `gguf`.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from diffusion.families.registry import FAMILIES
from diffusion.networks.filling import size_of
from diffusion.networks.packed_layers import PackedEmbedding
from diffusion.packing import packed as packed_module
from diffusion.packing.ggml import Ggml
from diffusion.packing.packed import Packed
from diffusion.weights import Weights, open_weights
from graph.errors import BadModelFile
from graph.model_files.gguf_header import BLOCKS
from graph.model_files.gguf_names import T5, T5_AROUND
from graph.values import ModelFile
from tests.diffusion.dit_files import DEV, drawn_module, network_of, reference_layout
from tests.diffusion.model_files import CONTRACT, CPU, written
from tests.diffusion.test_dit import asked
from tests.diffusion.test_t5 import encoded, t5_tensors
from tests.diffusion.test_t5 import part as t5_part

PACKED = CONTRACT / "packed_layers.safetensors"
LAYERS = ("fp8", "int8", "int8rows", "int8rot", "int8rot16", "mxfp8", "nvfp4", "w4a4")
# Where a block has its scales in float16.
SCALES = {"Q2_K": (80, 82), "Q3_K": (108,), "Q6_K": (208,)}
TWO = ("Q4_1", "Q5_1", "Q4_K", "Q5_K")


@pytest.fixture(scope="module")
def kitchen() -> Weights:
    return open_weights(PACKED, ModelFile("diffusion_models", PACKED.name))


@pytest.mark.parametrize("layer", LAYERS)
def test_a_packed_layer_stands_for_what_comfy_kitchen_unpacks(layer: str, kitchen: Weights) -> None:
    own, expected = kitchen.packed(f"{layer}.weight"), kitchen[f"dense.{layer}"]
    assert torch.equal(own.dense(torch.float32), expected)
    assert kitchen.shape(f"{layer}.weight") == expected.shape
    assert kitchen.entries[f"{layer}.weight"].size <= expected.nbytes / 2
    swapped = own.cut([slice(10, 20), slice(0, 10)])
    assert swapped is not None
    assert torch.equal(swapped.dense(torch.float32), torch.cat([expected[10:], expected[:10]]))
    rows = torch.tensor([7, 2, 7])
    assert torch.equal(own.picked(rows, torch.float32), expected[rows])


def test_what_lies_beside_packed_layers_is_no_tensor_of_the_network(kitchen: Weights) -> None:
    beside = {"mxfp8.bias", "nvfp4.bias"} | {f"dense.{layer}" for layer in LAYERS}
    assert set(kitchen) == {f"{layer}.weight" for layer in LAYERS} | beside


def test_a_large_matrix_is_unpacked_in_parts(
    kitchen: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_module, "SCRATCH", 3 * 64)
    for layer in LAYERS:
        dense = kitchen.packed(f"{layer}.weight").dense(torch.float32)
        assert torch.allclose(dense, kitchen[f"dense.{layer}"], rtol=1e-5, atol=1e-7)


def blocks(kind: str, rows: int = 4) -> Any:
    """Random blocks of a type [rows, bytes], two in a row, with scales that float16 can hold."""
    stored = next(stored for name, _, stored in BLOCKS.values() if name == kind)
    drawn = np.random.default_rng(1)
    data = drawn.integers(0, 256, (rows, 2 * stored), dtype=np.uint8)
    for at in SCALES.get(kind, (0, 2) if kind in TWO else (0,)):
        scales = drawn.normal(0, 0.01, (2 * rows, 1)).astype(np.float16)
        data.reshape(-1, stored)[:, at : at + 2] = scales.view(np.uint8)
    return data


@pytest.mark.parametrize("kind", [name for name, *_ in BLOCKS.values()])
def test_ggml_blocks_stand_for_what_the_package_says(kind: str) -> None:
    data = blocks(kind)
    own = getattr(gguf.GGMLQuantizationType, kind)
    numbers, stored = gguf.GGML_QUANT_SIZES[own]
    assert (kind, numbers, stored) in BLOCKS.values()
    expected = torch.from_numpy(gguf.quants.dequantize(data, own))
    exact = Ggml(kind, stored, torch.float32).numbers(torch.from_numpy(data), (), torch.float32)
    assert torch.equal(exact, expected)
    half = Ggml(kind, stored).numbers(torch.from_numpy(data), (), torch.float32)
    assert torch.allclose(half, expected, rtol=2e-3, atol=2e-2 * float(expected.abs().max()))
    assert torch.equal(half, half.half().float())


def layer(**changed: Any) -> dict[str, Tensor]:
    """A layer of nvfp4, with tensors changed or, where None, left out."""
    packed = load_file(PACKED)
    own = {
        name.removeprefix("nvfp4."): tensor
        for name, tensor in packed.items()
        if name.startswith("nvfp4.")
    }
    own = {**own, **changed}
    return {f"block.{name}": tensor for name, tensor in own.items() if tensor is not None}


def settings(**said: Any) -> Tensor:
    return torch.tensor(list(json.dumps(said).encode()), dtype=torch.uint8)


@pytest.mark.parametrize("weight", [torch.tensor(1.0), torch.ones(0), torch.ones(0, 4)])
def test_a_scale_of_nothing_is_refused(weight: Tensor, tmp_path: Path) -> None:
    with pytest.raises(BadModelFile, match=r"'norm\.weight' is .*, in which nothing can be packed"):
        written(tmp_path, {"norm.weight": weight, "norm.weight_scale": torch.ones(1)})


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"weight_scale": None}, r"'block\.weight_scale' is missing"),
        ({"weight_scale_2": None}, r"'block\.weight_scale_2' is missing"),
        ({"weight_scale_2": torch.ones(3)}, r"'block\.weight_scale_2' is \(3,\)"),
        (
            {"weight_scale": torch.ones(20, 4)},
            r"'block\.weight_scale' is \(20, 4\), not \(128, 4\)",
        ),
        ({"weight": None}, r"'block\.weight' is missing"),
        ({"weight": torch.ones(20, 32)}, r"'block\.weight' is stored as F32, not as U8"),
        ({"weight": torch.ones(9)}, r"'block\.weight' is \(9,\), and packed layers are matrices"),
        (
            {"comfy_quant": settings(format="int3")},
            r"'block\.weight' has the unknown format 'int3'",
        ),
        ({"comfy_quant": settings(format=["nvfp4"])}, "unknown format"),
        ({"comfy_quant": settings(format="int8_tensorwise")}, "stored as U8, not as I8"),
        ({"comfy_quant": torch.tensor([123], dtype=torch.uint8)}, "is not JSON"),
        ({"comfy_quant": torch.tensor([255], dtype=torch.uint8)}, "is not text"),
        ({"comfy_quant": torch.zeros(5000, dtype=torch.uint8)}, "5000 bytes; the limit is 4096"),
        ({"pre_quant_scale": torch.ones(63)}, r"'block\.pre_quant_scale' is \(63,\)"),
        (
            {"comfy_quant": settings(format="convrot_w4a4", convrot_groupsize=48)},
            r"'block\.weight_scale' is \(128, 4\), not one for each of 32 rows",
        ),
    ],
)
def test_a_damaged_packed_layer_is_refused_by_name(
    changed: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(BadModelFile, match=problem):
        written(tmp_path, layer(**changed))


def test_settings_may_be_in_the_metadata(tmp_path: Path) -> None:
    said = {"layers": {"block": {"format": "nvfp4"}}}
    tensors = layer(comfy_quant=None)
    metadata = {"_quantization_metadata": json.dumps(said)}
    save_file(tensors, tmp_path / "m.safetensors", metadata=metadata)
    weights = open_weights(tmp_path / "m.safetensors", ModelFile("diffusion_models", "m"))
    assert torch.equal(weights["block.weight"], load_file(PACKED)["dense.nvfp4"])


def test_columns_are_smoothed(tmp_path: Path) -> None:
    columns = torch.linspace(0.5, 2.0, 64)
    weights = written(tmp_path, layer(pre_quant_scale=columns))
    assert torch.equal(weights["block.weight"], load_file(PACKED)["dense.nvfp4"] * columns)


@pytest.mark.parametrize(
    "scale", [torch.tensor(0.5), torch.full((20,), 0.5), torch.full((20, 1), 0.5)]
)
def test_a_scale_may_be_known_by_its_name_alone(scale: Tensor, tmp_path: Path) -> None:
    weight = torch.randn(20, 8, generator=torch.manual_seed(0)).to(torch.float8_e4m3fn)
    tensors = {
        "block.weight": weight,
        "block.scale_weight": scale,
        "block.scale_input": torch.tensor(1.0),
        "scaled_fp8": torch.zeros(2).to(torch.float8_e4m3fn),
    }
    weights = written(tmp_path, tensors)
    assert set(weights) == {"block.weight"}
    assert torch.equal(weights["block.weight"], weight.float() * 0.5)
    with pytest.raises(BadModelFile, match=r"'block\.scale_weight' is \(3,\), not one for"):
        written(tmp_path, {**tensors, "block.scale_weight": torch.ones(3)})


def in_gguf(path: Path, tensors: dict[str, Any], architecture: str | None = "flux") -> Path:
    """A file that the package writes, of arrays, or of (blocks, type)."""
    writer = gguf.GGUFWriter(path, architecture or "none")
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    for name, value in tensors.items():
        if isinstance(value, tuple):
            writer.add_tensor(
                name, value[0], raw_dtype=getattr(gguf.GGMLQuantizationType, value[1])
            )
        else:
            writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def opened(path: Path) -> Weights:
    return open_weights(path, ModelFile("diffusion_models", path.name))


def test_a_gguf_file_has_its_tensors_under_their_own_names(tmp_path: Path) -> None:
    plain = np.arange(6, dtype=np.float16).reshape(2, 3)
    tensors = {"a.weight": (blocks("Q4_K"), "Q4_K"), "b.bias": plain}
    weights = opened(in_gguf(tmp_path / "m.gguf", tensors))
    assert weights.shape("a.weight") == (4, 512)
    assert weights.entries["a.weight"].size == blocks("Q4_K").size
    expected = gguf.quants.dequantize(blocks("Q4_K"), gguf.GGMLQuantizationType.Q4_K)
    assert torch.allclose(weights["a.weight"], torch.from_numpy(expected), rtol=1e-2, atol=1e-2)
    assert torch.equal(weights["b.bias"], torch.from_numpy(plain))
    text = {"blk.3.attn_q.weight": plain, "token_embd.weight": plain, "blk.3.odd.weight": plain}
    renamed = opened(in_gguf(tmp_path / "t.gguf", text, "qwen3"))
    assert set(renamed) == {
        "model.layers.3.self_attn.q_proj.weight",
        "model.embed_tokens.weight",
        "blk.3.odd.weight",
    }
    with pytest.raises(BadModelFile, match="architecture 'llama'"):
        opened(in_gguf(tmp_path / "l.gguf", text, "llama"))


def changed_at(find: bytes, put: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        at = content.index(find) + len(find)
        return content[:at] + put(content[at:])

    return change


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda content: content[:-100], r"cut short: tensor 'a\.weight' ends at byte"),
        (lambda content: content[:60], "its header is not whole"),
        (lambda content: content[:10], "it is cut short"),
        (lambda content: b"GGUX" + content[4:], "does not begin as one"),
        (lambda content: content[:4] + b"\x07" + content[5:], "of version 7"),
        (lambda content: content[:8] + b"\xff" * 8 + content[16:], r"tensors; the limit is 20000"),
        (lambda content: content[:16] + b"\xff" * 8 + content[24:], "values; the limit is 10000"),
        (changed_at(b"ggml.tokens", lambda rest: b"\x63" + rest[1:]), "unknown type 99"),
        (
            changed_at(b"ggml.tokens", lambda rest: rest[:8] + b"\xff" * 8 + rest[16:]),
            r"a list of \d+ texts",
        ),
        (
            changed_at(b"ggml.tokens", lambda rest: rest[:4] + b"\x09" + rest[5:]),
            "unknown type 9",
        ),
        (
            changed_at(b"a.weight", lambda rest: b"\x63" + rest[1:]),
            r"tensor 'a\.weight' has 99 dimensions",
        ),
        (
            changed_at(b"a.weight", lambda rest: rest[:4] + b"\x01" + rest[5:]),
            r"tensor 'a\.weight' of \(4, 513\) is not made of Q4_K blocks",
        ),
        (
            changed_at(b"a.weight", lambda rest: rest[:20] + b"\x10" + rest[21:]),
            r"tensor 'a\.weight' has the type IQ2_XXS, which is not read",
        ),
        (
            changed_at(b"a.weight", lambda rest: rest[:24] + bytes(8) + rest[32:]),
            r"tensor '[ab]\.weight' overlaps",
        ),
    ],
)
def test_a_damaged_gguf_file_is_refused(
    change: Callable[[bytes], bytes], problem: str, tmp_path: Path
) -> None:
    tensors = {"b.weight": (blocks("Q4_K"), "Q4_K"), "a.weight": (blocks("Q4_K"), "Q4_K")}
    path = in_gguf(tmp_path / "m.gguf", tensors)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(BadModelFile, match=problem):
        opened(path)


def quantized(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Matrices in blocks of Q8_0, all else as it is."""
    own = gguf.GGMLQuantizationType.Q8_0
    return {
        name: (gguf.quants.quantize(tensor.numpy(), own), "Q8_0")
        if tensor.ndim == 2 and tensor.shape[1] % 32 == 0
        else tensor.numpy()
        for name, tensor in tensors.items()
    }


def test_a_packed_transformer_answers_as_one_of_the_same_numbers(tmp_path: Path) -> None:
    plain = {k: t.contiguous() for k, t in reference_layout(drawn_module(DEV), DEV).items()}
    weights = opened(in_gguf(tmp_path / "m.gguf", quantized(plain)))
    unpacked = written(tmp_path, {name: weights[name] for name in weights})
    packed, wide = (
        FAMILIES.load(own, dtype=torch.float32, device=CPU) for own in (weights, unpacked)
    )
    assert torch.equal(network_of(packed)(asked(DEV)), network_of(wide)(asked(DEV)))
    assert packed.size < 0.3 * wide.size
    read: list[str] = []

    def counted(name: str) -> Packed:
        read.append(name)
        return weights.packed(name)

    once = Weights(weights.file, weights.entries, weights.__getitem__, read_packed=counted)
    FAMILIES.load(once, dtype=torch.float32, device=CPU)
    assert len(read) == len(set(read)) > 0  # queries, keys and values lie in one matrix
    expected = FAMILIES.expected_bytes(weights, dtype=torch.float32)
    assert packed.size <= expected < 1.01 * packed.size


def test_a_text_encoder_may_be_packed_and_named_as_llama_cpp_does(tmp_path: Path) -> None:
    theirs = {ours: name for name, ours in T5.items()}
    around = {ours: name for name, ours in T5_AROUND.items()}

    def renamed(name: str) -> str:
        if name in around:
            return around[name]
        _, _, block, inner = name.split(".", 3)
        layer, _, leaf = inner.rpartition(".")
        return f"enc.blk.{block}.{theirs[layer]}.{leaf}"

    tensors = {renamed(name): tensor for name, tensor in t5_tensors().items()}
    weights = opened(in_gguf(tmp_path / "t5.gguf", quantized(tensors), "t5encoder"))
    narrow, wide = t5_part(weights), t5_part({name: weights[name] for name in weights})
    assert isinstance(narrow.module.shared, PackedEmbedding)
    assert torch.equal(encoded(narrow, "a fox"), encoded(wide, "a fox"))
    assert size_of(narrow.module) < 0.4 * size_of(wide.module)


def test_a_model_may_be_in_several_files(tmp_path: Path) -> None:
    tensors = layer()
    halves = dict(list(tensors.items())[:2]), dict(list(tensors.items())[2:])
    paths = [tmp_path / f"m-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for own, path in zip(halves, paths, strict=True):
        save_file(own, path)
    for path in paths:
        assert torch.equal(opened(path)["block.weight"], load_file(PACKED)["dense.nvfp4"])
    save_file(tensors, paths[1])
    with pytest.raises(BadModelFile, match=r"is in m-00001-of-00002\.safetensors and in m-00002"):
        opened(paths[0])
    paths[1].unlink()
    with pytest.raises(BadModelFile, match=r"m-00002-of-00002\.safetensors, which is a part of it"):
        opened(paths[0])
