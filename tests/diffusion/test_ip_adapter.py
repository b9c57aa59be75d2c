"""IP-Adapters against diffusers' own: projections, attention layers, and whole jobs."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from diffusion.sampling.model_sampling import discrete
from diffusion.sampling.stage import SampleStage
from diffusion.unet.architecture import read_shape
from diffusion.unet.denoiser import Denoiser
from diffusion.unet.loading import LoadedUnet, load_unet
from diffusion.vision.image_prompts import (
    CallImages,
    JobImage,
    RowImage,
    over_tokens,
    places_of,
    prepare_images,
)
from diffusion.vision.image_weights import LayerWeightsError, Place, Share, share_of
from diffusion.vision.ip_adapter import (
    ImageEncoderMismatchError,
    load_image_layers,
    load_projection,
)
from diffusion.vision.stage import NoAdapterForModelError, NoImageEncoderError, VisionStage
from diffusion.weights import Entry, Weights, open_weights
from graph.errors import BadModelFile
from graph.image_prompts import ImagePrompt, ImageUse, Pictures
from graph.sampling import SampleRequest
from graph.values import ClipVision, IpAdapter, Latent, Model, ModelFile
from tests.diffusion.image_files import (
    SEEN,
    SIDE,
    TEXT,
    WIDTH,
    adapter_layers,
    base_projection,
    full_projection,
    image_encoder,
    in_one_file,
    plus_projection,
)
from tests.diffusion.model_files import CPU, recorded_shapes, written
from tests.diffusion.narrow_stage import NARROW, drawn, narrow_stage, request, write_models
from tests.diffusion.test_denoiser import row

BASE = ModelFile("ipadapter", "base.safetensors")
PLUS = ModelFile("ipadapter", "plus.bin")
EYE = ModelFile("clip_vision", "eye.safetensors")
Projection = Mapping[str, Tensor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The narrow models, an image encoder, a base and a plus adapter."""
    where = tmp_path_factory.mktemp("adapters")
    write_models(where)
    layers = adapter_layers(narrow(where).module)
    save_file(in_one_file(base_projection(), layers), where / BASE.name)
    torch.save({"image_proj": plus_projection(), "ip_adapter": layers}, where / PLUS.name)
    save_file(image_encoder(), where / EYE.name)
    return where


def opener(folder: Path) -> Callable[[ModelFile], Weights]:
    return lambda file: open_weights(folder / file.name, file)


def narrow(folder: Path) -> LoadedUnet:
    return load_unet(opener(folder)(NARROW), dtype=torch.float32, device=CPU)


def diffusers_unet(folder: Path, projection: Projection) -> UNet2DConditionModel:
    """The narrow model as diffusers runs it with an IP-Adapter."""
    module = narrow(folder).module
    layers = adapter_layers(module)
    adapter = {"image_proj": dict(projection), "ip_adapter": layers}
    loading: Any = module
    loading._load_ip_adapter_weights([adapter], low_cpu_mem_usage=False)
    return module


@pytest.mark.parametrize(
    ("projection", "shape"),
    [
        (base_projection(), (2, SEEN)),
        (plus_projection(), (2, 5, WIDTH)),
        (full_projection(), (2, 257, WIDTH)),
    ],
    ids=["base", "plus", "full"],
)
def test_the_tokens_of_a_picture_are_diffusers(
    projection: Projection, shape: tuple[int, ...], tmp_path: Path
) -> None:
    theirs = UNet2DConditionModel._convert_ip_adapter_image_proj_to_diffusers(
        None, dict(projection), low_cpu_mem_usage=False
    )
    seen = drawn(1, *shape)
    weights = written(tmp_path, {f"image_proj.{name}": t for name, t in projection.items()})
    ours = load_projection(weights, dtype=torch.float32, device=CPU)
    with torch.inference_mode():
        torch.testing.assert_close(ours(seen), theirs(seen), rtol=1e-4, atol=1e-4)


def prompt_of(tokens: Tensor, negative: Tensor, use: ImageUse | None = None) -> ImagePrompt:
    return ImagePrompt(BASE, tokens, negative, None, use or ImageUse())


def prepared(folder: Path, unet: LoadedUnet, prompt: ImagePrompt, batch: int = 1) -> JobImage:
    layers = load_image_layers(opener(folder)(BASE), dtype=torch.float32, device=CPU)
    changes = Model(NARROW).changed("ip_adapter", prompt=prompt).changes
    (image,) = prepare_images(changes, {BASE: layers}, unet, discrete(), batch)
    return image


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
    answering = Denoiser(
        unet.module, max_rows=8, activation_bytes=2**30, dtype=torch.float32, device=CPU
    )
    answering(rows)

    theirs = diffusers_unet(folder, base_projection())
    own = narrow(folder).module
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


