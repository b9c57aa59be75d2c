"""Nodes of packs that are others in disguise, or that no answer can be recorded for."""

from typing import Any

import pytest

from graph.folding import fold
from graph.model_fit import misfits
from graph.nodes import load_node_types
from graph.nodes.loaders import load_checkpoint_with_config
from graph.nodes.packs.comfy_deploy import external_image, external_seed
from graph.nodes.packs.comfyroll import apply_stack, stack_loras
from graph.nodes.packs.easy_use import boolean, number, text, whole
from graph.nodes.packs.ip_adapter_v1 import apply
from graph.nodes.packs.kjnodes import load_vae_kj, sage_attention
from graph.nodes.packs.rgthree import seed
from graph.nodes.packs.was import load_text
from graph.plan import ExecutionGraph
from graph.problems import WorkflowInvalidError
from graph.prompt import Node, Source
from graph.results import Expansion
from graph.validation import Uploads, validate
from graph.values import Clip, InputFile, Model, ModelFile, Vae
from graph.workflow import read_workflow
from tests.graph.nodes_for_tests import TwoFiles

TYPES = load_node_types()
FILE = ModelFile("checkpoints", "a.safetensors")


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


class TwoOfEach(TwoFiles):
    """A models folder with two files in each of its folders."""

    def models(self, folder: str) -> list[str]:
        return super().models("checkpoints")


def folded(document: dict[str, Any]) -> ExecutionGraph:
    checked = validate(read_workflow(document, {}), TYPES, TwoOfEach(), Uploads())
    graph = fold(checked, node_types=TYPES)
    assert misfits(checked, graph, lambda _: "") == ()  # it looks at nodes of expansions too
    return graph


def drawing(**prompts: dict[str, Any]) -> dict[str, Any]:
    """A workflow that draws by the prompt called `positive`."""
    links = {"model": ["model", 0], "positive": ["positive", 0], "negative": ["positive", 0]}
    how = {"seed": 1, "steps": 1, "cfg": 1, "sampler_name": "euler", "scheduler": "normal"}
    return {
        "model": node("CheckpointLoaderSimple", ckpt_name="a.safetensors"),
        "latent": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        **prompts,
        "drawn": node("KSampler", **links, latent_image=["latent", 0], **how, denoise=1.0),
        "image": node("VAEDecode", samples=["drawn", 0], vae=["model", 2]),
        "saved": node("PreviewImage", images=["image", 0]),
    }


def test_a_text_becomes_a_prompt_as_our_own_node_makes_it() -> None:
    words = node("Text Multiline", text="# not this\na fox")
    prompt = node("Text to Conditioning", clip=["model", 1], text=["words", 0])
    steps = folded(drawing(words=words, positive=prompt)).steps.values()
    (encoding,) = [step for step in steps if step.class_type == "CLIPTextEncode"]
    assert encoding.constants["text"] == "a fox"


def test_a_switch_takes_links_by_any_number() -> None:
    prompt = node("CLIPTextEncode", clip=["model", 1], text="a fox")
    chosen = node("Any Switch (rgthree)", any_02=["prompt", 0], any_07=["model", 0])
    plan = folded(drawing(prompt=prompt, positive=chosen))
    assert {"drawn", "prompt"} <= plan.steps.keys()


def test_pairs_are_combined_each_on_its_own_side() -> None:
    a, b, c, d = (Source(name, 0) for name in "abcd")
    given = TYPES["PairConditioningCombine"].function(
        positive_A=a, negative_A=b, positive_B=c, negative_B=d
    )
    assert isinstance(given, Expansion)
    assert given.nodes["positive"].inputs == {"conditioning_1": a, "conditioning_2": c}
    assert given.nodes["negative"].inputs == {"conditioning_1": b, "conditioning_2": d}


