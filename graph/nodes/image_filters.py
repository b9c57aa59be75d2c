"""Pictures: scaled, filtered, blended, laid over each other."""

from typing import Annotated, Literal

from graph.choices import ScaleMethod
from graph.node import Choices, Widget, node
from graph.stages import Stage
from graph.stages.image import Filters
from graph.values import Image, Mask

Method = Literal["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
Crop = Literal["disabled", "center"]
Size = Annotated[int, Widget(min=0, max=16384, step=1)]  # 0: as the other side wants it
Pixels = Annotated[int, Widget(min=1, max=16384, step=1)]
Radius = Annotated[int, Widget(min=1, max=31, step=1)]
Share = Annotated[float, Widget(min=0.0, max=1.0, step=0.01)]
Threshold = Annotated[float, Widget(min=0.01, max=0.99, step=0.01)]
Seed = Annotated[int, Widget(min=0, max=2**64 - 1, control_after_generate=True)]
BlendMode = Literal["normal", "multiply", "screen", "overlay", "soft_light", "difference"]
Dither = Literal["none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16"]
MorphologyOperation = Literal[
    "erode", "dilate", "open", "close", "gradient", "bottom_hat", "top_hat"
]


@node("ImageScale", runs_on=Stage.IMAGE, display_name="Upscale Image", category="image/upscaling")
def scale_image(
    filters: Filters,
    *,
    image: Image,
    upscale_method: Method,
    width: Size = 512,
    height: Size = 512,
    crop: Crop,
) -> Image:
    """Bring pictures to a size. A side of 0 keeps their proportions."""
    return filters.scale_image(image, width, height, upscale_method, crop)


@node(
    "ImageScaleBy",
    runs_on=Stage.IMAGE,
    display_name="Upscale Image By",
    category="image/upscaling",
)
def scale_image_by(
    filters: Filters,
    *,
    image: Image,
    upscale_method: Method,
    scale_by: Annotated[float, Widget(min=0.01, max=8.0, step=0.01)] = 1.0,
) -> Image:
    """Scale both sides of pictures by a factor."""
    return filters.scale_image_by(image, scale_by, upscale_method)


@node("ImageScaleToTotalPixels", runs_on=Stage.IMAGE, category="image/upscaling")
def scale_image_to_megapixels(
    filters: Filters,
    *,
    image: Image,
    upscale_method: Method,
    megapixels: Annotated[float, Widget(min=0.01, max=16.0, step=0.01)] = 1.0,
) -> Image:
    """Scale pictures to a number of pixels, in their proportions."""
    return filters.scale_image_to_megapixels(image, megapixels, upscale_method)


@node("ImageScaleToMaxDimension", runs_on=Stage.IMAGE, category="image/upscaling")
def scale_image_to_longest(
    filters: Filters,
    *,
    image: Image,
    upscale_method: Annotated[
        ScaleMethod,
        Choices(("area", "lanczos", "bilinear", "nearest-exact", "bilinear", "bicubic")),
    ],
    largest_size: Size = 512,
) -> Image:
    """Scale pictures to the length of their longer side."""
    return filters.scale_image_to_longest(image, largest_size, upscale_method)


@node("ResizeAndPadImage", runs_on=Stage.IMAGE, category="image/transform")
def resize_and_pad(
    filters: Filters,
    *,
    image: Image,
    target_width: Pixels = 512,
    target_height: Pixels = 512,
    padding_color: Literal["white", "black"],
    interpolation: Literal["area", "bicubic", "nearest-exact", "bilinear", "lanczos"],
) -> Image:
    """Fit whole pictures into the middle of a canvas."""
    return filters.resize_and_pad(image, target_width, target_height, padding_color, interpolation)


@node("ImageInvert", runs_on=Stage.IMAGE, display_name="Invert Image", category="image")
def invert_image(filters: Filters, *, image: Image) -> Image:
    """Make the negative of pictures."""
    return filters.invert_image(image)


@node("ImageBlur", runs_on=Stage.IMAGE, category="image/postprocessing")
def blur_image(
    filters: Filters,
    *,
    image: Image,
    blur_radius: Radius = 1,
    sigma: Annotated[float, Widget(min=0.1, max=10.0, step=0.1)] = 1.0,
) -> Image:
    """Blur pictures."""
    return filters.gaussian_blur(image, blur_radius, sigma)


@node("ImageSharpen", runs_on=Stage.IMAGE, category="image/postprocessing")
def sharpen_image(
    filters: Filters,
    *,
    image: Image,
    sharpen_radius: Radius = 1,
    sigma: Annotated[float, Widget(min=0.1, max=10.0, step=0.01)] = 1.0,
    alpha: Annotated[float, Widget(min=0.0, max=5.0, step=0.01)] = 1.0,
) -> Image:
    """Make the fine detail of pictures stronger."""
    return filters.sharpen(image, sharpen_radius, sigma, alpha)


@node("ImageBlend", runs_on=Stage.IMAGE, category="image/postprocessing")
def blend_images(
    filters: Filters,
    *,
    image1: Image,
    image2: Image,
    blend_factor: Share = 0.5,
    blend_mode: BlendMode,
) -> Image:
    """Blend a second picture into the first."""
    return filters.blend_images(image1, image2, blend_factor, blend_mode)


@node("ImageQuantize", runs_on=Stage.IMAGE, category="image/postprocessing")
def quantize_image(
    filters: Filters,
    *,
    image: Image,
    colors: Annotated[int, Widget(min=1, max=256, step=1)] = 256,
    dither: Dither,
) -> Image:
    """Reduce pictures to a few colours."""
    return filters.quantize_colors(image, colors, dither)


@node(
    "Morphology",
    runs_on=Stage.IMAGE,
    display_name="ImageMorphology",
    category="image/postprocessing",
)
def morph_image(
    filters: Filters,
    *,
    image: Image,
    operation: MorphologyOperation,
    kernel_size: Annotated[int, Widget(min=3, max=999, step=1)] = 3,
) -> Image:
    """Grow and shrink what is bright in pictures."""
    return filters.morph(image, operation, kernel_size)


@node("ImageRGBToYUV", runs_on=Stage.IMAGE, category="image/batch", outputs=("Y", "U", "V"))
def rgb_to_yuv(filters: Filters, *, image: Image) -> tuple[Image, Image, Image]:
    """Take pictures apart into brightness and two planes of colour."""
    return filters.rgb_to_yuv(image)


@node("ImageYUVToRGB", runs_on=Stage.IMAGE, category="image/batch")
def yuv_to_rgb(filters: Filters, *, Y: Image, U: Image, V: Image) -> Image:  # noqa: N803
    """Put pictures together from brightness and two planes of colour."""
    return filters.yuv_to_rgb(Y, U, V)


@node("ImageAddNoise", runs_on=Stage.IMAGE, category="image")
def add_noise(filters: Filters, *, image: Image, seed: Seed = 0, strength: Share = 0.5) -> Image:
    """Add noise to pictures."""
    return filters.add_noise(image, seed, strength)


@node("ImageCompositeMasked", runs_on=Stage.IMAGE, category="image")
def composite_images(
    filters: Filters,
    *,
    destination: Image,
    source: Image,
    x: Size = 0,
    y: Size = 0,
    resize_source: bool = False,
    mask: Mask | None = None,
) -> Image:
    """Lay a picture over another, where a mask lets it."""
    return filters.composite_images(destination, source, (x, y), mask, resize_source=resize_source)


@node("Canny", runs_on=Stage.IMAGE, category="image/preprocessors")
def find_edges(
    filters: Filters,
    *,
    image: Image,
    low_threshold: Threshold = 0.4,
    high_threshold: Threshold = 0.8,
) -> Image:
    """Draw the edges of pictures in white on black."""
    return filters.canny(image, low_threshold, high_threshold)
