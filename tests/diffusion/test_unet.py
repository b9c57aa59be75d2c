"""The U-Net loader against ComfyUI 0.3.64.

tests/contract/unet_shapes.json.gz has the tensors' names and shapes of
comfy.ldm.modules.diffusionmodules.openaimodel.UNetModel, built narrow with the block structure of
each public model; unet_outputs.npz has what it answers, filled by `model_files.seeded`, to
x = 20 seeded("x", [2, C, 10, 6]), timesteps 500.25 and 12, context = 20 seeded("context",
[2, 9, D]) and y = 20 seeded("y", [2, P]).
"""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diffusion.families.family import Family, LoadedModel
from diffusion.families.registry import FAMILIES
from diffusion.families.sd.family import REFINER, SD15, SD15_LATENT, SD20, SDXL, SDXL_LATENT
from diffusion.latent_format import PLAYGROUND_LATENT
from graph.errors import BadModelFile
from tests.diffusion.model_files import CPU, filled, recorded, recorded_shapes, seeded, written
from tests.diffusion.networks import answered, by_diffusers

LDM = "model.diffusion_model."
SHAPES = recorded_shapes("unet_shapes")
OUTPUTS = recorded("unet_outputs")


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in tensors.items()}


def loaded(folder: Path, tensors: Mapping[str, Tensor]) -> LoadedModel:
    return FAMILIES.load(written(folder, tensors), dtype=torch.float32, device=CPU)


def answer(unet: LoadedModel) -> Tensor:
    shape = unet.shape
    return answered(
        unet,
        seeded("x", (2, shape.in_channels, 10, 6)) * 20,
        torch.tensor([500.25, 12.0]),
        seeded("context", (2, 9, shape.context_dim)) * 20,
        seeded("y", (2, shape.y_dim)) * 20 if shape.y_dim else None,
    )


@pytest.mark.parametrize("name", SHAPES)
def test_a_checkpoint_answers_as_in_comfyui(name: str, tmp_path: Path) -> None:
    unet = loaded(tmp_path, prefixed(LDM, filled(SHAPES[name])))
    torch.testing.assert_close(answer(unet), OUTPUTS[name], rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(8, 16), (9, 7)])
@pytest.mark.parametrize("name", ["sd15_slim_inpaint", "koala_700m"])
def test_the_network_is_diffusers(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    unet = loaded(tmp_path, filled(SHAPES[name]))
    x, t = seeded("x", (2, unet.in_channels, *size)), torch.tensor([981.0, 3.5])
    context = seeded("context", (2, 9, unet.shape.context_dim))
    y = None if unet.shape.y_dim is None else seeded("y", (2, unet.shape.y_dim))
    with torch.inference_mode():
        theirs = by_diffusers(unet)(x, t, encoder_hidden_states=context, class_labels=y).sample
    torch.testing.assert_close(answered(unet, x, t, context, y), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "family", "in_channels", "latent"),
    [
        ("sd15", SD15, 4, SD15_LATENT),
        ("sd15_slim_inpaint", SD15, 9, SD15_LATENT),
        ("sd20", SD20, 4, SD15_LATENT),
        ("koala_700m", SDXL, 4, SDXL_LATENT),
        ("refiner", REFINER, 4, SDXL_LATENT),
    ],
)
def test_the_family_is_read_from_the_shapes(
    name: str, family: Family, in_channels: int, latent: object, tmp_path: Path
) -> None:
    unet = loaded(tmp_path, prefixed(LDM, filled(SHAPES[name])))
    found = (unet.family, unet.in_channels, unet.latent_format)
    assert found == (family, in_channels, latent)


@pytest.mark.parametrize("prefix", ["", LDM])
def test_a_file_of_nothing_but_a_unet_loads_with_or_without_prefix(
    prefix: str, tmp_path: Path
) -> None:
    unet = loaded(tmp_path, prefixed(prefix, filled(SHAPES["sd15_slim_inpaint"])))
    torch.testing.assert_close(answer(unet), OUTPUTS["sd15_slim_inpaint"], rtol=0, atol=1e-4)


def test_a_file_in_diffusers_layout_loads(tmp_path: Path) -> None:
    ldm = loaded(tmp_path, prefixed(LDM, filled(SHAPES["koala_1b"])))
    diffusers = {
        key.replace("class_embedding.", "add_embedding."): value
        for key, value in ldm.module.state_dict().items()
    }
    assert torch.equal(answer(loaded(tmp_path, diffusers)), answer(ldm))