@pytest.mark.parametrize(
    ("unfold", "class_type"), [(False, "IPAdapterAdvanced"), (True, "IPAdapterBatch")]
)
def test_the_old_name_of_the_ip_adapter_is_the_new_node(unfold: bool, class_type: str) -> None:
    links: dict[str, Any] = {
        name: Source(name, 0) for name in ("ipadapter", "clip_vision", "image", "model")
    }
    how: dict[str, Any] = {"weight": 0.5, "noise": 0.1, "weight_type": "original"}
    when: dict[str, Any] = {"start_at": 0.0, "end_at": 1.0, "unfold_batch": unfold}
    given = apply(**links, **how, **when, attn_mask=None)
    assert isinstance(given, Expansion)
    applied: Node = given.nodes["applied"]
    assert applied.class_type == class_type
    declared = TYPES[class_type].inputs
    assert applied.inputs.keys() <= declared.keys()
    needed = {name for name, one in declared.items() if one.required and "default" not in name}
    assert {n for n in needed if n != "encode_batch_size"} <= applied.inputs.keys()


@pytest.mark.parametrize(
    ("config", "skips", "predicts_v"),
    [
        ("v1-inference.yaml", False, False),
        ("anything_v3.yaml", True, False),
        ("v1-inference_clip_skip_2_fp16.yaml", True, False),
        ("v2-inference-v_fp32.yaml", False, True),
    ],
)
def test_a_config_says_what_a_checkpoint_cannot(config: str, skips: bool, predicts_v: bool) -> None:
    model, clip, _ = load_checkpoint_with_config(config_name=config, ckpt_name=FILE)
    assert clip.stop_at_layer == (-2 if skips else None)
    assert bool(model.changes) == predicts_v


def test_patches_of_the_machine_change_no_model() -> None:
    model = Model(FILE)
    assert sage_attention(model=model, sage_attention="auto") == model
    vae = load_vae_kj(vae_name=FILE, device="cpu", weight_dtype="bf16")
    assert vae == Vae(FILE)


def test_random_seeds_are_within_their_limits() -> None:
    label: dict[str, Any] = {"display_name": "", "description": ""}
    drawn = {external_seed(min_value=3, max_value=5, **label) for _ in range(50)}
    assert drawn <= {3, 4, 5}
    assert len({seed(seed=-1) for _ in range(5)}) > 1
    assert external_image(default_value="a picture", **label) == "a picture"


def test_constants_are_given_as_they_are() -> None:
    assert (text(value="a"), whole(value=3), number(value=0.5), boolean(value=True)) == (
        "a",
        3,
        0.5,
        True,
    )


def test_what_goes_through_a_pipe_is_linked_directly() -> None:
    prompt = node("CLIPTextEncode", clip=["model", 1], text="a fox")
    other = node("CLIPTextEncode", clip=["model", 1], text="a cat")
    parts = {"model": ["model", 0], "clip": ["model", 1], "vae": ["model", 2]}
    pipe = node("ToBasicPipe", **parts, positive=["prompt", 0], negative=["prompt", 0])
    edited = node("EditBasicPipe", basic_pipe=["pipe", 0], negative=["other", 0])
    taken = node("FromBasicPipe_v2", basic_pipe=["edited", 0])
    document = drawing(prompt=prompt, other=other, pipe=pipe, edited=edited, taken=taken)
    document["drawn"]["inputs"] |= {
        "model": ["taken", 1],
        "positive": ["taken", 4],
        "negative": ["taken", 5],
    }
    document["image"]["inputs"]["vae"] = ["taken", 3]
    steps = folded(document).steps
    assert steps.keys() == {"prompt", "other", "latent", "drawn", "image", "saved"}
    drawn = steps["drawn"]
    assert isinstance(drawn.constants["model"], Model)
    assert drawn.links["positive"] == Source("prompt", 0)
    assert drawn.links["negative"] == Source("other", 0)


def test_what_goes_through_a_context_is_linked_directly() -> None:
    prompt = node("CLIPTextEncode", clip=["model", 1], text="a fox")
    other = node("CLIPTextEncode", clip=["model", 1], text="a cat")
    first = node("Context (rgthree)", model=["model", 0], positive=["other", 0], seed=4)
    second = node("Context Big (rgthree)", vae=["model", 2], positive=["prompt", 0], steps=3)
    merged = node("Context Merge Big (rgthree)", ctx_01=["first", 0], ctx_02=["second", 0])
    document = drawing(prompt=prompt, other=other, first=first, second=second, merged=merged)
    links = {"model": 1, "positive": 4, "negative": 4, "seed": 8, "steps": 9}
    document["drawn"]["inputs"] |= {name: ["merged", slot] for name, slot in links.items()}
    document["image"]["inputs"]["vae"] = ["merged", 3]
    steps = folded(document).steps
    drawn = steps["drawn"]
    assert drawn.links["positive"] == Source("prompt", 0)
    assert (drawn.constants["seed"], drawn.constants["steps"]) == (4, 3)
    assert isinstance(steps["image"].constants["vae"], Vae)