def meta_unet(model: str) -> UNet2DConditionModel:
    """A U-Net with the blocks of a public model, without memory."""
    shapes = recorded_shapes("unet_shapes")[model]
    entries = {name: Entry(tuple(shape), torch.float32) for name, shape in shapes.items()}
    shape = read_shape(Weights(NARROW, entries, lambda _: torch.zeros(0)))
    assert shape is not None
    with torch.device("meta"):
        unet: UNet2DConditionModel = UNet2DConditionModel(**shape.config())
    return unet


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


def shares(use: ImageUse, *, is_sdxl: bool) -> dict[int, float]:
    """The weight of every transformer that takes any."""
    blocks = (4, 1, 6) if is_sdxl else (6, 1, 9)
    kinds = [
        k for k, n in zip(("input", "middle", "output"), blocks, strict=True) for _ in range(n)
    ]
    places = [Place(i, kind, len(kinds)) for i, kind in enumerate(kinds)]  # type: ignore[arg-type]
    found = {place.index: share_of(use, place, is_sdxl=is_sdxl) for place in places}
    return {index: share.weight for index, share in found.items() if share is not None}


STYLE_15 = (0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15)


@pytest.mark.parametrize(
    ("weight_type", "is_sdxl", "expected"),
    [
        ("linear", True, dict.fromkeys(range(11), 2.0)),
        ("ease in", False, {i: 2 * (0.05 + 0.95 * (1 - i / 16)) for i in range(16)}),
        ("ease out", True, {i: 2 * (0.05 + 0.95 * i / 11) for i in range(11)}),
        ("ease in-out", False, {i: 2 * (0.05 + 0.95 * (1 - abs(i - 8) / 8)) for i in range(16)}),
        ("reverse in-out", True, {i: 2 * (0.05 + 0.95 * abs(i - 5.5) / 5.5) for i in range(11)}),
        ("weak input", True, {i: 0.4 if i < 4 else 2.0 for i in range(11)}),
        ("weak middle", False, {i: 0.4 if i == 6 else 2.0 for i in range(16)}),
        ("weak output", True, {i: 0.4 if i > 4 else 2.0 for i in range(11)}),
        ("strong middle", True, {i: 2.0 if i == 4 else 0.4 for i in range(11)}),
        ("style transfer", True, {6: 2.0}),
        ("style transfer", False, dict.fromkeys(STYLE_15, 2.0)),
        ("composition", True, {3: 2.0}),
        ("composition", False, {4: 0.5, 5: 2.0}),
        ("strong style transfer", True, {i: 2.0 for i in range(11) if i != 3}),
        ("strong style transfer", False, {i: 2.0 for i in range(16) if i not in {4, 5}}),
        ("style and composition", True, {3: 1.0, 6: 2.0}),
        ("style and composition", False, {**dict.fromkeys(STYLE_15, 2.0), 4: 0.25, 5: 1.0}),
        ("strong style and composition", True, {**dict.fromkeys(range(11), 2.0), 3: 1.0}),
        ("style transfer precise", True, {3: 2.0, 6: 2.0}),
        ("composition precise", True, {**dict.fromkeys(range(11), 0.2), 3: 2.0, 6: 2.0}),
    ],
)
def test_weight_types_are_the_packs_tables(
    weight_type: str, is_sdxl: bool, expected: dict[int, float]
) -> None:
    found = shares(ImageUse(weight=2.0, weight_type=weight_type), is_sdxl=is_sdxl)
    assert found == pytest.approx(expected)


def test_layer_weights_go_before_the_type() -> None:
    use = ImageUse(weight=2.0, weight_type="ease in", layer_weights="3:2.5, 6:1")
    assert shares(use, is_sdxl=True) == {3: 5.0, 6: 2.0}
    with pytest.raises(LayerWeightsError):
        shares(replace(use, layer_weights="3=2"), is_sdxl=True)


def test_precise_types_push_the_negative_towards_the_picture() -> None:
    use = ImageUse(weight_type="style transfer precise")
    pushed = share_of(use, Place(3, "input", 11), is_sdxl=True)
    assert pushed == Share(1.0, "zeros", "positive")


@pytest.mark.parametrize(
    ("size", "length"), [((8, 8), 64), ((8, 8), 16), ((9, 5), 15), ((4, 64), 64), ((64, 4), 4)]
)
def test_a_mask_has_one_number_for_every_token(size: tuple[int, int], length: int) -> None:
    mask = over_tokens(torch.ones(2, 512, 512), size, length)
    assert mask.shape == (2, length, 1)
    assert float(mask.mean()) > 0.7


