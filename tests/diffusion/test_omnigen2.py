"""OmniGen2 against ComfyUI: tests/contract/omnigen2.npz holds what ComfyUI 0.33.0 answered."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diffusion.batch.frame import Frame
from diffusion.dit.call import DitCall
from diffusion.families.omnigen2.family import OMNIGEN2, TooManyReferencesError
from diffusion.families.omnigen2.network import omnigen2
from diffusion.families.omnigen2.text import TEXT
from diffusion.guidance.model_changes import model_sampling
from diffusion.text.llm_part import LlmPart, LlmReading, load_llm
from diffusion.text.networks import QWEN25
from diffusion.text.prompt import no_embeddings
from graph.errors import BadModelFile
from graph.values import Condition
from tests.diffusion.llm_files import QWEN25 as SMALL
from tests.diffusion.llm_files import letters, llm_tensors
from tests.diffusion.model_files import CPU, loaded, recorded, seeded
from tests.diffusion.narrow_stage import drawn
from tests.diffusion.test_text_encoder import in_memory

SAID = recorded("omnigen2")


def stored() -> dict[str, Tensor]:
    names = json.loads(SAID["names"].numpy().tobytes())
    return {name: seeded(name, tuple(shape)) for name, shape in names.items()}


def asked(*size: int) -> DitCall:
    return DitCall(
        sample=drawn(1, 2, 4, *size),
        times=torch.tensor([0.9, 0.3]),
        context=drawn(2, 2, 5, 24),
        pooled=torch.zeros(2, 0),
    )


def test_it_answers_as_comfyui_with_and_without_references(tmp_path: Path) -> None:
    model = loaded(tmp_path, stored())
    assert model.family is OMNIGEN2
    assert (model.shape.heads, model.shape.kv_heads, model.shape.head) == (3, 1, 12)
    references = (drawn(3, 2, 4, 2, 6), drawn(4, 2, 4, 3, 4))
    for name, call in (
        ("alone", asked(4, 6)),
        ("odd", asked(5, 3)),
        ("two", replace(asked(4, 6), references=references)),
    ):
        assert torch.allclose(omnigen2(model.module, call), SAID[name], atol=1e-4), name


def test_weights_move_words_from_a_prompt_that_is_all_padding() -> None:
    module = load_llm(in_memory(llm_tensors(SMALL, "")), torch.float32, CPU)
    reading = LlmReading("{}", (None,), pad=0, weighted=True)
    part = LlmPart(QWEN25.name, QWEN25.title, module, letters, reading)
    with torch.inference_mode():
        (states,) = part.encoded([part.chunks("a (red:1.3) fox", no_embeddings)], None)
    assert torch.allclose(states.tokens, SAID["weighted"], atol=1e-5)
    assert TEXT.fits([QWEN25])


def test_what_is_wrong_with_a_file_is_named(tmp_path: Path) -> None:
    missing, misshapen = stored(), stored()
    del missing["ref_image_refiner.0.feed_forward.linear_3.weight"]
    with pytest.raises(BadModelFile, match=r"ref_image_refiner\.0\.feed_forward\.w3"):
        loaded(tmp_path, missing)
    misshapen["image_index_embedding"] = torch.zeros(4, 36)
    with pytest.raises(BadModelFile, match=r"image_index_embedding' is \(4, 36\), not \(5, 36\)"):
        loaded(tmp_path, misshapen)
    del missing["x_embedder.weight"]
    with pytest.raises(BadModelFile, match=r"incomplete.*x_embedder"):
        loaded(tmp_path, missing)


def test_more_pictures_than_it_tells_apart_are_refused(tmp_path: Path) -> None:
    model = loaded(tmp_path, stored())
    frame = Frame(
        torch.zeros(1, 16, 4, 6),
        None,
        model_sampling(model.parameterization, ()),
        model.latent_format,
    )
    picture = torch.zeros(1, 16, 2, 2)
    said = Condition(torch.zeros(1, 5, 24), extras={"reference_latents": [picture] * 6})
    with pytest.raises(TooManyReferencesError, match="6 pictures; OmniGen2 takes at most 5"):
        OMNIGEN2.embed(model, said, "positive", frame)