def test_loras_are_loaded_that_are_on() -> None:
    loras = {
        "lora_1": {"on": True, "lora": "a.safetensors", "strength": 0.5},
        "lora_2": {"on": False, "lora": "gone.safetensors", "strength": 1},
        "lora_3": {"on": True, "lora": "b.safetensors", "strength": 0, "strengthTwo": 0.25},
        "lora_4": {"on": True, "lora": "None", "strength": 1},
        "PowerLoraLoaderHeaderWidget": {"type": "PowerLoraLoaderHeaderWidget"},
    }
    loader = node("Power Lora Loader (rgthree)", model=["model", 0], clip=["model", 1], **loras)
    prompt = node("CLIPTextEncode", clip=["loader", 1], text="a fox")
    document = drawing(loader=loader, positive=prompt)
    document["drawn"]["inputs"]["model"] = ["loader", 0]
    steps = folded(document).steps
    on_model, on_clip = steps["drawn"].constants["model"], steps["positive"].constants["clip"]
    assert [(one["file"].name, one["strength"]) for one in on_model.changes] == [
        ("a.safetensors", 0.5)
    ]
    assert [(one["file"].name, one["strength"]) for one in on_clip.changes] == [
        ("a.safetensors", 0.5),
        ("b.safetensors", 0.25),
    ]
    loader["inputs"]["lora_2"]["on"] = True
    with pytest.raises(WorkflowInvalidError, match=r"gone\.safetensors"):
        folded(document)


def test_efficient_nodes_are_those_of_comfyui() -> None:
    one = {"lora_name_1": "a.safetensors", "lora_wt_1": 0.5, "model_str_1": 1, "clip_str_1": 1}
    count = {"input_mode": "simple", "lora_count": 1}
    share = {"strength": 1, "start_percent": 0, "end_percent": 1}
    net = node("ControlNetLoader", control_net_name="a.safetensors")
    hint = node("EmptyImage", width=64, height=64, batch_size=1, color=0)
    prompts = {"positive": "a fox", "negative": "", "token_normalization": "none"}
    files = {"ckpt_name": "a.safetensors", "vae_name": "Baked VAE", "lora_name": "None"}
    strengths = {"lora_model_strength": 1, "lora_clip_strength": 1, "clip_skip": -2}
    size = {"empty_latent_width": 64, "empty_latent_height": 128, "batch_size": 1}
    stacks = {"lora_stack": ["loras", 0], "cnet_stack": ["nets", 0]}
    loader = {**files, **strengths, **prompts, **size, **stacks, "weight_interpretation": "comfy"}
    names = ("model", "positive", "negative", "latent_image", "optional_vae")
    linked = {name: ["loader", k] for k, name in enumerate(names)}
    how = {"seed": 1, "steps": 4, "cfg": 7, "sampler_name": "euler", "scheduler": "AYS SD1"}
    shown = {"denoise": 0.5, "preview_method": "auto", "vae_decode": "true"}
    document = {
        "loras": node("LoRA Stacker", **count, **one),
        "net": net,
        "hint": hint,
        "nets": node("Control Net Stacker", control_net=["net", 0], image=["hint", 0], **share),
        "loader": node("Efficient Loader", **loader),
        "drawn": node("KSampler (Efficient)", **linked, **how, **shown),
    }
    graph = folded(document)
    steps = {step.class_type: step for step in graph.steps.values()}
    assert steps["SplitSigmas"].constants["step"] == 4  # of the 8 that half the noise stands for
    assert steps["AlignYourStepsScheduler"].constants["steps"] == 8
    assert steps["SamplerCustom"].constants["noise_seed"] == 1
    assert steps["EmptyLatentImage"].constants["height"] == 128
    (change,) = steps["SamplerCustom"].constants["model"].changes
    assert (change["file"].name, change["strength"]) == ("a.safetensors", 0.5)
    assert steps["CLIPTextEncode"].constants["clip"].stop_at_layer == -2
    assert {"ControlNetApplyAdvanced", "VAEDecode", "PreviewImage"} <= steps.keys()
    document["loader"]["inputs"]["weight_interpretation"] = "A1111"
    with pytest.raises(WorkflowInvalidError, match="A1111"):
        folded(document)


