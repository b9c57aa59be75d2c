"""ComfyUI_essentials: pictures fitted, cut and sharpened, and small sums."""

from typing import Annotated, Any, Literal

from graph.arithmetic import Language, evaluate, finite, rounded, total
from graph.node import Hidden, MayBeAbsent, Widget, node
from graph.stages import Stage
from graph.stages.fitting import Fit, FitMethod, Fitting
from graph.stages.image import Pictures, Sizes
from graph.stages.output import OutputFunctions
from graph.values import Image, Link, Mask

PICTURES = "essentials/image manipulation"
NUMBERS = "essentials/utilities"
LARGEST = 0xFFFFFFFFFFFFFFFF
Side = Annotated[int, Widget(min=0, max=16384, step=1)]
Part = Annotated[int, Widget(min=0, max=16384, step=8)]
Offset = Annotated[int, Widget(min=-99999, step=1)]
Share = Annotated[float, Widget(min=0.0, max=1.0, step=0.05)]
Operand = Annotated[Any, Link("*"), MayBeAbsent()]
Line = Annotated[str, Widget(multiline=False)]
FitWay = Literal["stretch", "keep proportion", "fill / crop", "pad"]
FitIf = Literal[
    "always", "downscale if bigger", "upscale if smaller", "if bigger area", "if smaller area"
]
Position = Literal[
    "top-left",
    "top-center",
    "top-right",
    "right-center",
    "bottom-right",
    "bottom-center",
    "bottom-left",
    "left-center",
    "center",
]


@node(
    "ImageResize+",
    runs_on=Stage.IMAGE,
    display_name="🔧 Image Resize",
    category=PICTURES,
    outputs=("IMAGE", "width", "height"),
)
def resize_image(
    fitting: Fitting,
    *,
    image: Image,
    width: Side = 512,
    height: Side = 512,
    interpolation: FitMethod = "nearest",
    method: FitWay = "stretch",
    condition: FitIf = "always",
    multiple_of: Annotated[int, Widget(min=0, max=512, step=1)] = 0,
) -> tuple[Image, int, int]:
    """Bring pictures to a size, or into it, or only those that are larger or smaller."""
    fit = Fit(method, condition)
    return fitting.fit_image(image, (width, height), fit, interpolation, multiple_of=multiple_of)


@node(
    "ImageCrop+",
    runs_on=Stage.IMAGE,
    display_name="🔧 Image Crop",
    category=PICTURES,
    outputs=("IMAGE", "x", "y"),
)
def crop_image(
    fitting: Fitting,
    *,
    image: Image,
    width: Part = 256,
    height: Part = 256,
    position: Position,
    x_offset: Offset = 0,
    y_offset: Offset = 0,
) -> tuple[Image, int, int]:
    """Cut a rectangle at a named place out of pictures."""
    return fitting.crop_at(image, (width, height), position, (x_offset, y_offset))


@node(
    "GetImageSize+",
    runs_on=Stage.IMAGE,
    display_name="🔧 Get Image Size",
    category="essentials/image utils",
    outputs=("width", "height", "count"),
)
def image_size(sizes: Sizes, *, image: Image) -> tuple[int, int, int]:
    """Give the width and height of pictures, and how many there are."""
    return sizes.image_size(image)


@node(
    "ImageCASharpening+",
    runs_on=Stage.IMAGE,
    display_name="🔧 Image Contrast Adaptive Sharpening",
    category="essentials/image processing",
)
def sharpen_adaptively(fitting: Fitting, *, image: Image, amount: Share = 0.8) -> Image:
    """Sharpen pictures, less where the contrast is strong."""
    return fitting.sharpen_adaptively(image, amount)


