"""KJNodes: constants, sizes, pictures resized and matched in colour, masks grown."""

from typing import Annotated, Literal

from graph.choices import ColorMatching
from graph.node import Choices, Files, MayBeAbsent, Widget, node
from graph.nodes.loaders import load_vae
from graph.stages import Stage
from graph.stages.fitting import Fitting, Growth, PaddedFit, Proportions
from graph.stages.image import Sizes
from graph.values import Image, Mask, Model, ModelFile, Vae

CONSTANTS, PICTURES = "KJNodes/constants", "KJNodes/image"
LARGEST = 0xFFFFFFFFFFFFFFFF
Side = Annotated[int, Widget(min=0, max=16384, step=1)]
Grown = Annotated[int, Widget(min=-16384, max=16384, step=1)]
Rate = Annotated[float, Widget(min=0.0, max=100.0, step=0.1)]
Share = Annotated[float, Widget(min=0.0, max=1.0, step=0.01)]
Method = Literal["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]


@node(
    "INTConstant",
    runs_on=Stage.INLINE,
    display_name="INT Constant",
    category=CONSTANTS,
    outputs=("value",),
)
def int_constant(*, value: Annotated[int, Widget(min=-LARGEST, max=LARGEST)] = 0) -> int:
    """Give a whole number."""
    return value


@node(
    "FloatConstant",
    runs_on=Stage.INLINE,
    display_name="Float Constant",
    category=CONSTANTS,
    outputs=("value",),
)
def float_constant(
    *, value: Annotated[float, Widget(min=-LARGEST, max=LARGEST, step=0.00001)] = 0.0
) -> float:
    """Give a number, with six digits after the point."""
    return round(value, 6)


@node("StringConstant", runs_on=Stage.INLINE, display_name="String Constant", category=CONSTANTS)
def string_constant(*, string: Annotated[str, Widget(multiline=False)] = "") -> str:
    """Give a text."""
    return string


@node(
    "StringConstantMultiline",
    runs_on=Stage.INLINE,
    display_name="String Constant Multiline",
    category=CONSTANTS,
)
def string_constant_multiline(
    *, string: Annotated[str, Widget(multiline=True)] = "", strip_newlines: bool = True
) -> str:
    """Give a text, as one line if that is asked for."""
    return string.replace("\n", "").strip() if strip_newlines else string


@node(
    "GetImageSizeAndCount",
    runs_on=Stage.IMAGE,
    display_name="Get Image Size & Count",
    category=PICTURES,
    outputs=("image", "width", "height", "count"),
)
def size_and_count(sizes: Sizes, *, image: Image) -> tuple[Image, int, int, int]:
    """Pass pictures on, with their width and height and how many there are."""
    return image, *sizes.image_size(image)


@node(
    "ImageResizeKJ",
    runs_on=Stage.IMAGE,
    display_name="Resize Image (deprecated)",
    category=PICTURES,
    outputs=("IMAGE", "width", "height"),
    deprecated=True,
)
def resize_image(
    fitting: Fitting,
    *,
    image: Image,
    width: Side = 512,
    height: Side = 512,
    upscale_method: Method,
    keep_proportion: bool = False,
    divisible_by: Annotated[int, Widget(min=0, max=512, step=1)] = 2,
    get_image_size: Image | None = None,
    crop: Annotated[
        Literal["disabled", "center"], Choices(("disabled", "center", 0)), MayBeAbsent()
    ] = "disabled",
) -> tuple[Image, int, int]:
    """Bring pictures to a size of their own proportions, or to another picture's."""
    return fitting.fit_image_divisible(
        image,
        (width, height),
        upscale_method,
        crop=crop or "center",  # the editor turned the value of older files to 0
        keep_proportion=keep_proportion,
        divisible_by=divisible_by,
        like=get_image_size,
    )


@node(
    "ImageResizeKJv2",
    runs_on=Stage.IMAGE,
    display_name="Resize Image v2",
    category=PICTURES,
    outputs=("IMAGE", "width", "height", "mask"),
)
def resize_image_and_mask(
    fitting: Fitting,
    *,
    image: Image,
    width: Side = 512,
    height: Side = 512,
    upscale_method: Method,
    keep_proportion: Proportions = "stretch",
    pad_color: str = "0, 0, 0",
    crop_position: Literal["center", "top", "bottom", "left", "right"] = "center",
    divisible_by: Annotated[int, Widget(min=0, max=512, step=1)] = 2,
    mask: Mask | None = None,
    device: Annotated[Literal["cpu", "gpu"], MayBeAbsent()] = "cpu",  # noqa: ARG001 - ours decide
) -> tuple[Image, int, int, Mask]:
    """Bring pictures and a mask to a size: stretched, cut, or with borders."""
    how = PaddedFit(keep_proportion, pad_color, crop_position, divisible_by)
    return fitting.fit_image_and_mask(image, mask, (width, height), how, upscale_method)


@node(
    "GrowMaskWithBlur",
    runs_on=Stage.IMAGE,
    display_name="Grow Mask With Blur",
    category="KJNodes/masking",
    outputs=("mask", "mask_inverted"),
)
def grow_mask(
    fitting: Fitting,
    *,
    mask: Mask,
    expand: Grown = 0,
    incremental_expandrate: Rate = 0.0,
    tapered_corners: bool = True,
    flip_input: bool = False,
    blur_radius: Annotated[float, Widget(min=0.0, max=100, step=0.1)] = 0.0,
    lerp_alpha: Share = 1.0,
    decay_factor: Share = 1.0,
    fill_holes: Annotated[bool, MayBeAbsent()] = False,
) -> tuple[Mask, Mask]:
    """Grow or shrink masks, more from frame to frame, and blur them."""
    how = Growth(
        expand=expand,
        incremental_expandrate=incremental_expandrate,
        tapered_corners=tapered_corners,
        flip_input=flip_input,
        blur_radius=blur_radius,
        lerp_alpha=lerp_alpha,
        decay_factor=decay_factor,
        fill_holes=fill_holes,
    )
    return fitting.grow_masks(mask, how)


@node(
    "ColorMatch",
    runs_on=Stage.IMAGE,
    display_name="Color Match",
    category=PICTURES,
    outputs=("image",),
    deprecated=True,
)
def match_colors(
    fitting: Fitting,
    *,
    image_ref: Image,
    image_target: Image,
    method: ColorMatching = "mkl",
    strength: Annotated[float, Widget(min=0.0, max=10.0, step=0.01), MayBeAbsent()] = 1.0,
    multithread: Annotated[bool, MayBeAbsent()] = True,  # noqa: ARG001 - the stage decides
) -> Image:
    """Give pictures the colours of another."""
    return fitting.match_colors(image_ref, image_target, method, strength)


@node("VAELoaderKJ", runs_on=Stage.INLINE, display_name="VAELoader KJ", category="KJNodes/vae")
def load_vae_kj(
    *,
    vae_name: Annotated[ModelFile, Files("vae")],
    device: Literal["main_device", "cpu"],  # noqa: ARG001 - our own places decide
    weight_dtype: Literal["bf16", "fp16", "fp32"],  # noqa: ARG001
) -> Vae:
    """Name an autoencoder with a file of its own."""
    return load_vae(vae_name=vae_name)


@node(
    "PathchSageAttentionKJ",
    runs_on=Stage.INLINE,
    display_name="Patch Sage Attention KJ",
    category="KJNodes/experimental",
    experimental=True,
)
def sage_attention(
    *,
    model: Model,
    sage_attention: Annotated[  # noqa: ARG001 - our attention is chosen by the service
        str,
        Choices(
            (
                "disabled",
                "auto",
                "sageattn_qk_int8_pv_fp16_cuda",
                "sageattn_qk_int8_pv_fp16_triton",
                "sageattn_qk_int8_pv_fp8_cuda",
                "sageattn_qk_int8_pv_fp8_cuda++",
                "sageattn3",
                "sageattn3_per_block_mean",
            )
        ),
    ],
    allow_compile: Annotated[bool, MayBeAbsent()] = False,  # noqa: ARG001
) -> Model:
    """Pass a model on as it is: this service attends in its own way, for the same pictures."""
    return model