def test_a_switch_that_is_told_late_chooses_between_links() -> None:
    picture = node("EmptyImage", width=8, height=8, batch_size=1, color=0)
    size = node("GetImageSize+", image=["picture", 0])
    late = node("ImpactSwitch", select=["size", 2], sel_mode=False, input1=["picture", 0])
    saved = node("PreviewImage", images=["late", 0])
    steps = folded({"picture": picture, "size": size, "late": late, "saved": saved}).steps
    (choice,) = [step for step in steps.values() if step.class_type == "comfyray.Choose"]
    assert choice.links.keys() == {"select"}
    assert choice.constants["input_1"] == Source("picture", 0)


def test_pictures_are_saved_in_the_form_that_their_node_says() -> None:
    how: dict[str, Any] = {
        name: declared.default if declared.choices is None else declared.choices[0]
        for name, declared in TYPES["Image Save"].inputs.items()
        if name != "images"
    }
    how |= {"extension": "jpg", "quality": 70, "output_path": "at/[time(%Y)]"}
    picture = node("EmptyImage", width=8, height=8, batch_size=1, color=0)
    document = {"picture": picture, "saved": node("Image Save", images=["picture", 0], **how)}
    (saving,) = [s for s in folded(document).steps.values() if s.class_type != "EmptyImage"]
    assert saving.constants["filename_prefix"].startswith("at/20")
    assert saving.constants["form"].extension == "jpg"
    document["saved"]["inputs"]["output_path"] = "../.."
    with pytest.raises(WorkflowInvalidError, match="leads out of its folder"):
        folded(document)


def test_an_uploaded_text_is_read_without_its_comments() -> None:
    name = "[filename]"
    content = b"a\r\n# b\nc"
    file = InputFile("notes.v1.txt", content, "")
    assert load_text(file_path=file, dictionary_name=name) == ("a\nc", {"notes": ["a", "c"]})


def test_a_stack_of_loras_is_laid_in_its_order() -> None:
    first, second = (ModelFile("loras", name) for name in ("a", "b"))

    def stacked(below: Any, **on: Any) -> Any:
        off = {
            f"{what}_{k}": value
            for k in (1, 2, 3)
            for what, value in {
                "switch": "Off",
                "lora_name": "None",
                "model_weight": 1.0,
                "clip_weight": 0.5,
            }.items()
        }
        return stack_loras(**{**off, **on, "lora_stack": below})[0]

    below = stacked(None, switch_2="On", lora_name_2=first, switch_1="On")
    stack = stacked(below, switch_3="On", lora_name_3=second, lora_name_1=first)
    assert stack == ((first, 1.0, 0.5), (second, 1.0, 0.5))
    model, clip, _ = apply_stack(model=Model(FILE), clip=Clip((FILE,)), lora_stack=stack)
    assert [change["file"] for change in model.changes] == [first, second]
    assert [change["strength"] for change in clip.changes] == [0.5, 0.5]


def test_models_are_checked_behind_inputs_that_no_type_declares() -> None:
    images = {f"images.image{k}": ["picture", 0] for k in range(3)}
    document = {
        "picture": node("EmptyImage", width=8, height=8, batch_size=1, color=0),
        "other": node("Any Switch (rgthree)", any_09=["picture", 0]),
        "batch": node("BatchImagesNode", **images, **{"images.image3": ["other", 0]}),
        "saved": node("PreviewImage", images=["batch", 0]),
    }
    assert folded(document).steps.keys() >= {"batch", "saved"}