@node(
    "ImageFromBatch+",
    runs_on=Stage.IMAGE,
    display_name="🔧 Image From Batch",
    category="essentials/image batch",
)
def images_from_batch(
    pictures: Pictures,
    *,
    image: Image,
    start: Annotated[int, Widget(min=0, step=1)] = 0,
    length: Annotated[int, Widget(min=-1, step=1)] = -1,
) -> Image:
    """Take some pictures out of a batch; with -1 all after the first of them."""
    _, _, count = pictures.image_size(image)
    return pictures.images_from_batch(image, start, length if length >= 0 else count)


def _operand(value: Any) -> Any:
    """A number, a text read as one, or the shape of a tensor."""
    if hasattr(value, "shape"):
        return list(value.shape)
    return float(value) if isinstance(value, str) else value


LANGUAGE = Language({"min": min, "max": max, "round": rounded, "sum": total, "len": len})


def _sum(text: str, name: str, **operands: Any) -> tuple[int, float]:
    values = {name: _operand(value) for name, value in operands.items()}
    result = evaluate(text, values, LANGUAGE, name)
    number = int(result) if isinstance(result, bool) else result
    return round(finite(number, text, name)), number


@node("SimpleMath+", runs_on=Stage.INLINE, display_name="🔧 Simple Math", category=NUMBERS)
def simple_math(
    *, a: Operand = 0.0, b: Operand = 0.0, c: Operand = 0.0, value: Line = ""
) -> tuple[int, float]:
    """Compute an expression of a, b and c: numbers, or the shapes of pictures."""
    return _sum(value, "value", a=a, b=b, c=c)


@node(
    "SimpleMathDual+",
    runs_on=Stage.INLINE,
    display_name="🔧 Simple Math Dual",
    category=NUMBERS,
    outputs=("int_1", "float_1", "int_2", "float_2"),
)
def simple_math_dual(
    *,
    a: Operand = 0.0,
    b: Operand = 0.0,
    c: Operand = 0.0,
    d: Operand = 0.0,
    value_1: Line = "",
    value_2: Line = "",
) -> tuple[int, float, int, float]:
    """Compute two expressions of a, b, c and d."""
    first = _sum(value_1, "value_1", a=a, b=b, c=c, d=d)
    return *first, *_sum(value_2, "value_2", a=a, b=b, c=c, d=d)


@node("SimpleMathInt+", runs_on=Stage.INLINE, display_name="🔧 Simple Math Int", category=NUMBERS)
def simple_int(*, value: Annotated[int, Widget(min=-LARGEST, max=LARGEST, step=1)] = 0) -> int:
    """Give a whole number."""
    return value


@node(
    "SimpleMathFloat+", runs_on=Stage.INLINE, display_name="🔧 Simple Math Float", category=NUMBERS
)
def simple_float(
    *, value: Annotated[float, Widget(min=-LARGEST, max=LARGEST, step=0.05)] = 0.0
) -> float:
    """Give a number."""
    return value


@node("SimpleComparison+", runs_on=Stage.INLINE, category=NUMBERS)
def simple_comparison(
    *,
    a: Annotated[Any, Link("*")] = 0,
    b: Annotated[Any, Link("*")] = 0,
    comparison: Literal["==", "!=", "<", "<=", ">", ">="],
) -> bool:
    """Compare two values."""
    return bool(evaluate(f"a {comparison} b", {"a": a, "b": b}, LANGUAGE, "a"))


@node(
    "MaskPreview+",
    runs_on=Stage.OUTPUT,
    display_name="🔧 Mask Preview",
    category="essentials/mask",
    output_node=True,
)
async def preview_mask(
    outputs: OutputFunctions,
    *,
    mask: Mask,
    prompt: Annotated[object, Hidden.PROMPT] = None,  # noqa: ARG001 - `outputs` has both
    extra_pnginfo: Annotated[object, Hidden.EXTRA_PNGINFO] = None,  # noqa: ARG001
) -> None:
    """Show masks as grey pictures without keeping them for long."""
    await outputs.save_images(mask[..., None], "ComfyUI", temporary=True)
