"""Image prompts inside of a U-Net: against diffusers' attention, and in whole jobs."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.batch.calls import Limits
from diffusion.batch.rows import RowImage
from diffusion.control.image_adapters import prepare_images
from diffusion.engine.stage import SampleStage
from diffusion.families.sd.denoiser import UnetDenoiser
from diffusion.families.sd.image_prompts import CallImages, over_tokens, places_of
from diffusion.families.sd.image_weights import Place
from diffusion.families.sd.network import Unet
from diffusion.families.sd.shapes import read_shape
from diffusion.schedules.model_sampling import discrete
from diffusion.vision.ip_adapter import load_image_layers, load_projection
from diffusion.weights import Entry, Weights
from graph.errors import BadModelFile
from graph.image_prompts import ImagePrompt, ImageUse
from graph.sampling import SampleRequest
from graph.values import Latent, Model
from tests.diffusion.image_files import SEEN, TEXT, adapter_layers, base_projection, in_one_file
from tests.diffusion.model_files import CPU, recorded_shapes, written
from tests.diffusion.narrow_adapters import (
    BASE,
    diffusers_unet,
    narrow,
    opener,
    prepared,
    prompt_of,
    write_adapters,
)
from tests.diffusion.narrow_stage import NARROW, drawn, narrow_stage, request
from tests.diffusion.networks import by_diffusers
from tests.diffusion.test_denoiser import row


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("adapters")
    write_adapters(where)
    return where


def test_the_prediction_is_that_of_diffusers_ip_adapter(folder: Path) -> None:
    unet = narrow(folder)
    seen, unseen = drawn(1, 2, SEEN), drawn(2, 2, SEEN)
    projection = load_projection(opener(folder)(BASE), dtype=torch.float32, device=CPU)
    image = prepared(folder, unet, prompt_of(projection(seen), projection(unseen)))
    asked = [row(unet, 1), row(unet, 2), row(unet, 3)]
    outputs: list[list[Tensor]] = [[], [], []]
    rows = [
        replace(asked[0], outputs=outputs[0], images=(RowImage(image, negative=False),)),
        replace(asked[1], outputs=outputs[1], images=(RowImage(image, negative=True),)),
        replace(asked[2], outputs=outputs[2]),
    ]
    answering = UnetDenoiser(unet, Limits(8, 2**30, torch.float32, CPU))
    answering(rows)

    theirs = diffusers_unet(folder, base_projection())
    own = by_diffusers(unet)
    for asked_row, output, embeds in zip(asked, outputs, (seen, unseen, None), strict=True):
        x = asked_row.sampling.input_scaling(asked_row.sigma, asked_row.x)
        t = asked_row.sampling.timestep(asked_row.sigma).float()[None]
        context = asked_row.prompt.embedding.context
        with torch.inference_mode():
            if embeds is None:
                expected = own(x, t, encoder_hidden_states=context).sample
            else:
                added = {"image_embeds": [embeds[None]]}
                expected = theirs(
                    x, t, encoder_hidden_states=context, added_cond_kwargs=added
                ).sample
        torch.testing.assert_close(output[0], expected, rtol=1e-3, atol=1e-3)


def meta_unet(model: str) -> Unet:
    """A U-Net with the blocks of a public model, without memory."""
    shapes = recorded_shapes("unet_shapes")[model]
    entries = {name: Entry(tuple(shape), torch.float32) for name, shape in shapes.items()}
    shape = read_shape(Weights(NARROW, entries, lambda _: torch.zeros(0)))
    assert shape is not None
    with torch.device("meta"):
        return Unet(shape)


@pytest.mark.parametrize(
    ("model", "name", "number", "place"),
    [
        ("sdxl", "down_blocks.1.attentions.1.transformer_blocks.1", 3, Place(1, "input", 11)),
        ("sdxl", "up_blocks.0.attentions.1.transformer_blocks.3", 37, Place(6, "output", 11)),
        ("sdxl", "up_blocks.1.attentions.0.transformer_blocks.0", 54, Place(8, "output", 11)),
        ("sdxl", "mid_block.attentions.0.transformer_blocks.9", 69, Place(4, "middle", 11)),
        ("sd15", "down_blocks.2.attentions.1.transformer_blocks.0", 5, Place(5, "input", 16)),
        ("sd15", "up_blocks.1.attentions.0.transformer_blocks.0", 6, Place(7, "output", 16)),
        ("sd15", "mid_block.attentions.0.transformer_blocks.0", 15, Place(6, "middle", 16)),
    ],
)
def test_layers_are_numbered_and_placed_as_in_the_pack(
    model: str, name: str, number: int, place: Place
) -> None:
    assert places_of(meta_unet(model))[f"{name}.attn2"] == (number, place)


@pytest.mark.parametrize(
    ("size", "length"), [((8, 8), 64), ((8, 8), 16), ((9, 5), 15), ((4, 64), 64), ((64, 4), 4)]
)
def test_a_mask_has_one_number_for_every_token(size: tuple[int, int], length: int) -> None:
    mask = over_tokens(torch.ones(2, 512, 512), size, length)
    assert mask.shape == (2, length, 1)
    assert float(mask.mean()) > 0.7


@pytest.mark.parametrize("scaling", ["K+V", "K+V w/ C penalty", "K+mean(V) w/ C penalty"])
def test_scalings_are_their_formulas(scaling: Any, folder: Path) -> None:
    unet = narrow(folder)
    use = ImageUse(weight=1.5, scaling=scaling)
    tokens = drawn(1, 1, 4, TEXT)
    image = prepared(folder, unet, prompt_of(tokens, tokens, use))
    place = "mid_block.attentions.0.transformer_blocks.0.attn2"
    layer: Any = unet.module.get_submodule(place)
    width, heads = int(layer.to_q.out_features), int(layer.heads)
    queries, before = drawn(2, 1, 4, width), drawn(3, 1, 4, width)
    entry = (slice(0, 1), slice(0, 1), RowImage(image, negative=False))
    found = CallImages((entry,), (2, 2)).added(place, heads, queries, before.clone()) - before

    k, v = image.keys_and_values(image.layers[place].number, "positive")
    w = 1.5 * (width / 1280 if "penalty" in scaling else 1.0)
    mean = v.mean(dim=1, keepdim=True)
    v = (v - mean) + mean * w if "mean" in scaling else v * w
    q, k, v = (t.view(1, -1, heads, width // heads).transpose(1, 2) for t in (queries, k * w, v))
    scores = (q @ k.transpose(-1, -2) / (width // heads) ** 0.5).softmax(-1)
    expected = (scores @ v).transpose(1, 2).reshape(1, 4, width)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_an_adapter_for_another_unet_is_refused(folder: Path, tmp_path: Path) -> None:
    unet = narrow(folder)
    layers = adapter_layers(unet.module)
    last = len(layers) - 1  # keys count 1, 3, 5 ..., with two weights each
    del layers[f"{last}.to_k_ip.weight"], layers[f"{last}.to_v_ip.weight"]
    weights = written(tmp_path, in_one_file({}, layers))
    loaded = load_image_layers(weights, dtype=torch.float32, device=CPU)
    prompt = prompt_of(torch.zeros(1, 4, TEXT), torch.zeros(1, 4, TEXT))
    changes = Model(NARROW).changed("ip_adapter", prompt=prompt).changes
    with pytest.raises(BadModelFile, match="other cross attention layers"):
        prepare_images(changes, {BASE: loaded}, unet, discrete(), 1)


def job(prompt: ImagePrompt | None, seed: int = 1, **options: Any) -> SampleRequest:
    model = Model(NARROW)
    prompted = model if prompt is None else model.changed("ip_adapter", prompt=prompt)
    return request(seed, model=prompted, **options)


def prompts(folder: Path, seed: int, **use: Any) -> ImagePrompt:
    return prompt_of(drawn(seed, 2, 4, TEXT), drawn(seed + 1, 2, 4, TEXT), ImageUse(**use))


async def sampled(stage: SampleStage, *requests: SampleRequest) -> list[Tensor]:
    answers = await asyncio.gather(*map(stage.sample, requests))
    return [latent.samples for latent, _ in answers]


async def test_jobs_by_different_pictures_share_calls_and_do_not_mix(folder: Path) -> None:
    stage = narrow_stage(folder)
    jobs = [
        job(prompts(folder, 10), 1),
        job(prompts(folder, 20, weight=0.5, scaling="K+V"), 2),
        job(None, 3),
        job(prompts(folder, 30, per_picture=True), 4, latent=Latent(torch.zeros(2, 4, 8, 8))),
    ]
    alone = [(await sampled(stage, each))[0] for each in jobs]
    together = await sampled(stage, *jobs)
    await stage.close()
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * float(one.abs().max()))


async def test_masks_weights_and_times_say_where_how_much_and_when(folder: Path) -> None:
    stage = narrow_stage(folder)
    zeros, ones = torch.zeros(1, 16, 16), torch.ones(1, 16, 16)
    nothing, everywhere = await sampled(stage, job(None), job(prompts(folder, 10)))
    same: dict[str, tuple[Tensor, dict[str, Any]]] = {
        "nowhere": (nothing, {"mask": zeros}),
        "not at all": (nothing, {"weight": 0.0}),
        "never": (nothing, {"start_percent": 1.0, "end_percent": 1.0}),
        "all over": (everywhere, {"mask": ones}),
    }
    answers = await sampled(stage, *(job(prompts(folder, 10, **use)) for _, use in same.values()))
    late = (await sampled(stage, job(prompts(folder, 10, start_percent=0.5))))[0]
    await stage.close()
    scale = float(nothing.abs().max())
    for (expected, _), answer in zip(same.values(), answers, strict=True):
        torch.testing.assert_close(answer, expected, rtol=1e-3, atol=1e-3 * scale)
    for one, other in ((nothing, everywhere), (late, nothing), (late, everywhere)):
        assert float((one - other).abs().max()) > 1e-2 * scale


def test_a_window_goes_by_the_pictures_and_masks_of_its_frames(folder: Path) -> None:
    unet = narrow(folder)
    masks = torch.stack([torch.full((4, 4), number) for number in (0.0, 0.5, 1.0)])
    use = ImageUse(per_picture=True, mask=masks)
    whole = prepared(folder, unet, prompt_of(drawn(1, 3, 4, TEXT), drawn(2, 3, 4, TEXT), use), 3)
    window = whole.of_frames((2, 0))
    every, own = (image.keys_and_values(0, "positive")[0] for image in (whole, window))
    assert torch.equal(own, every[[2, 0]])
    mask = window.mask((8, 8), 16)
    assert mask is not None
    assert mask.mean(dim=(1, 2)).tolist() == [1.0, 0.0]
