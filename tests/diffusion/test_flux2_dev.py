"""Flux.2 against ComfyUI: dev's text encoder with the tokenizer in its file, and what steps keep.

tests/contract/flux2_dev.npz holds what ComfyUI 0.33.0 answered.
"""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.batch.patches import KV_CACHE
from diffusion.dit.call import DitCall
from diffusion.dit.kept import Kept
from diffusion.families.flux2.network import flux2
from diffusion.families.flux2.text import TEXT
from diffusion.guidance.model_changes import model_sampling
from diffusion.guidance.network_changes import start_run_changes
from diffusion.text.encodings import TextTools
from diffusion.text.llm_part import LlmPart
from diffusion.text.networks import MISTRAL3, QWEN3, find_gemma2, find_qwen3
from diffusion.text.prompt import no_embeddings
from diffusion.text.tekken import KEY
from graph.errors import BadModelFile
from graph.nodes.transformers import cache_references
from graph.values import Change, Model, ModelFile
from tests.diffusion.llm_files import QWEN3 as SMALL
from tests.diffusion.llm_files import llm_tensors
from tests.diffusion.model_files import CPU, loaded, recorded, seeded
from tests.diffusion.narrow_stage import drawn
from tests.diffusion.test_flux2 import KLEIN, own_layout
from tests.diffusion.test_text_encoder import TOKENIZERS, in_memory

SAID = recorded("flux2_dev")
MISTRAL = replace(SMALL, vocabulary=551, heads=2, kv_heads=1, head=128, layers=31, normed=False)
PROMPT = "a red fox in (the:1.3) snow, HÄUSERN don't  say\n\n123456 雪!"


def mistral() -> dict[str, Tensor]:
    return {**llm_tensors(MISTRAL), KEY: SAID["tekken_model"].clone()}


def part(tensors: dict[str, Tensor]) -> LlmPart:
    found = MISTRAL3.find(in_memory(tensors))
    assert found is not None
    made = TEXT.parts[MISTRAL3](found, TextTools(TOKENIZERS, torch.float32, CPU))
    assert isinstance(made, LlmPart)
    return made


@pytest.mark.parametrize("pruned", [False, True])
def test_mistral_reads_a_prompt_as_in_comfyui(pruned: bool) -> None:
    tensors = mistral()
    if pruned:  # as published for Flux.2: without the layers that are not read, and the last norm
        tensors = {k: t for k, t in tensors.items() if ".30." not in k and k != "model.norm.weight"}
    own = part(tensors)
    chunks = own.chunks(PROMPT, no_embeddings)
    assert torch.equal(torch.tensor(chunks[0].tokens), SAID["tokens"])
    with torch.inference_mode():
        (states,) = own.encoded([chunks], None)
    assert torch.allclose(states.tokens, SAID["states"], atol=2e-4)
    assert TEXT.fits([MISTRAL3])
    assert TEXT.fits([QWEN3])


def test_mistral_is_no_other_language_model() -> None:
    weights = in_memory(mistral())
    assert find_qwen3(weights) is None
    assert find_gemma2(weights) is None
    assert MISTRAL3.find(in_memory(llm_tensors(SMALL))) is None


def test_a_tokenizer_that_is_not_there_or_is_none_is_named() -> None:
    tensors = mistral()
    wide = {k: t for k, t in tensors.items() if k != KEY}
    wide["model.embed_tokens.weight"] = torch.zeros(551, 5120)
    with pytest.raises(BadModelFile, match="carries no tokenizer 'tekken_model'"):
        part(wide)
    with pytest.raises(BadModelFile, match="'tekken_model' cannot be read"):
        part({**tensors, KEY: torch.zeros(9, dtype=torch.uint8)})
    with pytest.raises(BadModelFile, match="knows 546 tokens, its table 40"):
        part({**tensors, "model.embed_tokens.weight": torch.zeros(40, 32)})
    said = json.loads(tensors[KEY].numpy().tobytes())
    del said["vocab"][3]["token_bytes"]
    broken = torch.frombuffer(bytearray(json.dumps(said).encode()), dtype=torch.uint8)
    with pytest.raises(BadModelFile, match=r"'tekken_model' cannot be read\.?$"):
        part({**tensors, KEY: broken})
    said["vocab"][3]["token_bytes"] = base64.b64encode(b"x" * 1025).decode()
    long = torch.frombuffer(bytearray(json.dumps(said).encode()), dtype=torch.uint8)
    for bad in (long, torch.zeros(())):
        with pytest.raises(BadModelFile, match="cannot be read"):
            part({**tensors, KEY: bad})


