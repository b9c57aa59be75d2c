# mypy: ignore-errors
"""A custom node pack that samples, encodes, decodes and loads as packs do: the service does it."""

import comfy.sample
import comfy.samplers
import nodes
import torch


class Node:
    """What the nodes below share."""

    CATEGORY = "calling"
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {name: (kind,) for name, kind in cls.TAKES.items()}}


class Lora(Node):
    TAKES = {"model": "MODEL", "clip": "CLIP"}
    RETURN_TYPES = ("MODEL", "CLIP")

    def run(self, model, clip):
        return nodes.LoraLoader().load_lora(model, clip, "comfyray-demo-night.safetensors", 0.8, 0.6)


class Encode(Node):
    TAKES = {"clip": "CLIP"}
    RETURN_TYPES = ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"clip": ("CLIP",), "text": ("STRING", {"default": ""})}}

    def run(self, clip, text):
        tokens = clip.tokenize(text)
        cond, pooled = clip.encode_from_tokens(tokens, return_pooled=True)
        return ([[cond, {"pooled_output": pooled}]],)


class EncodeByNode(Encode):
    def run(self, clip, text):
        return nodes.NODE_CLASS_MAPPINGS["CLIPTextEncode"]().encode(clip, text)


class Sample(Node):
    TAKES = {"model": "MODEL", "positive": "CONDITIONING", "negative": "CONDITIONING",
             "latent": "LATENT", "seed": "INT"}
    RETURN_TYPES = ("LATENT",)

    def run(self, model, positive, negative, latent, seed):
        return nodes.common_ksampler(
            model, seed, 8, 5.0, "dpmpp_2m", "karras", positive, negative, latent, denoise=0.9
        )


class SampleCustom(Sample):
    def run(self, model, positive, negative, latent, seed):
        samples = latent["samples"]
        noise = comfy.sample.prepare_noise(samples, seed)
        sampler = comfy.samplers.sampler_object("euler")
        sigmas = comfy.samplers.KSampler(model, 6, scheduler="normal", denoise=0.5).sigmas
        assert isinstance(sigmas, torch.Tensor)
        return ({"samples": comfy.sample.sample_custom(
            model, noise, 4.0, sampler, sigmas, positive, negative, samples, seed=seed)},)


class Decode(Node):
    TAKES = {"vae": "VAE", "latent": "LATENT"}
    RETURN_TYPES = ("IMAGE",)

    def run(self, vae, latent):
        return (vae.decode(latent["samples"]),)


class EncodePixels(Node):
    TAKES = {"vae": "VAE", "pixels": "IMAGE"}
    RETURN_TYPES = ("LATENT",)

    def run(self, vae, pixels):
        return ({"samples": vae.encode(pixels[:, :, :, :3])},)


NODE_CLASS_MAPPINGS = {
    f"Calling{one.__name__}": one
    for one in (Lora, Encode, EncodeByNode, Sample, SampleCustom, Decode, EncodePixels)
}
