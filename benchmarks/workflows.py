"""The workflows that benchmarks post, in ComfyUI's API format."""

from typing import Any


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def text_to_image(
    checkpoint: str, *, seed: int, prompt: str, sampler: str = "euler", cfg: float, steps: int
) -> dict[str, Any]:
    """Seven nodes; a picture of 64 by 64 pixels, so that a CPU answers in seconds."""
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name=checkpoint),
        "2": node("CLIPTextEncode", clip=["1", 1], text=prompt),
        "3": node("CLIPTextEncode", clip=["1", 1], text=f"blurry, not {prompt}"),
        "4": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "5": node(
            "KSampler",
            model=["1", 0],
            positive=["2", 0],
            negative=["3", 0],
            latent_image=["4", 0],
            seed=seed,
            steps=steps,
            cfg=cfg,
            sampler_name=sampler,
            scheduler="karras",
            denoise=1.0,
        ),
        "6": node("VAEDecode", samples=["5", 0], vae=["1", 2]),
        "7": node("SaveImage", images=["6", 0], filename_prefix="benchmark"),
    }