def klein(folder: Path) -> Any:
    """Klein, drawn from the names that ComfyUI gives its layers."""
    shapes = {key: tuple(tensor.shape) for key, tensor in own_layout(KLEIN).items()}
    names = {key: key.replace("_norm.scale", "_norm.weight") for key in shapes}
    return loaded(folder, {k: seeded(names[k], shape) for k, shape in shapes.items()}).module


def asked(seed: int, time: float) -> DitCall:
    return DitCall(
        sample=drawn(seed, 2, 128, 3, 4),
        times=torch.tensor([time, time / 2]),
        context=drawn(2, 2, 5, 24),
        pooled=torch.zeros(2, 0),
        references=(drawn(3, 2, 128, 2, 3), drawn(4, 2, 128, 1, 2)),
        places="",
    )


def test_references_are_told_no_noise_and_kept_from_the_first_step(tmp_path: Path) -> None:
    module = klein(tmp_path)
    still = replace(asked(1, 0.9), places="index_timestep_zero")
    assert torch.allclose(flux2(module, still), SAID["still"], atol=1e-5)
    first: dict[str, Tensor] = {}
    second: dict[str, Tensor] = {}  # two rows of one latent each
    for step, (seed, time) in enumerate(((1, 0.9), (5, 0.5), (6, 0.1))):
        kept = Kept(((1, first), (1, second)))
        answer = flux2(module, replace(asked(seed, time), kept=kept, changes=(Change(KV_CACHE),)))
        assert torch.allclose(answer, SAID[f"kept{step}"], atol=1e-5)
    alone = replace(asked(6, 0.1), places="index_timestep_zero")
    assert not torch.allclose(answer, flux2(module, alone), atol=1e-3)


def test_a_call_that_failed_in_the_middle_keeps_nothing(tmp_path: Path) -> None:
    module = klein(tmp_path)
    store: dict[str, Tensor] = {}
    call = replace(asked(1, 0.9), kept=Kept(((2, store),)), changes=(Change(KV_CACHE),))
    last = module.single_transformer_blocks[-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(last, "forward", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            flux2(module, call)
    assert not store
    flux2(module, replace(call, kept=Kept(((2, store),))))
    assert store


def test_a_prompt_without_references_keeps_nothing(tmp_path: Path) -> None:
    module = klein(tmp_path)
    store: dict[str, Tensor] = {}
    call = replace(asked(1, 0.9), references=())
    kept = replace(call, kept=Kept(((2, store),)))
    assert torch.equal(flux2(module, kept), flux2(module, call))
    assert not store


def test_each_job_keeps_its_own_and_divides_no_latents(tmp_path: Path) -> None:
    model = loaded(tmp_path, own_layout(KLEIN))
    node = cache_references(model=Model(ModelFile("diffusion_models", "m")))
    sampling = model_sampling(model.parameterization, ())
    jobs = [start_run_changes(node.changes, sampling, model.family, torch.Generator) for _ in "ab"]
    assert not any(job.divisible for job in jobs)
    assert jobs[0].kept is not jobs[1].kept
    assert [change.kind for change in jobs[0].at(0.5)] == ["flux_kv_cache"]
    plain = start_run_changes((), sampling, model.family, torch.Generator)
    assert plain.divisible
    assert plain.kept is None
