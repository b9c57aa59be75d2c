"""Finds the nodes that change the inside of a model, which is not in a pack's process."""

import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

PATCHES = frozenset(
    {
        "add_object_patch", "add_patches", "add_weight_wrapper", "add_wrapper", "diffusion_model",
        "add_wrapper_with_key", "get_model_object", "model_options", "set_injections",
        "set_model_attn1_output_patch", "set_model_attn1_patch", "set_model_attn1_replace",
        "set_model_attn2_output_patch", "set_model_attn2_patch", "set_model_attn2_replace",
        "set_model_denoise_mask_function", "set_model_double_block_patch",
        "set_model_input_block_patch", "set_model_input_block_patch_after_skip",
        "set_model_output_block_patch", "set_model_patch", "set_model_patch_replace",
        "set_model_sampler_cfg_function", "set_model_sampler_post_cfg_function",
        "set_model_sampler_pre_cfg_function", "set_model_unet_function_wrapper",
        "first_stage_model", "cond_stage_model", "get_key_patches", "model_sampling",
    }
)  # fmt: skip
TAKES = frozenset({"MODEL", "CLIP", "VAE"})


def patched_by(node_class: Any) -> str:
    """What a node that is given a model does to its inside; "" where nothing is seen."""
    given = node_class.INPUT_TYPES()
    kinds = {
        spec[0]
        for section in ("required", "optional")
        for spec in dict(given.get(section) or {}).values()
        if isinstance(spec, tuple | list) and spec and isinstance(spec[0], str)
    }
    if not kinds & TAKES:
        return ""
    names = {name for code in _code_of(node_class) for name in code.co_names}
    return min(names & PATCHES, default="")


def _code_of(node_class: Any) -> Iterator[CodeType]:
    """The code of a node's function, and of the methods of its class that it calls."""
    name = str(node_class.FUNCTION)
    names = {"execute"} if name.isupper() else {name}
    done: set[str] = set()
    while names:
        name = names.pop()
        done.add(name)
        found = inspect.getattr_static(node_class, name, None)
        function = getattr(found, "__func__", found)
        if not isinstance(function, FunctionType):
            continue
        for code in _nested(function.__code__):
            yield code
            names |= {one for one in code.co_names if one in vars(node_class)} - done


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)
