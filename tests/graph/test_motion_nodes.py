"""AnimateDiff's nodes describe: what they apply to a model, in which order."""

from graph.motion import BETA_SCHEDULE, EVOLVED, Context, Motion, MotionModel, Multival, Windows
from graph.nodes.packs.animatediff import (
    apply_motion,
    load_first_generation,
    load_motion_lora,
    motion_keyframe,
    use_evolved_sampling,
)
from graph.nodes.packs.animatediff_contexts import (
    batched_context,
    looped_context,
    static_context,
    static_view,
    views_alone,
)
from graph.values import Model, ModelFile

MODEL = Model(ModelFile("checkpoints", "sd15.safetensors"))
FILE = ModelFile("animatediff_models", "mm.safetensors")
OTHER = ModelFile("animatediff_models", "other.safetensors")
LORA = ModelFile("animatediff_motion_lora", "zoom.safetensors")


def test_the_module_chooses_the_schedule_unless_it_is_named() -> None:
    chosen = load_first_generation(model=MODEL, model_name=FILE)
    assert [change.kind for change in chosen.changes] == [EVOLVED, BETA_SCHEDULE]
    assert (chosen.changes[1]["name"], chosen.changes[1]["motion"]) == ("", FILE)
    named = load_first_generation(model=MODEL, model_name=FILE, beta_schedule="lcm")
    assert named.changes[1]["name"] == "lcm"
    kept = load_first_generation(model=MODEL, model_name=FILE, beta_schedule="use existing")
    assert [change.kind for change in kept.changes] == [EVOLVED]


def test_the_module_that_is_applied_last_chooses_the_schedule() -> None:
    first = apply_motion(motion_model=MotionModel(FILE), end_percent=0.5)
    both = apply_motion(motion_model=MotionModel(OTHER), prev_m_models=first)
    assert [motion.file for motion in both] == [OTHER, FILE]
    model = use_evolved_sampling(model=MODEL, m_models=both)
    assert model.changes[0]["evolved"].motions == both
    assert model.changes[1]["motion"] == OTHER


def test_loras_and_keyframes_are_added_up() -> None:
    loras = load_motion_lora(name=LORA, strength=0.3)
    loras = load_motion_lora(name=LORA, strength=0.4, prev_motion_lora=loras)
    keyframes = motion_keyframe(start_percent=0.5, scale_multival=Multival(2.0))
    keyframes = motion_keyframe(start_percent=0.2, prev_ad_keyframes=keyframes)
    model = load_first_generation(
        model=MODEL, model_name=FILE, motion_lora=loras, ad_keyframes=keyframes
    )
    motion = model.changes[0]["evolved"].motions[0]
    assert isinstance(motion, Motion)
    assert [lora.strength for lora in motion.loras] == [0.3, 0.4]
    assert [keyframe.start_percent for keyframe in motion.keyframes] == [0.5, 0.2]


def test_contexts_follow_one_another() -> None:
    view = static_view(view_length=8, view_overlap=2)
    contexts = static_context(context_length=6, context_overlap=2, view_opts=view)
    contexts = looped_context(closed_loop=True, start_percent=0.3, prev_context=contexts)
    contexts = batched_context(context_length=5, prev_context=contexts)
    assert contexts == (
        Context(Windows("standard_static", 6, 2, fuse_method="pyramid"), view=view),
        Context(Windows("looped_uniform", 16, 4, closed_loop=True), start_percent=0.3),
        Context(Windows("batched", 5)),
    )
    (alone,) = views_alone(view_opts_req=view)
    assert alone.windows.schedule == "view_as_context"
    assert alone.view == view
