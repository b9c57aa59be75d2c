"""Anima against ComfyUI: tests/contract/anima.npz holds what ComfyUI 0.33.0 answered."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from diffusion.batch.frame import Frame
from diffusion.batch.preparation import TextWidthError
from diffusion.dit.call import DitCall
from diffusion.families.anima.family import ANIMA, TooFewWordsError
from diffusion.families.anima.network import anima
from diffusion.families.anima.text import WEIGHTS, WORDS
from diffusion.families.registry import FAMILIES
from diffusion.guidance.model_changes import model_sampling
from diffusion.text.encoder import Prompt, load_text_encoder
from diffusion.text.networks import QWEN3
from graph.errors import BadModelFile
from graph.values import Condition
from tests.diffusion.llm_files import QWEN3 as SMALL
from tests.diffusion.llm_files import letters, llm_tensors
from tests.diffusion.model_files import CPU, loaded, recorded, seeded
from tests.diffusion.narrow_stage import drawn
from tests.diffusion.test_text_encoder import TOKENIZERS, in_memory

SAID = recorded("anima")


def stored(prefix: str = "") -> dict[str, Tensor]:
    names = json.loads(SAID["names"].numpy().tobytes())
    return {prefix + name: seeded(name, tuple(shape)) for name, shape in names.items()}


def test_it_reads_words_and_draws_as_comfyui(tmp_path: Path) -> None:
    model = loaded(tmp_path, stored("net."))
    assert model.family is ANIMA
    extras = {
        WORDS: torch.tensor([[5, 7, 9, 1]]),
        WEIGHTS: torch.tensor([[1.0, 1.3, 0.7, 1.0]]),
    }
    sampling = model_sampling(model.parameterization, ())
    frame = Frame(torch.zeros(1, 16, 1, 4, 6), None, sampling, model.latent_format)
    said = ANIMA.embed(model, Condition(drawn(2, 1, 6, 20), extras=extras), "positive", frame)
    assert said.context.shape == (1, 512, 24)
    assert torch.allclose(said.context[:, :6], SAID["context"], atol=1e-5)
    call = DitCall(
        sample=torch.empty(0),
        times=torch.tensor([0.9, 0.3]),
        context=functional.pad(SAID["context"], (0, 0, 0, 506)).expand(2, -1, -1),
        pooled=torch.zeros(2, 0),
    )
    for name, size in (("even", (1, 4, 6)), ("odd", (1, 5, 3)), ("frames", (2, 4, 4))):
        answer = anima(model.module, replace(call, sample=drawn(1, 2, 16, *size)))
        assert torch.allclose(answer, SAID[name], atol=2e-5), name


def test_a_prompt_is_read_twice_and_weights_are_those_of_words() -> None:
    shape = replace(SMALL, width=1024, layers=1)
    weights = in_memory(llm_tensors(shape))
    assert QWEN3.find(weights) is None
    tokenizers = replace(TOKENIZERS, qwen=lambda: letters, t5=lambda: letters)
    texts = FAMILIES.texts
    encoder = load_text_encoder(
        [weights], tokenizers, texts, dtype=torch.float32, device=CPU, kind="stable_diffusion"
    )
    plain, weighted = encoder.encode([Prompt("a fox"), Prompt("a (fox:1.5)")])
    assert plain.tokens.shape == (1, 5, 1024)
    assert torch.equal(plain.tokens, weighted.tokens)
    assert plain.extras[WORDS].tolist() == [[*letters("a fox"), 1]]
    assert weighted.extras[WEIGHTS].tolist() == [[1.0, 1.0, 1.5, 1.5, 1.5, 1.0]]


def test_what_is_wrong_with_a_file_is_named(tmp_path: Path) -> None:
    missing, misshapen = stored(), stored()
    del missing["llm_adapter.blocks.1.mlp.2.bias"]
    with pytest.raises(BadModelFile, match=r"llm_adapter\.blocks\.1\.mlp\.2\.bias"):
        loaded(tmp_path, missing)
    misshapen["blocks.1.adaln_modulation_mlp.2.weight"] = torch.zeros(7, 8)
    with pytest.raises(BadModelFile, match=r"\(7, 8\), not \(144, 8\)"):
        loaded(tmp_path, misshapen)
    del missing["blocks.0.self_attn.q_norm.weight"]
    with pytest.raises(BadModelFile, match=r"incomplete.*q_norm"):
        loaded(tmp_path, missing)


def test_a_prompt_that_its_adapter_cannot_take_is_refused(tmp_path: Path) -> None:
    model = loaded(tmp_path, stored())
    sampling = model_sampling(model.parameterization, ())
    frame = Frame(torch.zeros(1, 16, 1, 4, 6), None, sampling, model.latent_format)
    weights = torch.ones(1, 1)
    for word, width, error in ((10**6, 20, TooFewWordsError), (5, 24, TextWidthError)):
        extras = {WORDS: torch.tensor([[word]]), WEIGHTS: weights}
        with pytest.raises(error):
            ANIMA.embed(model, Condition(drawn(2, 1, 6, width), extras=extras), "positive", frame)


@pytest.mark.parametrize("head", [6, 8, 10])
def test_heads_too_narrow_for_three_axes_are_refused(tmp_path: Path, head: int) -> None:
    tensors = stored()
    for name in ("q_norm", "k_norm"):
        for key in [key for key in tensors if key.startswith("blocks.") and name in key]:
            tensors[key] = torch.ones(head)
    with pytest.raises(BadModelFile, match=rf"heads (are|of) {head}"):
        loaded(tmp_path, tensors)
