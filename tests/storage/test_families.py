"""Every known family is told by its files' headers, and those that are not served are refused."""

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from graph.families import BY_NAME, FAMILIES, title_of
from graph.family_marks import Family
from graph.model_files.header import Entry, Header
from graph.recognition import family_of, recognised
from storage.models.checks import facts_of
from storage.models.kinds import PLACES
from tests.family_layouts import (
    LORAS,
    NETWORKS,
    OTHERS,
    Shapes,
    lora_shapes,
    shapes_of,
)

CONTRACT = Path(__file__).parent.parent / "contract"
RECORDED: Mapping[str, tuple[str, str]] = {
    **{
        f"wan{name}": ("wan", "diffusion_model")
        for name in ("_t2v", "_i2v", "_flf2v", "22_i2v", "22_5b", "_fun_control", "_vace")
    },
    "wan_vae": ("wan", "vae"),
    "wan22_vae": ("wan", "vae"),
    "umt5xxl_cut": ("wan", "text_encoder"),
    "qwen_image": ("qwen_image", "diffusion_model"),
    "qwen25vl_cut": ("qwen_image", "text_encoder"),
    "qwen_diffsynth_control": ("qwen_image", "controlnet"),
    "svd_unet": ("svd", "diffusion_model"),
    "svd_vae": ("svd", "vae"),
    "z_image": ("z_image", "diffusion_model"),
    "qwen3_4b_cut": ("z_image", "text_encoder"),
    "flux2_klein": ("flux2", "diffusion_model"),
    "flux2_guided": ("flux2", "diffusion_model"),
    "flux2_vae": ("flux2", "vae"),
    "chroma": ("chroma", "diffusion_model"),
    "lumina2": ("lumina2", "diffusion_model"),
    "gemma2_cut": ("lumina2", "text_encoder"),
    "ltxv": ("ltxv", "diffusion_model"),
    "ltxv_vae": ("ltxv", "vae"),
    "dit_flux_dev": ("flux", "diffusion_model"),
    "dit_flux_schnell": ("flux", "diffusion_model"),
    "dit_sd3": ("sd3", "diffusion_model"),
}
DAMAGED = re.compile("incomplete|damaged|no U-Net|unknown family")


def header(shapes: Shapes) -> Header:
    return Header({name: Entry(tuple(shape), "BF16") for name, shape in shapes.items()}, {})


def recorded() -> Mapping[str, Shapes]:
    found: dict[str, Shapes] = json.loads(
        gzip.decompress((CONTRACT / "family_shapes.json.gz").read_bytes())
    )
    return found


def files() -> Iterator[tuple[str, str, Shapes]]:
    """Family, kind and tensors of every layout there is."""
    shapes = recorded()
    for name, (family, kind) in RECORDED.items():
        yield family, kind, shapes[name]
    for family, layouts in NETWORKS.items():
        yield from ((family, "diffusion_model", shapes_of(layout)) for layout in layouts)
    for (family, kind), layouts in OTHERS.items():
        yield from ((family, kind, shapes_of(layout)) for layout in layouts)
    for family, layers in LORAS.items():
        yield from ((family, "lora", lora_shapes(*layer)) for layer in layers)


FILES = list(files())
IDS = [f"{kind}-{family}-{number}" for number, (family, kind, _) in enumerate(FILES)]


def prefixed(shapes: Shapes, prefix: str) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def scaled(shapes: Shapes) -> Shapes:
    """As an 8-bit file with a scale beside each matrix."""
    scales = {
        f"{name.removesuffix('weight')}scale_weight": ()
        for name in shapes
        if name.endswith("weight")
    }
    return {**shapes, **scales, "scaled_fp8": (0,)}


def test_every_family_has_a_layout_that_it_is_told_by() -> None:
    told = {family for family, kind, _ in FILES if kind == "diffusion_model"}
    untold = {family.name for family in FAMILIES if not family.networks}
    assert told == BY_NAME.keys() - untold
    assert len(BY_NAME) == len(FAMILIES)