@pytest.mark.parametrize(
    ("marks", "kind", "zsnr"),
    [
        ({}, "eps", False),
        ({"v_pred": torch.zeros(0)}, "v", False),
        ({"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}, "v", True),
        ({"edm_mean": torch.zeros(4), "edm_std": torch.ones(4)}, "edm", False),
        ({"edm_vpred.sigma_max": torch.tensor(120.0)}, "v_edm", False),
    ],
)
def test_what_the_model_predicts_is_read_from_marks_in_the_file(
    marks: dict[str, Tensor], kind: str, zsnr: bool, tmp_path: Path
) -> None:
    unet = loaded(tmp_path, prefixed(LDM, filled(SHAPES["koala_700m"])) | marks)
    assert (unet.parameterization.kind, unet.parameterization.zsnr) == (kind, zsnr)
    assert (unet.latent_format == PLAYGROUND_LATENT) == (kind == "edm")


def test_sd2_is_taken_for_v_prediction_when_its_last_biases_spread(tmp_path: Path) -> None:
    tensors = prefixed(LDM, filled(SHAPES["sd20"]))
    bias = LDM + "output_blocks.11.1.transformer_blocks.0.norm1.bias"
    tensors[bias] = tensors[bias] * 10
    assert loaded(tmp_path, tensors).parameterization.kind == "v"


def test_a_loaded_unet_takes_no_gradients_and_keeps_nothing_on_meta(tmp_path: Path) -> None:
    unet = loaded(tmp_path, prefixed(LDM, filled(SHAPES["sd15_slim_inpaint"])))
    assert not unet.module.training
    assert {(p.requires_grad, p.device.type) for p in unet.module.parameters()} == {(False, "cpu")}


def test_a_unet_is_loaded_in_the_precision_asked_for(tmp_path: Path) -> None:
    weights = written(tmp_path, prefixed(LDM, filled(SHAPES["sd15_slim_inpaint"])))
    unet = FAMILIES.load(weights, dtype=torch.bfloat16, device=CPU)
    assert {p.dtype for p in unet.module.parameters()} == {torch.bfloat16}
    assert unet.size == 2 * sum(p.numel() for p in unet.module.parameters())


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    tensors = prefixed(LDM, filled(SHAPES["sd15_slim_inpaint"]))
    del tensors[LDM + "middle_block.0.out_layers.3.bias"]
    with pytest.raises(BadModelFile, match=r"m\.safetensors: 1 tensors are missing.*conv2\.bias"):
        loaded(tmp_path, tensors)


def test_a_tensor_of_a_wrong_shape_is_named(tmp_path: Path) -> None:
    tensors = prefixed(LDM, filled(SHAPES["sd15_slim_inpaint"]))
    tensors[LDM + "out.0.bias"] = torch.zeros(7)
    with pytest.raises(BadModelFile, match=r"'conv_norm_out\.bias' is \(7,\), not \(32,\)"):
        loaded(tmp_path, tensors)


def test_a_file_without_a_unet_is_refused_with_what_was_found(tmp_path: Path) -> None:
    with pytest.raises(BadModelFile, match=r"no U-Net in it; found 1 tensors such as other_blocks"):
        loaded(tmp_path, {"other_blocks.0.img_attn.qkv.weight": torch.zeros(3)})


def test_a_unet_for_narrower_text_is_a_slim_relative_of_sd15(tmp_path: Path) -> None:
    tensors = prefixed(LDM, filled(SHAPES["sd15_slim_inpaint"]))
    for key in [key for key in tensors if "attn2.to_k" in key or "attn2.to_v" in key]:
        tensors[key] = torch.zeros(tensors[key].shape[0], 128)
    assert loaded(tmp_path, tensors).family is SD15


def test_a_unet_of_no_known_family_is_refused(tmp_path: Path) -> None:
    tensors = filled(SHAPES["sd15_slim_inpaint"])
    for key in [key for key in tensors if "attn2.to_k" in key or "attn2.to_v" in key]:
        tensors[key] = torch.zeros(tensors[key].shape[0], 555)
    with pytest.raises(BadModelFile, match="text of width 555"):
        loaded(tmp_path, tensors)
