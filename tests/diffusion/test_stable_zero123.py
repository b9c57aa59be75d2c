"""Stable Zero123: what a view is told as, against ComfyUI 0.33.0, and files that project it.

tests/contract/zero123.npz holds what StableZero123_Conditioning and its batched relative gave for a
drawn picture as seen and as latents.
"""

from pathlib import Path

import torch
from torch.nn import functional

from diffusion.batch.frame import Frame
from diffusion.families.registry import FAMILIES
from diffusion.guidance.model_changes import own_sampling
from diffusion.vision.video_pictures import view_prompts
from graph.nodes.stable_zero123 import tell_views
from graph.values import ClipVisionOutput, Latent, ModelFile, Vae
from tests.diffusion.model_files import CPU, recorded, recorded_shapes, seeded, written
from tests.diffusion.narrow_stage import drawn

RECORDED = recorded("zero123")
EMBEDS, LATENTS = drawn(1, 1, 768), drawn(2, 1, 4, 4, 5)
SEEN = ClipVisionOutput(EMBEDS, EMBEDS[None], EMBEDS[None])


def test_a_view_is_told_as_by_comfyui() -> None:
    (positive,), (negative,) = view_prompts(SEEN, LATENTS, [(12.5, -70.0)])
    assert torch.allclose(positive.tokens, RECORDED["one"], atol=1e-6)
    assert torch.equal(positive.extras["concat_latent_image"], LATENTS)
    assert torch.equal(negative.tokens, torch.zeros(1, 1, 768))
    assert not negative.extras["concat_latent_image"].any()


async def test_a_batch_sees_from_many_sides_with_one_noise() -> None:
    class Stage:
        """Encodes nothing."""

        async def condition_on_views(self, seen, _image, _vae, views):  # type: ignore[no-untyped-def]
            return view_prompts(seen, LATENTS, views)

        def empty_latent(self, shape: tuple[int, ...]) -> Latent:
            return Latent(torch.zeros(shape))

    positive, _, latent = await tell_views(
        Stage(),  # type: ignore[arg-type]
        seen=SEEN,
        image=drawn(3, 1, 32, 40, 3),
        vae=Vae(ModelFile("checkpoints", "zero.safetensors")),
        width=40,
        height=32,
        batch_size=3,
        views=3,
        elevation=5.0,
        azimuth=10.0,
        elevation_step=2.0,
        azimuth_step=-30.0,
        one_noise=True,
    )
    assert torch.allclose(positive[0].tokens, RECORDED["batch"], atol=1e-6)
    assert (latent.samples.shape, latent.batch_index) == ((3, 4, 4, 5), (0, 0, 0))


def test_a_file_projects_a_view_to_the_width_of_texts(tmp_path: Path) -> None:
    shapes = recorded_shapes("unet_shapes")["sd15_slim_inpaint"]
    tensors = {name: seeded(name, tuple(size)) for name, size in shapes.items()}
    first = next(name for name in tensors if name.endswith("input_blocks.0.0.weight"))
    tensors[first] = seeded(first, (tensors[first].shape[0], 8, 3, 3))
    width = next(t.shape[1] for name, t in tensors.items() if name.endswith("attn2.to_k.weight"))
    weight = seeded("cc_projection.weight", (width, width + 4))
    bias = seeded("cc_projection.bias", (width,))
    tensors |= {"cc_projection.weight": weight, "cc_projection.bias": bias}
    model = FAMILIES.load(written(tmp_path, tensors), dtype=torch.float32, device=CPU)
    embeds = EMBEDS[:, :width]
    seen = ClipVisionOutput(embeds, embeds[None], embeds[None])
    (condition,), (none,) = view_prompts(seen, LATENTS, [(12.5, -70.0)])
    x = drawn(4, 2, 4, 4, 5)
    frame = Frame(x, None, own_sampling(model.parameterization), model.latent_format)
    told = model.family.embed(model, condition, "positive", frame)
    assert torch.allclose(told.context[0], functional.linear(condition.tokens[0], weight, bias))
    assert told.concat is not None
    assert torch.equal(told.concat, LATENTS.expand(2, -1, -1, -1))
    assert not model.family.embed(model, none, "negative", frame).context.any()