@pytest.mark.parametrize(("family", "kind", "shapes"), FILES, ids=IDS)
def test_a_file_is_of_its_family_and_refused_by_name_where_that_is_not_served(
    family: str, kind: str, shapes: Shapes
) -> None:
    for folder in ("", *PLACES):
        facts = facts_of(header(shapes), folder)
        assert (facts.kind.replace("checkpoint", "diffusion_model"), facts.family) == (kind, family)
        if BY_NAME[family].served:
            assert facts.problem is None or " is not served" not in facts.problem
        else:
            assert facts.problem is not None
            assert "which is not served here" in facts.problem
            assert not DAMAGED.search(facts.problem)
            assert len(facts.problem) <= 200
    if kind == "diffusion_model":
        assert family_of(header(shapes).tensors) is BY_NAME[family]


NETWORK_FILES = [
    (family, shapes) for family, kind, shapes in FILES
    if kind == "diffusion_model"
    and not any(name.startswith("model.diffusion_model.") for name in shapes)
]  # fmt: skip


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "diffusion_model.", "model.", "net."])
@pytest.mark.parametrize(("family", "shapes"), NETWORK_FILES)
def test_prefixes_scales_and_what_lies_beside_a_network_do_not_hide_its_family(
    family: str, shapes: Shapes, prefix: str
) -> None:
    beside = {
        "vae.decoder.conv_in.weight": (4, 4),
        "text_encoders.qwen3.model.layers.0.self_attn.q_norm.weight": (4,),
        "text_encoders.t5xxl.transformer.shared.weight": (4, 4),
    }
    for tensors in (prefixed(shapes, prefix), scaled(prefixed(shapes, prefix))):
        found = family_of(header({**tensors, **beside}).tensors)
        assert found is BY_NAME[family]


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "diffusion_model.", "unet."])
@pytest.mark.parametrize(
    ("width", "family"),
    [(768, "sd15"), (1024, "sd20"), (2048, "sdxl"), (1280, "refiner"), (64, None)],
)
@pytest.mark.parametrize(
    "first", ["input_blocks.0.0.weight", "down_blocks.0.resnets.0.norm1.weight"]
)
def test_a_u_net_is_told_by_the_text_that_it_reads(
    prefix: str, width: int, family: str | None, first: str
) -> None:
    text = "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
    shapes = prefixed({f"{first}.weight": (320, 4, 3, 3), text: (640, width)}, prefix)
    assert family_of(header(shapes).tensors) is (BY_NAME[family] if family else None)
    assert facts_of(header(shapes), "diffusion_models").problem is None


def test_the_message_names_the_family_and_what_the_file_is() -> None:
    shapes = recorded()
    problems = {name: facts_of(header(shapes[name]), "").problem for name in RECORDED}
    for name, said in (("", "a diffusion model"), ("vae", "an autoencoder")):
        shapes_there = shapes_of(OTHERS["mochi", name][0] if name else NETWORKS["mochi"][0])
        problem = facts_of(header(shapes_there), "").problem
        assert problem == f"it is {said} of Mochi, which is not served here"
    assert {problems[name] for name in ("wan_t2v", "wan_vae", "qwen25vl_cut")} == {None}
    shared = facts_of(header(shapes_of(OTHERS["hidream", "text_encoder"][0])), "").problem
    assert shared == (
        "it is a text encoder of HiDream and HunyuanVideo (Llama 3), which is not served here"
    )


@pytest.mark.parametrize("name", ["t5xxl_cut", "vae", "vae16", "clip_l"])
def test_files_that_served_families_share_have_no_family(name: str) -> None:
    found = recognised(header(recorded()[name]).tensors)
    assert found is None or found.family.served


def test_a_transformer_of_no_known_family_is_said_to_be_unknown() -> None:
    strange = {"transformer_blocks.0.attn.to_q.weight": (4, 4), "odd_embedder.weight": (4, 4)}
    facts = facts_of(header(strange), "diffusion_models")
    assert facts.problem is not None
    assert "a diffusion model of an unknown family" in facts.problem


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_title_is_what_people_call_a_family(family: Family) -> None:
    assert title_of(family.name) == family.title
    assert title_of("none of them") == "none of them"