# Whole jobs.


def job(prompt: ImagePrompt | None, seed: int = 1, **options: Any) -> SampleRequest:
    model = Model(NARROW)
    laid = model if prompt is None else model.changed("ip_adapter", prompt=prompt)
    return request(seed, model=laid, **options)


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


def vision(folder: Path) -> VisionStage:
    return VisionStage(opener(folder), dtype=torch.float32, device=CPU, budget_bytes=2**30)


EYES = ClipVision(EYE)


def adapter(file: ModelFile, clip_vision: ClipVision | None = EYES) -> IpAdapter:
    return IpAdapter((("", file),), clip_vision)


async def test_what_is_not_pictured_is_a_zero_vector_or_a_black_picture(folder: Path) -> None:
    stage = vision(folder)
    image = drawn(1, 1, SIDE, SIDE, 3).clamp(0, 1)
    seen = await stage.encode_image(ClipVision(EYE), image, crop=True)
    black = await stage.encode_image(ClipVision(EYE), torch.zeros_like(image), crop=True)
    expected = {
        BASE: (seen.image_embeds, torch.zeros_like(seen.image_embeds)),
        PLUS: (seen.penultimate_hidden_states, black.penultimate_hidden_states),
    }
    for file, (positive, negative) in expected.items():
        project = load_projection(opener(folder)(file), dtype=torch.float32, device=CPU)
        made = await stage.image_prompt(
            Model(NARROW), adapter(file), None, Pictures(image), ImageUse()
        )
        torch.testing.assert_close(made.positive, project(positive))
        torch.testing.assert_close(made.negative, project(negative))
        embeds = await stage.image_embeds(adapter(file), None, image, weight=2.0, mask=None)
        torch.testing.assert_close(embeds[0], positive * 2)


@pytest.mark.parametrize("method", ["add", "subtract", "average", "norm average"])
async def test_several_pictures_become_one(method: Any, folder: Path) -> None:
    stage = vision(folder)
    images = drawn(1, 3, SIDE, SIDE, 3).clamp(0, 1)
    seen = (await stage.encode_image(ClipVision(EYE), images, crop=True)).image_embeds
    one = {
        "add": seen.sum(0),
        "subtract": seen[0] - seen[1:].mean(0),
        "average": seen.mean(0),
        "norm average": (seen / seen.pow(2).sum(0).sqrt()).mean(0),
    }[method]
    project = load_projection(opener(folder)(BASE), dtype=torch.float32, device=CPU)
    pictures = Pictures(images, combining=method)
    made = await stage.image_prompt(Model(NARROW), adapter(BASE), None, pictures, ImageUse())
    torch.testing.assert_close(made.positive, project(one[None]))
    assert len(made.negative) == 1


async def test_what_does_not_belong_together_is_told(folder: Path, tmp_path: Path) -> None:
    stage, image = vision(folder), torch.zeros(1, SIDE, SIDE, 3)
    with pytest.raises(NoImageEncoderError, match=r"base\.safetensors"):
        await stage.image_prompt(
            Model(NARROW), adapter(BASE, None), None, Pictures(image), ImageUse()
        )
    pictures = Pictures(seen_positive=torch.zeros(1, SEEN + 1))
    with pytest.raises(ImageEncoderMismatchError, match=f"width {SEEN}"):
        await stage.image_prompt(Model(NARROW), adapter(BASE), None, pictures, ImageUse())
    only_sdxl = IpAdapter((("sdxl", BASE),), EYES)
    with pytest.raises(NoAdapterForModelError, match="sd15"):
        await stage.image_prompt(Model(NARROW), only_sdxl, None, Pictures(image), ImageUse())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"image_proj.norm.bias": None}, "not whole"),
        ({"image_proj.proj.weight": torch.zeros(7, SEEN)}, "not whole"),
        ({"ip_adapter.0.to_q_lora.down.weight": torch.zeros(4, 4)}, "FaceID"),
    ],
)
def test_a_damaged_or_unsupported_adapter_is_refused(
    change: dict[str, Tensor | None], problem: str, tmp_path: Path
) -> None:
    whole: dict[str, Tensor | None] = {**in_one_file(base_projection(), {}), **change}
    tensors = {name: tensor for name, tensor in whole.items() if tensor is not None}
    with pytest.raises(BadModelFile, match=problem):
        load_projection(written(tmp_path, tensors), dtype=torch.float32, device=CPU)


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
